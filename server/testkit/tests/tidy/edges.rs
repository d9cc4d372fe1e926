//! Which room may know which: direct edges between members, and what must not be reached at all.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::LazyLock;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

use crate::{assert_none, root};

/// Members and the members they may use (ARCHITECTURE.md). Tests may use [`IN_TESTS`] besides.
const EDGES: &[(&str, &[&str])] = &[
    ("owlake-fault", &[]),
    ("owlake-proto", &[]),
    ("owlake-catalog", &["owlake-fault"]),
    ("owlake-metering", &["owlake-fault"]),
    ("owlake-dialect", &["owlake-catalog", "owlake-fault"]),
    (
        "owlake-scan",
        &["owlake-catalog", "owlake-metering", "owlake-fault"],
    ),
    (
        "owlake-engine",
        &[
            "owlake-scan",
            "owlake-dialect",
            "owlake-catalog",
            "owlake-metering",
            "owlake-fault",
        ],
    ),
    (
        "owlake-federation",
        &["owlake-engine", "owlake-metering", "owlake-fault"],
    ),
    ("owlake-mems3", &["owlake-fault"]),
    ("owlake-testkit", &["owlake-fault"]),
    ("owlake-client", &["owlake-proto"]),
    ("owlake", ALL_BUT_TESTKIT),
    ("owlake-benches", ALL_BUT_TESTKIT),
];

const ALL_BUT_TESTKIT: &[&str] = &[
    "owlake",
    "owlake-catalog",
    "owlake-client",
    "owlake-dialect",
    "owlake-engine",
    "owlake-fault",
    "owlake-federation",
    "owlake-mems3",
    "owlake-metering",
    "owlake-proto",
    "owlake-scan",
];

const IN_TESTS: &[&str] = &["owlake-testkit", "owlake-mems3"];

/// Packages (a `*` at the end stands for any rest) that a member must not reach, however indirectly.
const UNREACHABLE: &[(&str, &[&str])] = &[
    ("owlake-fault", &["*"]),
    (
        "owlake-catalog",
        &["datafusion*", "tonic*", "arrow-flight", "aws-*", "object_store"],
    ),
    (
        "owlake-metering",
        &["datafusion*", "tonic*", "arrow-flight", "aws-config", "aws-sdk-*"],
    ),
    (
        "owlake-client",
        &[
            "datafusion*",
            "parquet",
            "object_store",
            "rusqlite",
            "owlake-fault",
        ],
    ),
    ("owlake-proto", &["datafusion*", "arrow*"]),
];

/// Packages that a member must not name itself, whatever its dependencies bring.
const NOT_DIRECT: &[(&str, &[&str])] = &[
    (
        "owlake-engine",
        &[
            "tonic*",
            "arrow-flight",
            "axum*",
            "hyper*",
            "http*",
            "reqwest",
            "tower*",
            "tokio-postgres*",
            "aws-*",
        ],
    ),
    (
        "owlake-scan",
        &["tonic*", "arrow-flight", "axum*", "hyper*", "reqwest", "aws-*"],
    ),
    (
        "owlake-dialect",
        &["tonic*", "arrow-flight", "axum*", "hyper*", "reqwest", "aws-*"],
    ),
];

pub(crate) static METADATA: LazyLock<Metadata> = LazyLock::new(|| {
    // For this machine only: other platforms' packages need not be downloaded.
    let rustc = Command::new("rustc").arg("-vV").output().unwrap();
    let version = String::from_utf8(rustc.stdout).unwrap();
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(["--locked", "--filter-platform", host].map(str::to_owned))
        .exec()
        .unwrap()
});

pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

/// Names of all packages that end up in a build of `member`, without those of its tests.
fn reached(member: &str) -> BTreeSet<String> {
    assert!(
        METADATA.workspace_packages().iter().any(|p| p.name == member),
        "{member}"
    );
    reached_from(member)
}

/// Names of all packages that a build of any package needs.
pub(crate) fn reached_from(package: &str) -> BTreeSet<String> {
    let nodes: BTreeMap<&PackageId, _> = METADATA
        .resolve
        .as_ref()
        .unwrap()
        .nodes
        .iter()
        .map(|node| (&node.id, node))
        .collect();
    let start = METADATA
        .packages
        .iter()
        .find(|p| p.name == package && nodes.contains_key(&p.id))
        .unwrap();
    let mut reached = BTreeSet::from([&start.id]);
    let mut next = vec![&start.id];
    while let Some(id) = next.pop() {
        for dependency in &nodes[id].deps {
            let normal = dependency
                .dep_kinds
                .iter()
                .any(|info| info.kind == DependencyKind::Normal);
            if normal && reached.insert(&dependency.pkg) {
                next.push(&dependency.pkg);
            }
        }
    }
    reached.remove(&start.id);
    reached
        .into_iter()
        .map(|id| METADATA[id].name.to_string())
        .collect()
}

#[test]
fn rooms_use_only_the_rooms_they_may() {
    let allowed: BTreeMap<_, _> = EDGES.iter().copied().collect();
    let members = METADATA.workspace_packages();
    let names: BTreeSet<&str> = members.iter().map(|p| p.name.as_str()).collect();
    let listed: BTreeSet<&str> = allowed.keys().copied().collect();
    assert_eq!(
        names, listed,
        "every member has a row in EDGES, and every row a member"
    );
    let mut findings = Vec::new();
    for member in &members {
        for dependency in member
            .dependencies
            .iter()
            .filter(|d| names.contains(d.name.as_str()))
        {
            let (from, to) = (member.name.as_str(), dependency.name.as_str());
            let in_test = dependency.kind == DependencyKind::Development && IN_TESTS.contains(&to);
            if !in_test && !allowed[from].contains(&to) {
                findings.push(format!("{from} -> {to} ({:?})", dependency.kind));
            }
        }
    }
    assert_none("edges that ARCHITECTURE.md does not allow:", findings);
}

#[test]
fn what_a_room_must_not_know_is_out_of_its_reach() {
    let mut findings = Vec::new();
    for (member, patterns) in UNREACHABLE {
        for package in reached(member) {
            if patterns.iter().any(|pattern| matches(pattern, &package)) {
                findings.push(format!("{member} reaches {package}"));
            }
        }
    }
    assert_none(
        "packages that a room must not reach (`cargo tree -p ROOM -i PACKAGE` shows the way):",
        findings,
    );
}

#[test]
fn what_a_room_must_not_name_is_not_among_its_dependencies() {
    let mut findings = Vec::new();
    for (member, patterns) in NOT_DIRECT {
        let package = METADATA
            .workspace_packages()
            .into_iter()
            .find(|p| p.name == *member)
            .unwrap();
        for dependency in package
            .dependencies
            .iter()
            .filter(|d| d.kind == DependencyKind::Normal)
        {
            if patterns.iter().any(|pattern| matches(pattern, &dependency.name)) {
                findings.push(format!("{member} names {}", dependency.name));
            }
        }
    }
    assert_none("packages that a room must not name:", findings);
}

#[test]
fn the_reach_of_a_package_follows_every_step() {
    let engine = reached("owlake-engine");
    for package in ["owlake-fault", "datafusion-common", "rusqlite", "libsqlite3-sys"] {
        assert!(engine.contains(package), "{package}");
    }
    assert!(!engine.contains("proptest"), "packages of tests are not followed");
    assert!(matches("tonic*", "tonic-prost") && matches("*", "x") && !matches("tonic", "tonic-prost"));
}
