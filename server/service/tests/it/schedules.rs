//! Three hundred seeded schedules of files that are added, replaced and deleted before and during queries: each answer
//! is that of one version of every file and one listing of every prefix, or the query fails with HIVE_FILE_CHANGED.
//!
//! Every row carries its file and the version of it, so that a mix of versions, or a file that was gone, shows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use futures::{StreamExt, TryStreamExt};
use owlake::ScanConfig;
use owlake_client::{Client, ClientError};
use owlake_mems3::{Gate, MemS3, Operation};
use parquet::file::properties::WriterProperties;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::harness::{BUCKET, TestServer, connect, parquet_with, text_rows};

/// Every schedule has the seed `SEED + its number`; a failure prints it.
const SEED: u64 = 19_770_701;
const SCHEDULES: u64 = 100;
const AT_ONCE: usize = 6;

/// One content of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    /// Unlike that of any other content of the schedule.
    version: i64,
    rows: i64,
}

/// The files of one prefix by number.
type Prefix = BTreeMap<i64, Version>;
/// The prefixes of a table by their value of `p`.
type State = BTreeMap<i64, Prefix>;
/// Rows of an answer in order.
type Rows = Vec<Vec<String>>;

/// The partitions of every table.
const PREFIXES: [i64; 2] = [1, 2];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Versions,
    Footers,
    Pruned { from: i64 },
    ThreeScans,
    OnePrefix,
    SelfJoin,
    AllRows,
}

impl Ask {
    fn roll(dice: &mut StdRng) -> Self {
        match dice.random_range(0..8) {
            0 => Self::Footers,
            1 => Self::Pruned {
                from: dice.random_range(1..8),
            },
            2 => Self::ThreeScans,
            3 => Self::OnePrefix,
            4 => Self::SelfJoin,
            5 | 6 => Self::AllRows,
            _ => Self::Versions,
        }
    }

    fn sql(self, t: &str) -> String {
        match self {
            Self::Versions => {
                format!("SELECT file, version, count(*), sum(n) FROM {t} GROUP BY file, version")
            }
            Self::Footers => format!("SELECT count(*), min(version), max(version) FROM {t}"),
            Self::Pruned { from } => {
                format!("SELECT count(*), sum(version), max(file) FROM {t} WHERE version >= {from}")
            }
            Self::ThreeScans => format!(
                "SELECT (SELECT count(*) FROM {t}), (SELECT sum(version) FROM {t}), (SELECT max(version) FROM {t})"
            ),
            Self::OnePrefix => format!("SELECT count(*), sum(version), min(file) FROM {t} WHERE p = 1"),
            Self::SelfJoin => format!(
                "SELECT a.file, a.version, count(*), sum(b.version - a.version) FROM {t} a JOIN {t} b \
                 ON a.file = b.file AND a.n = b.n GROUP BY a.file, a.version"
            ),
            Self::AllRows => format!("SELECT file, version, n FROM {t}"),
        }
    }

    /// The right answer over these files.
    fn answer(self, state: &State) -> Rows {
        let files = |keep: &dyn Fn(i64, Version) -> bool| -> Vec<(i64, Version)> {
            let all = state
                .iter()
                .flat_map(|(p, files)| files.iter().map(move |(f, v)| (*p, *f, *v)));
            all.filter(|(p, _, v)| keep(*p, *v))
                .map(|(_, f, v)| (f, v))
                .collect()
        };
        let rows = |files: &[(i64, Version)]| files.iter().map(|(_, v)| v.rows).sum::<i64>();
        let versions =
            |files: &[(i64, Version)]| -> Vec<i64> { files.iter().map(|(_, v)| v.version).collect() };
        let sum = |files: &[(i64, Version)]| {
            let sum: i64 = files.iter().map(|(_, v)| v.version * v.rows).sum();
            (!files.is_empty()).then_some(sum)
        };
        let number = |n: Option<i64>| n.map_or_else(|| "NULL".to_owned(), |n| n.to_string());
        let one = |cells: [Option<i64>; 3]| vec![cells.map(number).to_vec()];
        let all = files(&|_, _| true);
        match self {
            Self::Footers => {
                let versions = versions(&all);
                one([
                    Some(rows(&all)),
                    versions.iter().min().copied(),
                    versions.iter().max().copied(),
                ])
            }
            Self::Pruned { from } => {
                let kept = files(&|_, v| v.version >= from);
                one([Some(rows(&kept)), sum(&kept), kept.iter().map(|(f, _)| *f).max()])
            }
            Self::ThreeScans => one([Some(rows(&all)), sum(&all), versions(&all).into_iter().max()]),
            Self::OnePrefix => {
                let kept = files(&|p, _| p == 1);
                one([Some(rows(&kept)), sum(&kept), kept.iter().map(|(f, _)| *f).min()])
            }
            Self::Versions | Self::AllRows => by_file(all.iter().map(|(f, v)| {
                let sum = v.rows * (v.rows - 1) / 2;
                ((*f, v.version), (v.rows, sum))
            })),
            Self::SelfJoin => by_file(all.iter().map(|(f, v)| ((*f, v.version), (v.rows, 0)))),
        }
    }
}

/// (file, version) with count and sum as sorted rows.
fn by_file(groups: impl IntoIterator<Item = ((i64, i64), (i64, i64))>) -> Rows {
    let mut rows: Rows = groups
        .into_iter()
        .map(|((file, version), (count, sum))| [file, version, count, sum].map(|n| n.to_string()).to_vec())
        .collect();
    rows.sort_unstable();
    rows
}

/// The answer; [`Ask::AllRows`] is grouped here. A mix of versions in rows that left before an error is one too.
async fn ask(client: &Client, ask: Ask, table: &str) -> Result<Rows, ClientError> {
    let mut stream = client.query(&ask.sql(table)).await?;
    let mut rows = Vec::new();
    let mut groups: BTreeMap<(i64, i64), (i64, i64)> = BTreeMap::new();
    let end = loop {
        match stream.try_next().await {
            Ok(Some(batch)) if ask == Ask::AllRows => {
                let column = |i: usize| batch.column(i).as_primitive::<Int64Type>().values().to_vec();
                for ((file, version), n) in column(0).into_iter().zip(column(1)).zip(column(2)) {
                    let group = groups.entry((file, version)).or_default();
                    *group = (group.0 + 1, group.1 + n);
                }
            }
            Ok(Some(batch)) => rows.extend(text_rows(&batch)),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    let files: BTreeSet<i64> = groups.keys().map(|(file, _)| *file).collect();
    assert_eq!(files.len(), groups.len(), "two versions of one file: {groups:?}");
    end?;
    rows.extend(by_file(groups));
    rows.sort_unstable();
    Ok(rows)
}

/// A table, its files, and all states they were in.
struct Schedule {
    dice: StdRng,
    table: String,
    store: Arc<MemS3>,
    history: Vec<State>,
    versions: i64,
    rows: i64,
    /// Whether a server may use a listing from before the query.
    listings_cached: bool,
    /// The state of the first listing.
    listed: usize,
}

impl Schedule {
    fn now(&self) -> usize {
        self.history.len() - 1
    }

    fn key(&self, p: i64, file: i64) -> String {
        format!("{}/p={p}/f{file}.parquet", self.table)
    }

    /// One random change.
    fn change(&mut self) {
        let mut state = self.history[self.now()].clone();
        let p = *PREFIXES.choose(&mut self.dice).unwrap();
        let files = state.get_mut(&p).unwrap();
        let known: Vec<i64> = files.keys().copied().collect();
        let file = match known.choose(&mut self.dice) {
            Some(file) if self.dice.random_bool(0.75) => *file,
            // File numbers say their prefix; a deleted one may come back.
            _ => p * 10 + self.dice.random_range(0..5),
        };
        if files.len() > 1 && files.contains_key(&file) && self.dice.random_bool(0.35) {
            files.remove(&file);
            assert!(self.store.delete(BUCKET, &self.key(p, file)));
        } else {
            self.versions += 1;
            let same_size = self.dice.random_bool(0.5);
            let rows = match files.get(&file) {
                Some(old) if same_size => old.rows,
                _ => self.rows + self.dice.random_range(0..90),
            };
            let version = Version {
                version: self.versions,
                rows,
            };
            files.insert(file, version);
            self.store.put(BUCKET, &self.key(p, file), content(file, version));
        }
        self.history.push(state);
    }

    /// A gate for requests that the next query will, or may, make.
    fn gate(&mut self) -> Gate {
        let operation = [
            Operation::ListObjectsV2,
            Operation::GetObject,
            Operation::GetObject,
        ][self.dice.random_range(0..3)];
        let key = match operation {
            Operation::GetObject if self.dice.random_bool(0.6) => {
                let state = &self.history[self.now()];
                let keys: Vec<String> = state
                    .iter()
                    .flat_map(|(p, files)| files.keys().map(|f| self.key(*p, *f)))
                    .collect();
                keys.choose(&mut self.dice).cloned().unwrap_or_default()
            }
            _ => format!("{}/", self.table),
        };
        if self.dice.random_bool(0.5) {
            self.store.pause_before(&key, operation)
        } else {
            self.store.pause_after(&key, operation)
        }
    }

    /// States of one prefix that an answer may be about, when the query ran from `begin` to now: those a listing within
    /// the query could see; and, of cached listings, those whose files were all still there within the query.
    fn allowed(&self, p: i64, begin: usize) -> BTreeSet<&Prefix> {
        let during = &self.history[begin..];
        let seen = |file: &i64, version: &Version| during.iter().any(|s| s[&p].get(file) == Some(version));
        let before = self.history[..begin].iter().map(|s| &s[&p]);
        let proved = before.filter(|files| self.listings_cached && files.iter().all(|(f, v)| seen(f, v)));
        proved.chain(during.iter().map(|s| &s[&p])).collect()
    }

    fn check(&self, ask: Ask, begin: usize, rows: &Rows) {
        let (one, two) = (self.allowed(1, begin), self.allowed(2, begin));
        let states = one.iter().flat_map(|one| {
            two.iter()
                .map(|two| State::from([(1, Prefix::clone(one)), (2, Prefix::clone(two))]))
        });
        let right: BTreeSet<Rows> = states.map(|state| ask.answer(&state)).collect();
        assert!(
            right.contains(rows),
            "{}: {ask:?}\nanswered {rows:?}\nright is one of {right:#?}\nbegun at {begin} of {:#?}",
            self.table,
            self.history
        );
    }
}

fn content(file: i64, version: Version) -> bytes::Bytes {
    let column = |value: &dyn Fn(i64) -> i64| {
        Arc::new(Int64Array::from_iter_values((0..version.rows).map(value))) as Arc<dyn Array>
    };
    let columns = [
        ("file", column(&|_| file)),
        ("version", column(&|_| version.version)),
        ("n", column(&|n| n)),
    ];
    // Plain pages of fixed width: the same number of rows makes the same number of bytes.
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_max_row_group_row_count(Some(usize::try_from(version.rows / 3 + 1).unwrap()))
        .build();
    parquet_with(&RecordBatch::try_from_iter(columns).unwrap(), properties)
}

/// What became of a schedule's query.
#[derive(Debug, Clone, Copy, Default)]
struct Outcome {
    gates_reached: usize,
    file_changed: bool,
}

async fn schedule(url: &str, store: &Arc<MemS3>, number: u64, listings_cached: bool) -> Outcome {
    let mut dice = StdRng::seed_from_u64(SEED + number);
    // Some answers are longer than what is held back until it is proved.
    let rows = if dice.random_bool(0.1) { 15_000 } else { 120 };
    let mut run = Schedule {
        dice,
        table: format!("seed_{}", SEED + number),
        store: Arc::clone(store),
        history: vec![PREFIXES.iter().map(|p| (*p, Prefix::new())).collect()],
        versions: 0,
        rows,
        listings_cached,
        listed: 0,
    };
    for _ in 0..run.dice.random_range(2..7) {
        run.change();
    }
    let client = connect(url).await;
    let t = run.table.clone();
    let ddl = format!(
        "CREATE EXTERNAL TABLE {t} (file bigint, version bigint, n bigint) PARTITIONED BY (p int) STORED AS PARQUET \
         LOCATION 's3://{BUCKET}/{t}/' TBLPROPERTIES ('projection.enabled' = 'true', 'projection.p.type' = 'integer', \
         'projection.p.range' = '1,2')"
    );
    crate::harness::run(&client, &ddl).await.unwrap();
    // What a cached listing may be of.
    run.listed = run.now();
    if run.dice.random_bool(0.7) {
        let warm = Ask::roll(&mut run.dice);
        let rows = ask(&client, warm, &t)
            .await
            .unwrap_or_else(|e| panic!("{t} before any change: {e}"));
        run.check(warm, run.now(), &rows);
    }
    for _ in 0..run.dice.random_range(0..3) {
        run.change();
    }
    let question = Ask::roll(&mut run.dice);
    let outcome = changed_meanwhile(&mut run, &client, question).await;
    // Nothing changes any more: sent again, the query is right, also after an error.
    let begin = run.now();
    let rows = ask(&client, question, &t)
        .await
        .unwrap_or_else(|e| panic!("{t} after all changes: {e}"));
    run.check(question, begin, &rows);
    outcome
}

/// Asks, and changes files at up to three points of the query.
async fn changed_meanwhile(run: &mut Schedule, client: &Client, question: Ask) -> Outcome {
    let (begin, t) = (run.now(), run.table.clone());
    let mut outcome = Outcome::default();
    let mut gate = run.gate();
    let asked = (client.clone(), t.clone());
    let mut query = tokio::spawn(async move { ask(&asked.0, question, &asked.1).await });
    let mut ended = None;
    for _ in 0..run.dice.random_range(1..4) {
        tokio::select! {
            () = gate.wait_reached() => {}
            answer = &mut query => {
                ended = Some(answer);
                break;
            }
        }
        outcome.gates_reached += 1;
        for _ in 0..run.dice.random_range(1..3) {
            run.change();
        }
        // The next gate is closed before this one opens.
        let next = run.gate();
        std::mem::replace(&mut gate, next).release();
    }
    gate.release();
    let answer = match ended {
        Some(answer) => answer,
        None => query.await,
    };
    match answer.unwrap() {
        Ok(rows) => run.check(question, begin, &rows),
        Err(error) => {
            let what = format!(
                "{t}: {question:?}\n{error}\nbegun at {begin} of {:#?}",
                run.history
            );
            assert_eq!(error.code(), Some("HIVE_FILE_CHANGED"), "{what}");
            // Rows of a listing from before the query may have left before the first changed file was met.
            let since = if run.listings_cached { run.listed } else { begin };
            assert!(run.now() > since, "no file changed\n{what}");
            outcome.file_changed = true;
        }
    }
    outcome
}

async fn hundred(first: u64, scan: ScanConfig) {
    let listings_cached = !scan.listing_ttl.is_zero();
    let server = TestServer::with_scan(scan).await;
    let outcomes: Vec<Outcome> = futures::stream::iter(first..first + SCHEDULES)
        .map(|number| schedule(&server.url, &server.store, number, listings_cached))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let reached = outcomes.iter().filter(|o| o.gates_reached > 0).count();
    let failed = outcomes.iter().filter(|o| o.file_changed).count();
    assert!(
        reached > outcomes.len() / 2,
        "most changes fall into a query: {reached}"
    );
    assert!(
        failed < outcomes.len() / 4,
        "most queries are answered all the same: {failed} failed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_cached_listings_no_answer_mixes_versions() {
    hundred(0, ScanConfig::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_fresh_listings_no_answer_mixes_versions_and_new_files_show_at_once() {
    let fresh = ScanConfig {
        listing_ttl: Duration::ZERO,
        ..ScanConfig::default()
    };
    hundred(SCHEDULES, fresh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_many_small_reads_no_answer_mixes_versions() {
    let many = ScanConfig {
        coalesce_gap_bytes: 0,
        footer_hint_bytes: 64,
        footer_memory_bytes: 0,
        ..ScanConfig::default()
    };
    hundred(2 * SCHEDULES, many).await;
}
