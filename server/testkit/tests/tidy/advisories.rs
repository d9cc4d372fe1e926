//! Known vulnerabilities: Cargo.lock against a snapshot of the RustSec database, with dated waivers.
//!
//! `OWLAKE_ADVISORY_DB` names the snapshot; without it the check is reported as ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use cargo_metadata::semver::{Version, VersionReq};
use chrono::{Datelike, NaiveDate};

use crate::root;

const WAIVERS: &str = "dev/advisory-waivers.toml";

/// One advisory of the database.
#[derive(Debug)]
struct Advisory {
    id: String,
    package: String,
    /// Versions that are not affected: patched ones and those from before the defect.
    sound: Vec<VersionReq>,
}

/// A version in use that an advisory is about.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Hit {
    id: String,
    package: String,
    version: String,
}

impl fmt::Display for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.id, self.package, self.version)
    }
}

/// A hit that is accepted for a stated reason until a stated day.
#[derive(Debug)]
struct Waiver {
    id: String,
    until: NaiveDate,
}

impl Advisory {
    /// Reads the TOML block at the head of an advisory; `None` when it was withdrawn.
    fn parse(text: &str) -> Option<Self> {
        let head = text
            .split("```toml\n")
            .nth(1)
            .unwrap()
            .split("```")
            .next()
            .unwrap();
        let table: toml::Table = head.parse().unwrap();
        let advisory = table["advisory"].as_table().unwrap();
        if advisory.contains_key("withdrawn") {
            return None;
        }
        let requirements = |key| {
            table["versions"]
                .get(key)
                .and_then(toml::Value::as_array)
                .into_iter()
                .flatten()
        };
        let sound = requirements("patched")
            .chain(requirements("unaffected"))
            .map(|text| VersionReq::parse(text.as_str().unwrap()).unwrap())
            .collect();
        let text = |key: &str| advisory[key].as_str().unwrap().to_owned();
        Some(Self {
            id: text("id"),
            package: text("package"),
            sound,
        })
    }

    fn hits(&self, versions: &BTreeMap<String, BTreeSet<String>>) -> Vec<Hit> {
        let affected = |version: &&String| {
            let version = Version::parse(version).unwrap();
            !self.sound.iter().any(|requirement| requirement.matches(&version))
        };
        let hit = |version: &String| Hit {
            id: self.id.clone(),
            package: self.package.clone(),
            version: version.clone(),
        };
        versions
            .get(&self.package)
            .into_iter()
            .flatten()
            .filter(affected)
            .map(hit)
            .collect()
    }
}

fn advisories(database: &Path) -> Vec<Advisory> {
    let mut advisories = Vec::new();
    for package in std::fs::read_dir(database.join("crates")).unwrap() {
        for file in std::fs::read_dir(package.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                advisories.extend(Advisory::parse(&std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(
        advisories.len() > 500,
        "{} holds no advisory database",
        database.display()
    );
    advisories
}

fn waivers(text: &str) -> Vec<Waiver> {
    let table: toml::Table = text.parse().unwrap();
    let mut waivers = Vec::new();
    for waiver in table
        .get("waiver")
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten()
    {
        let id = waiver["id"].as_str().unwrap().to_owned();
        let reason = waiver
            .get("reason")
            .and_then(toml::Value::as_str)
            .unwrap_or_default();
        assert!(reason.len() > 20, "the waiver of {id} needs its reason");
        let until = waiver["until"].as_datetime().and_then(|at| at.date).unwrap();
        let until = NaiveDate::from_ymd_opt(until.year.into(), until.month.into(), until.day.into()).unwrap();
        waivers.push(Waiver { id, until });
    }
    waivers
}

/// What is wrong with the hits and the waivers taken together.
fn findings(hits: &[Hit], waivers: &[Waiver], today: NaiveDate) -> Vec<String> {
    let mut findings = Vec::new();
    for hit in hits {
        match waivers.iter().find(|waiver| waiver.id == hit.id) {
            None => findings.push(format!("{hit}, not waived")),
            Some(waiver) if waiver.until < today => {
                findings.push(format!("{hit}, its waiver ended on {}", waiver.until));
            }
            Some(_) => {}
        }
    }
    for waiver in waivers
        .iter()
        .filter(|waiver| !hits.iter().any(|hit| hit.id == waiver.id))
    {
        findings.push(format!("{}: the waiver is needed no more", waiver.id));
    }
    findings
}

#[test]
#[cfg_attr(
    not(advisory_db),
    ignore = "OWLAKE_ADVISORY_DB names no snapshot of the advisory database"
)]
fn no_locked_version_has_a_known_vulnerability() {
    let database = env!("OWLAKE_ADVISORY_DB");
    let versions = crate::lock::versions();
    let mut hits: Vec<Hit> = advisories(Path::new(database))
        .iter()
        .flat_map(|advisory| advisory.hits(&versions))
        .collect();
    hits.sort();
    let waivers = waivers(&std::fs::read_to_string(root().join(WAIVERS)).unwrap());
    #[expect(clippy::disallowed_methods, reason = "waivers end on a calendar day")]
    let today = chrono::Utc::now().date_naive();
    let findings = findings(&hits, &waivers, today);
    crate::assert_none(
        &format!("update the package, or waive with a reason and a date in {WAIVERS}:"),
        findings,
    );
}

#[test]
fn an_advisory_hits_the_versions_it_does_not_call_sound() {
    let head = |more: &str| {
        format!(
            "```toml\n[advisory]\nid = \"R-1\"\npackage = \"p\"\n{more}\n[versions]\npatched = [\">= 1.2.0, < 2.0.0\", \"^2.1\"]\n\
             unaffected = [\"< 0.5\"]\n```\n# Title"
        )
    };
    let advisory = Advisory::parse(&head("")).unwrap();
    let locked = ["0.4.9", "0.5.0", "1.1.9", "1.2.0", "2.0.0", "2.1.3"].map(str::to_owned);
    let versions = BTreeMap::from([("p".to_owned(), BTreeSet::from(locked))]);
    let hits: Vec<_> = advisory
        .hits(&versions)
        .into_iter()
        .map(|hit| hit.version)
        .collect();
    assert_eq!(hits, ["0.5.0", "1.1.9", "2.0.0"]);
    assert!(Advisory::parse(&head("withdrawn = \"2026-01-01\"")).is_none());
    assert_eq!(advisory.hits(&BTreeMap::new()), []);
}

#[test]
fn a_waiver_holds_until_its_day_and_only_while_it_is_needed() {
    let hit = Hit {
        id: "R-1".to_owned(),
        package: "p".to_owned(),
        version: "1.0.0".to_owned(),
    };
    let day = |day| NaiveDate::from_ymd_opt(2026, 3, day).unwrap();
    let text =
        "[[waiver]]\nid = \"R-1\"\nreason = \"nothing of ours calls that function\"\nuntil = 2026-03-10\n";
    let waived = waivers(text);
    assert_eq!(waived[0].until.day(), 10);
    let one = std::slice::from_ref(&hit);
    assert_eq!(findings(one, &waived, day(10)), Vec::<String>::new());
    assert_eq!(
        findings(one, &waived, day(11)),
        ["R-1: p 1.0.0, its waiver ended on 2026-03-10"]
    );
    assert_eq!(findings(one, &[], day(1)), ["R-1: p 1.0.0, not waived"]);
    assert_eq!(
        findings(&[], &waived, day(1)),
        ["R-1: the waiver is needed no more"]
    );
}
