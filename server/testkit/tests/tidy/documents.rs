//! Paths and links in the documents lead somewhere.

use std::path::{Path, PathBuf};

use crate::{assert_none, root, texts};

/// Documents whose quoted paths are checked too, not only their links.
const MAPS: &[&str] = &["README.md", "ARCHITECTURE.md"];

/// Text between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    // Fenced blocks hold commands and output, not paths of the house.
    text.split("```")
        .step_by(2)
        .flat_map(|prose| prose.split('`').skip(1).step_by(2))
}

/// Targets of Markdown links within the checkout, without their anchors.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?.split('#').next()?;
        (!target.is_empty() && !target.contains(':')).then_some(target)
    })
}

/// Whether quoted text names a file or folder of the checkout.
fn is_path(text: &str) -> bool {
    let plain = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let first = text.split('/').next().unwrap_or_default();
    let below_the_top = text.contains('/') && !first.is_empty() && root().join(first).is_dir();
    let document = [".md", ".rs", ".proto"]
        .iter()
        .any(|end| text.len() > end.len() && text.ends_with(end));
    plain && (below_the_top || document)
}

#[test]
fn quoted_paths_exist() {
    let mut findings = Vec::new();
    for (path, text) in texts(&["md"])
        .iter()
        .filter(|(path, _)| MAPS.iter().any(|map| path == Path::new(map)))
    {
        for place in quoted(text).filter(|place| is_path(place) && !root().join(place).exists()) {
            findings.push(format!("{}: `{place}`", path.display()));
        }
    }
    assert_none(
        "paths that do not exist (write them from the top of the checkout):",
        findings,
    );
}

#[test]
fn links_exist() {
    let mut findings = Vec::new();
    for (path, text) in texts(&["md"]) {
        let folder: PathBuf = root().join(path.parent().unwrap());
        for target in links(&text).filter(|target| !folder.join(target).exists()) {
            findings.push(format!("{}: {target}", path.display()));
        }
    }
    assert_none("links that lead nowhere:", findings);
}

#[test]
fn paths_and_links_are_recognised() {
    let text = "See `server/nowhere/` and `SELECT 1/2`, [a](docs/b.md#c), [d](https://e.f), [g](#h).\n```\n`x/y`\n```\n`k.md`";
    let paths: Vec<_> = quoted(text).filter(|place| is_path(place)).collect();
    assert_eq!(paths, ["server/nowhere/", "k.md"]);
    assert_eq!(links(text).collect::<Vec<_>>(), ["docs/b.md"]);
    assert!(!is_path("application/json") && !is_path(".md"));
}
