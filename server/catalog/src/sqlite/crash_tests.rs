//! A process that changes the catalog is killed at random moments; what it acknowledged is there afterwards.
//!
//! The child is this test binary again, started for one test with a directory in its environment.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rusqlite::Connection;

use super::*;
use crate::DataDir;
use crate::model::{Column, StorageDescriptor};

const DIRECTORY: &str = "OWLAKE_CRASH_TEST_DIRECTORY";
const START: &str = "OWLAKE_CRASH_TEST_START";
const KILLS: u64 = 20;
const PARTITIONS: u64 = 200;

/// Databases, each with its table's location and registered values.
type State = BTreeMap<String, Option<(String, Vec<String>)>>;

/// The change number `n` belongs to this database; six changes in a row do.
fn database_of(n: u64) -> String {
    format!("d{:06}", n / 6)
}

fn location(n: u64) -> String {
    format!("s3://lake/{n}/")
}

fn added(n: u64) -> Vec<String> {
    (0..PARTITIONS).map(|i| format!("{n}-{i:04}")).collect()
}

/// Change `n` as the state sees it.
fn expect(state: &mut State, n: u64) {
    let name = database_of(n);
    match n % 6 {
        0 => drop(state.insert(name, None)),
        1 => drop(state.insert(name, Some((location(n), Vec::new())))),
        5 if n % 12 == 11 => drop(state.remove(&name)),
        step => {
            let Some(Some((stored, values))) = state.get_mut(&name) else {
                panic!("{n} has no table")
            };
            match step {
                2 => *values = added(n),
                3 => *stored = location(n),
                4 => values.retain(|v| added(n - 2)[..50].binary_search(v).is_err()),
                _ => {}
            }
        }
    }
}

/// Change `n` as the catalog does it.
async fn apply(catalog: &SqliteCatalog, n: u64) -> Result<(), CatalogError> {
    let name = database_of(n);
    match n % 6 {
        0 => {
            catalog
                .create_database(
                    Database {
                        name,
                        ..Database::default()
                    },
                    false,
                )
                .await
        }
        1 => {
            let key = Column {
                name: "dt".to_owned(),
                data_type: "string".to_owned(),
                comment: None,
            };
            let storage_descriptor = StorageDescriptor {
                location: Some(location(n)),
                ..StorageDescriptor::default()
            };
            let table = Table {
                name: "t".to_owned(),
                database_name: name,
                storage_descriptor,
                partition_keys: vec![key],
                ..Table::default()
            };
            catalog.create_table(table, false).await.map(drop)
        }
        2 => {
            let partition = |value| Partition {
                values: vec![value],
                ..Partition::default()
            };
            let partitions = added(n).into_iter().map(partition).collect();
            catalog
                .add_partitions(&name, "t", partitions, false)
                .await
                .map(drop)
        }
        3 => {
            let mut table = (*catalog.table(&name, "t").await?.unwrap()).clone();
            table.storage_descriptor.location = Some(location(n));
            catalog.update_table(table).await
        }
        4 => {
            let values = added(n - 2)[..50].iter().map(|v| vec![v.clone()]).collect();
            catalog.drop_partitions(&name, "t", values, false).await.map(drop)
        }
        _ if n % 12 == 11 => catalog.drop_database(&name, true).await,
        _ => Ok(()),
    }
}

async fn read(catalog: &SqliteCatalog) -> State {
    let mut state = State::new();
    for database in catalog.databases().await.unwrap() {
        if database.name == "default" {
            continue;
        }
        let table = catalog.table(&database.name, "t").await.unwrap();
        let entry = match table {
            None => None,
            Some(table) => {
                let partitions = catalog.partitions(&database.name, "t").await.unwrap();
                let values = partitions.iter().map(|p| p.values[0].clone()).collect();
                Some((table.storage_descriptor.location.clone().unwrap(), values))
            }
        };
        state.insert(database.name.clone(), entry);
    }
    state
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "the environment is how this test binary talks to itself"
)]
async fn the_process_to_be_killed_changes_nothing_unless_it_is_asked() {
    let (Ok(directory), Ok(start)) = (std::env::var(DIRECTORY), std::env::var(START)) else {
        return;
    };
    let dir = DataDir::lock(Path::new(&directory)).unwrap();
    let catalog = SqliteCatalog::open(dir.path(), || 1).unwrap();
    let mut out = std::io::stdout();
    for n in start.parse::<u64>().unwrap().. {
        apply(&catalog, n).await.unwrap();
        // Ends this process when nobody reads any more.
        writeln!(out, "acknowledged {n}")
            .and_then(|()| out.flush())
            .unwrap();
    }
}

/// Starts the child at change `start` and kills it `wait` after its `acks`-th acknowledgement.
/// Returns how many it made in all.
fn run_and_kill(directory: &Path, start: u64, acks: u64, wait: Duration) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("sqlite::crash_tests::the_process_to_be_killed_changes_nothing_unless_it_is_asked")
        .env(DIRECTORY, directory)
        .env(START, start.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut lines = output.lines().map_while(Result::ok).filter_map(|line| {
        let (_, number) = line.split_once("acknowledged ")?;
        number.parse::<u64>().ok()
    });
    let mut made = 0;
    let mut acknowledge = |n: u64| {
        assert_eq!(n, start + made);
        made += 1;
    };
    lines
        .by_ref()
        .take(usize::try_from(acks).unwrap())
        .for_each(&mut acknowledge);
    std::thread::sleep(wait);
    child.kill().unwrap();
    // What it had said before it died.
    lines.for_each(&mut acknowledge);
    let status = child.wait().unwrap();
    assert_eq!(status.code(), None, "it ended by itself");
    made
}

#[tokio::test]
async fn every_acknowledged_change_survives_a_kill_and_every_other_is_whole_or_absent() {
    let temp = tempfile::tempdir().unwrap();
    let (mut state, mut next) = (State::new(), 0);
    let mut random: u64 = 0x9E37_79B9_7F4A_7C15 ^ u64::from(std::process::id());
    let mut draw = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    for kill in 0..KILLS {
        // Every fourth dies at the start: while it opens, migrates, recovers.
        let acks = if kill % 4 == 0 { 0 } else { 1 + draw(14) };
        let acknowledged = run_and_kill(temp.path(), next, acks, Duration::from_micros(draw(12_000)));
        (next..next + acknowledged).for_each(|n| expect(&mut state, n));
        next += acknowledged;

        let dir = DataDir::lock(temp.path()).unwrap();
        let catalog = SqliteCatalog::open(dir.path(), || 1).unwrap();
        let found = read(&catalog).await;
        if found != state {
            let mut and_one = state.clone();
            expect(&mut and_one, next);
            assert_eq!(found, and_one, "kill {kill}: neither {next} changes nor one more");
            state = and_one;
            next += 1;
        }
        drop(catalog);
        let conn = Connection::open(dir.path().join(CATALOG_FILE)).unwrap();
        schema::check_integrity(&conn).unwrap();
    }
    assert!(next > KILLS, "only {next} changes were made");
}
