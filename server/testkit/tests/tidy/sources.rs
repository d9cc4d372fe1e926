//! Rules about source files: how they open, how long they get, what they are called, which doors they leave alone.

use std::path::Path;

use crate::{assert_none, files, texts};

/// Lines of a file before its inline tests.
const MAX_LINES: usize = 450;

/// Files that may be longer, and why.
const LONGER: &[(&str, usize, &str)] = &[
    (
        "server/dialect/src/functions/math.rs",
        600,
        "one table of functions with their bodies",
    ),
    (
        "server/dialect/src/functions/strings.rs",
        600,
        "one table of functions with their bodies",
    ),
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &[
    "common", "helper", "helpers", "manager", "misc", "prelude", "types", "util", "utils",
];

/// Where a `tonic::Status` may be made.
const STATUS_DOOR: &str = "server/service/src/flight/status.rs";

/// Constructors of `tonic::Status`.
const STATUS_CONSTRUCTORS: &[&str] = &[
    "aborted",
    "already_exists",
    "cancelled",
    "data_loss",
    "deadline_exceeded",
    "failed_precondition",
    "from_error",
    "from_error_generic",
    "internal",
    "invalid_argument",
    "new",
    "not_found",
    "ok",
    "out_of_range",
    "permission_denied",
    "resource_exhausted",
    "try_from_error",
    "unauthenticated",
    "unavailable",
    "unimplemented",
    "unknown",
    "with_details",
    "with_details_and_metadata",
    "with_metadata",
];

/// The lines before an inline test module.
fn product_lines(text: &str) -> impl Iterator<Item = &str> {
    let lines: Vec<&str> = text.lines().collect();
    let inline_tests = |i: &usize| {
        lines[*i] == "#[cfg(test)]"
            && lines[i + 1..]
                .iter()
                .find(|line| !line.starts_with("#["))
                .is_some_and(|line| line.starts_with("mod ") && line.ends_with('{'))
    };
    let end = (0..lines.len()).find(inline_tests).unwrap_or(lines.len());
    lines.into_iter().take(end)
}

/// Whether the whole file is tests.
fn is_test_file(path: &Path) -> bool {
    let stem = path.file_stem().unwrap().to_str().unwrap();
    stem == "tests"
        || stem.ends_with("_tests")
        || path.iter().any(|part| part == "tests" || part == "benches")
}

fn identifier(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The `Status::` constructor that a line calls or passes on.
fn status_constructor(line: &str) -> Option<&str> {
    line.match_indices("Status::").find_map(|(at, path)| {
        let rest = &line[at + path.len()..];
        let name = &rest[..rest.find(|c| !identifier(c)).unwrap_or(rest.len())];
        let own_type = line[..at].ends_with(identifier);
        (!own_type && STATUS_CONSTRUCTORS.contains(&name)).then_some(name)
    })
}

/// Whether a line holds a marker of unfinished work that no issue stands for: `TODO(#12)` has one.
fn is_open_end(line: &str) -> bool {
    // Put together here, so that this file does not find itself.
    let markers = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let mut words = line.split_inclusive(|c| !identifier(c));
    words.any(|word| markers.contains(&word.trim_end_matches(|c| !identifier(c))))
        && !markers.iter().any(|marker| line.contains(&format!("{marker}(#")))
}

#[test]
fn every_file_says_first_what_lives_in_it() {
    let silent = |(_, text): &(_, String)| !text.starts_with("//! ");
    let findings = texts(&["rs"])
        .into_iter()
        .filter(silent)
        .map(|(path, _)| path.display().to_string());
    assert_none("files that do not open with `//! `:", findings.collect());
}

#[test]
fn files_stay_short_enough_to_read() {
    let mut findings = Vec::new();
    for (path, text) in texts(&["rs"]) {
        let exception = LONGER.iter().find(|(file, ..)| path == Path::new(file));
        let limit = exception.map_or(MAX_LINES, |(_, limit, _)| *limit);
        let lines = product_lines(&text).count();
        if !is_test_file(&path) && lines > limit {
            findings.push(format!(
                "{}: {lines} lines before its tests, limit {limit}",
                path.display()
            ));
        }
        if exception.is_some() && lines <= MAX_LINES {
            findings.push(format!(
                "{}: {lines} lines need no exception any more",
                path.display()
            ));
        }
    }
    assert_none(
        "files that have to be split, or need an exception with its reason:",
        findings,
    );
}

#[test]
fn names_say_what_is_inside() {
    let empty = |path: &std::path::PathBuf| {
        let part = |part: &std::ffi::OsStr| {
            let stem = Path::new(part).file_stem().unwrap().to_str().unwrap();
            EMPTY_NAMES.contains(&stem)
        };
        path.iter().any(part)
    };
    let findings = files()
        .into_iter()
        .filter(empty)
        .map(|path| path.display().to_string());
    assert_none(
        "files or folders with a name that says nothing:",
        findings.collect(),
    );
}

#[test]
fn unfinished_work_has_an_issue() {
    let mut findings = Vec::new();
    for (path, text) in texts(&["rs", "py", "toml", "proto", "sql", "slt", "md", ""]) {
        for (at, line) in text.lines().enumerate().filter(|(_, line)| is_open_end(line)) {
            findings.push(format!("{}:{}: {}", path.display(), at + 1, line.trim()));
        }
    }
    assert_none("markers without an issue number:", findings);
}

#[test]
fn statuses_are_made_in_one_place() {
    let mut findings = Vec::new();
    for (path, text) in texts(&["rs"]) {
        if path == Path::new(STATUS_DOOR) || is_test_file(&path) {
            continue;
        }
        for (at, line) in product_lines(&text).enumerate() {
            if let Some(name) = status_constructor(line) {
                findings.push(format!("{}:{}: Status::{name}", path.display(), at + 1));
            }
        }
    }
    assert_none(
        &format!("`tonic::Status` is made only in {STATUS_DOOR}, from a Fault:"),
        findings,
    );
}

#[test]
fn the_search_for_statuses_finds_every_spelling() {
    for line in [
        "Err(Status::internal(x))",
        "f(tonic::Status::new(c, m))",
        ".map_err(Status::from_error)?",
    ] {
        assert!(status_constructor(line).is_some(), "{line}");
    }
    for line in [
        "ExitStatus::new(1)",
        "Status::code(&s)",
        "use tonic::{Code, Status};",
        "StatusCode::OK",
    ] {
        assert_eq!(status_constructor(line), None, "{line}");
    }
}

#[test]
fn the_search_for_unfinished_work_knows_an_issue_number() {
    let marker = concat!("TO", "DO");
    for (line, open) in [
        (format!("// {marker}: later"), true),
        (format!("{marker} tidy"), true),
        (format!("// {marker}(#12): later"), false),
        (format!("let {marker}S = 1;"), false),
        ("plain".to_owned(), false),
    ] {
        assert_eq!(is_open_end(&line), open, "{line}");
    }
}

#[test]
fn inline_tests_do_not_count_and_declared_ones_do_not_end_a_file() {
    let text =
        "//! x\n#[cfg(test)]\nmod tests;\nfn a() {}\n#[cfg(test)]\n#[allow(x)]\nmod more {\nfn t() {}\n}\n";
    assert_eq!(product_lines(text).count(), 4);
    assert!(is_test_file(Path::new("a/src/b/tests.rs")) && is_test_file(Path::new("a/tests/c.rs")));
    assert!(is_test_file(Path::new("a/src/crash_tests.rs")) && !is_test_file(Path::new("a/src/latest.rs")));
}
