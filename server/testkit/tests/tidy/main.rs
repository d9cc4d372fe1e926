//! The tidy test: what ARCHITECTURE.md says about rooms, edges, files and dependencies, checked over the checkout.
//!
//! Needs `cargo` and the sources; builds nothing. A finding names the file and the rule.

#![expect(clippy::unwrap_used, reason = "all of this crate is tests")]

mod advisories;
mod documents;
mod edges;
mod library;
mod lock;
mod sources;

use std::path::{Path, PathBuf};

/// The checkout.
fn root() -> PathBuf {
    let testkit = Path::new(env!("CARGO_MANIFEST_DIR"));
    testkit.ancestors().nth(2).unwrap().to_owned()
}

/// Files below the checkout, relative to it and sorted; build output and hidden folders but `.ci` are left out.
fn files() -> Vec<PathBuf> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = folder.join(&name);
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && name != "target" && (!name.starts_with('.') || name == ".ci") {
                walk(root, &path, found);
            } else if kind.is_file() {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), Path::new(""), &mut found);
    found.sort();
    assert!(found.len() > 50, "the checkout was not found");
    found
}

/// Files with one of these extensions, with their text.
fn texts(extensions: &[&str]) -> Vec<(PathBuf, String)> {
    let wanted = |path: &PathBuf| {
        let extension = path.extension().map(|e| e.to_str().unwrap());
        extensions.contains(&extension.unwrap_or_default())
    };
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(root().join(&path)).unwrap();
        (path, text)
    };
    files().into_iter().filter(wanted).map(read).collect()
}

/// Fails with all findings, one a line.
#[track_caller]
fn assert_none(rule: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{rule}\n  {}\n", findings.join("\n  "));
}
