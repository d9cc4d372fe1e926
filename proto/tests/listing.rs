//! Refuses breaking edits of package `owlake.v1`: names, numbers and types of what was once committed stay.
//!
//! `testdata/owlake.v1.txt` lists every field, enum value and method. A new one is appended there; no line is ever
//! changed or removed, because clients in the field decode by these numbers.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, ServiceDescriptorProto};

const PACKAGE: &str = "owlake.v1";

fn listing() -> Result<BTreeSet<String>, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root.join("owlake/v1"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    files.sort();
    let set = protox::compile(&files, [&root])?;
    let mut lines = BTreeSet::new();
    for file in set.file.iter().filter(|file| file.package() == PACKAGE) {
        for message in &file.message_type {
            list_message("", message, &mut lines);
        }
        for enumeration in &file.enum_type {
            list_enum("", enumeration, &mut lines);
        }
        for service in &file.service {
            list_service(service, &mut lines);
        }
    }
    Ok(lines)
}

fn list_message(outer: &str, message: &DescriptorProto, lines: &mut BTreeSet<String>) {
    let name = format!("{outer}{}", message.name());
    for field in &message.field {
        let oneof = field
            .oneof_index
            .filter(|_| !field.proto3_optional())
            .and_then(|index| {
                let index = usize::try_from(index).ok()?;
                Some(format!(" oneof {}", message.oneof_decl.get(index)?.name()))
            });
        lines.insert(format!(
            "{name}.{}={} {}{}",
            field.name(),
            field.number(),
            type_name(field),
            oneof.unwrap_or_default()
        ));
    }
    let outer = format!("{name}.");
    for nested in &message.nested_type {
        list_message(&outer, nested, lines);
    }
    for enumeration in &message.enum_type {
        list_enum(&outer, enumeration, lines);
    }
}

fn list_enum(outer: &str, enumeration: &EnumDescriptorProto, lines: &mut BTreeSet<String>) {
    for value in &enumeration.value {
        lines.insert(format!(
            "{outer}{}.{}={} value",
            enumeration.name(),
            value.name(),
            value.number()
        ));
    }
}

fn list_service(service: &ServiceDescriptorProto, lines: &mut BTreeSet<String>) {
    let stream = |streaming| if streaming { "stream " } else { "" };
    for method in &service.method {
        lines.insert(format!(
            "{}.{}({}{}) returns ({}{})",
            service.name(),
            method.name(),
            stream(method.client_streaming()),
            method.input_type().trim_start_matches('.'),
            stream(method.server_streaming()),
            method.output_type().trim_start_matches('.'),
        ));
    }
}

fn type_name(field: &FieldDescriptorProto) -> String {
    let name = match field.r#type() {
        Type::Message | Type::Enum | Type::Group => field.type_name().trim_start_matches('.').to_owned(),
        scalar => scalar
            .as_str_name()
            .trim_start_matches("TYPE_")
            .to_ascii_lowercase(),
    };
    match field.label() {
        Label::Repeated => format!("repeated {name}"),
        Label::Optional if field.proto3_optional() => format!("optional {name}"),
        Label::Required => format!("required {name}"),
        Label::Optional => name,
    }
}

fn committed() -> std::io::Result<BTreeSet<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/owlake.v1.txt");
    let text = std::fs::read_to_string(path)?;
    Ok(text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect())
}

#[test]
fn nothing_committed_was_changed_or_removed() -> Result<(), Box<dyn Error>> {
    let current = listing()?;
    let gone: Vec<_> = committed()?
        .into_iter()
        .filter(|line| !current.contains(line))
        .collect();
    assert!(
        gone.is_empty(),
        "breaking edit of {PACKAGE}, these are no longer true:\n{}",
        gone.join("\n")
    );
    Ok(())
}

#[test]
fn everything_added_is_recorded() -> Result<(), Box<dyn Error>> {
    let committed = committed()?;
    let new: Vec<_> = listing()?
        .into_iter()
        .filter(|line| !committed.contains(line))
        .collect();
    assert!(
        new.is_empty(),
        "append to testdata/owlake.v1.txt:\n{}",
        new.join("\n")
    );
    Ok(())
}
