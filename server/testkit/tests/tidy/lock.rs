//! What the lock file must and must not hold: one copy of the crates whose types meet, one TLS stack.

use std::collections::{BTreeMap, BTreeSet};

use crate::{assert_none, root};

/// Types of two copies do not fit together (docs/adr/0001-pinned-dependencies.md).
const ONE_COPY: &[&str] = &[
    "datafusion",
    "datafusion-common",
    "arrow",
    "arrow-schema",
    "arrow-flight",
    "parquet",
    "object_store",
    "tonic",
    "prost",
    "hyper",
    "rustls",
    "sqlparser",
];

/// Crate and start of the version; an empty start is every version.
const ABSENT: &[(&str, &str)] = &[
    ("openssl", ""),
    ("openssl-sys", ""),
    ("native-tls", ""),
    ("hyper", "0.14."),
    ("rustls", "0.21."),
];

/// Versions by package name, from Cargo.lock.
pub(crate) fn versions() -> BTreeMap<String, BTreeSet<String>> {
    let lock: toml::Table = std::fs::read_to_string(root().join("Cargo.lock"))
        .unwrap()
        .parse()
        .unwrap();
    let mut versions = BTreeMap::<_, BTreeSet<_>>::new();
    for package in lock["package"].as_array().unwrap() {
        let text = |key| package[key].as_str().unwrap().to_owned();
        versions.entry(text("name")).or_default().insert(text("version"));
    }
    versions
}

#[test]
fn crates_whose_types_meet_are_there_once() {
    let versions = versions();
    let several = ONE_COPY.iter().filter(|name| versions[**name].len() != 1);
    let findings = several
        .map(|name| format!("{name}: {:?}", versions[*name]))
        .collect();
    assert_none("more than one copy in Cargo.lock:", findings);
}

#[test]
fn there_is_one_tls_stack_and_one_http_stack() {
    let versions = versions();
    let mut findings = Vec::new();
    for (name, start) in ABSENT {
        for version in versions
            .get(*name)
            .into_iter()
            .flatten()
            .filter(|v| v.starts_with(start))
        {
            findings.push(format!("{name} {version}"));
        }
    }
    assert_none(
        "must not be in Cargo.lock (`cargo tree -i NAME` shows who wants it):",
        findings,
    );
}
