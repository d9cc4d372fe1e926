//! The package `owlake` without its feature `server` is the library alone: no server, no command line, no demo.

use std::collections::BTreeSet;
use std::path::Path;

use cargo_metadata::DependencyKind;

use crate::edges::{METADATA, matches, reached_from};
use crate::{assert_none, root};

/// What the library does not bring along (`*` at the end stands for any rest).
const SERVER_ONLY: &[&str] = &[
    "arrow-flight",
    "axum*",
    "clap*",
    "owlake-client",
    "owlake-mems3",
    "owlake-proto",
    "prost*",
    "reedline",
    "tokio-rustls-*",
    "tonic*",
    "tpchgen*",
    "tracing-subscriber",
];

const GATE: &str = "cfg(feature = \"server\")";

fn direct(optional: bool) -> BTreeSet<String> {
    let members = METADATA.workspace_packages();
    let package = members.iter().find(|p| p.name == "owlake").unwrap();
    package
        .dependencies
        .iter()
        .filter(|d| d.kind == DependencyKind::Normal && d.optional == optional)
        .map(|d| d.name.clone())
        .collect()
}

#[test]
fn without_the_server_no_server_crate_is_reached() {
    let mut findings = Vec::new();
    for name in direct(false) {
        let mut names = reached_from(&name);
        names.insert(name.clone());
        let bad = names
            .iter()
            .filter(|n| SERVER_ONLY.iter().any(|pattern| matches(pattern, n)));
        findings.extend(bad.map(|n| format!("`owlake` without `server` reaches `{n}` by `{name}`")));
    }
    assert_none("the library leaves the server out", findings);
    assert!(direct(true).len() > 20, "server-only dependencies are optional");
}

/// Lines of a file before its inline tests that the feature does not switch off.
fn ungated(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut gated = false;
    for line in text.lines() {
        if line.trim() == "#[cfg(test)]" {
            break;
        }
        if !gated && !line.contains(GATE) && !line.contains("cfg_attr(feature = \"server\"") {
            lines.push(line);
        }
        gated = line.contains(GATE);
    }
    lines
}

fn files_of(module: &Path) -> Vec<std::path::PathBuf> {
    let mut files = vec![module.with_extension("rs")];
    if let Ok(folder) = std::fs::read_dir(module) {
        files.extend(folder.map(|entry| entry.unwrap().path()));
    }
    files.retain(|file| file.file_name().is_some_and(|name| name != "tests.rs"));
    files
}

#[test]
fn modules_of_the_library_name_nothing_of_the_server() {
    let source = root().join("server/service/src");
    let lib = std::fs::read_to_string(source.join("lib.rs")).unwrap();
    let module = |line: &str| {
        let rest = line.trim_start_matches("pub ").strip_prefix("mod ")?;
        rest.strip_suffix(';').map(str::to_owned)
    };
    let all: BTreeSet<String> = lib.lines().filter_map(module).collect();
    let library: BTreeSet<String> = ungated(&lib).into_iter().filter_map(module).collect();
    assert!(
        library.contains("lake") && all.len() > library.len(),
        "{library:?}"
    );
    let mut foreign: Vec<String> = direct(true).iter().map(|n| n.replace('-', "_") + "::").collect();
    foreign.extend(all.difference(&library).map(|m| format!("crate::{m}")));
    let mut findings = Vec::new();
    for file in library.iter().flat_map(|m| files_of(&source.join(m))) {
        let text = std::fs::read_to_string(&file).unwrap();
        for line in ungated(&text) {
            let code = line.split("//").next().unwrap_or_default();
            let named = foreign.iter().find(|name| {
                code.match_indices(name.as_str()).any(|(at, _)| {
                    !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
                })
            });
            if let Some(name) = named {
                findings.push(format!("{}: names `{name}` without the feature", file.display()));
            }
        }
    }
    assert_none("modules of the library do without the server", findings);
}
