//! TAB in the REPL: keywords, and the names of the catalog, asked for at the first TAB and kept for the session.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reedline::{Completer, CompletionResult, Span, Suggestion};
use tokio::runtime::Handle;

use super::repl::{KEYWORDS, Token, tokens};
use crate::client::Client;
use crate::metadata::TableName;

/// Longest time that a TAB waits for the server.
const PATIENCE: Duration = Duration::from_millis(400);
/// A server that was too slow this often is not asked again.
const TRIES: u32 = 2;
/// Tables whose names are kept.
const MAX_TABLES: usize = 5_000;
/// Suggestions of one TAB.
const MAX_SUGGESTIONS: usize = 200;

/// Names of the catalog as far as they are known; shared by the REPL and its completer.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    tables: Option<Arc<[TableName]>>,
    failed: u32,
}

impl Names {
    /// Asks again at the next TAB: a statement may have changed the catalog.
    pub(super) fn forget(&self) {
        self.lock().tables = None;
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known, after asking the server if nothing is; never waits for longer than [`PATIENCE`].
    fn get(&self, client: &Client) -> Arc<[TableName]> {
        if let Some(tables) = &self.lock().tables {
            return Arc::clone(tables);
        }
        if self.lock().failed >= TRIES {
            return Arc::default();
        }
        let asked = async { tokio::time::timeout(PATIENCE, client.tables(MAX_TABLES)).await };
        // The REPL reads the keyboard on a thread that the runtime has given up (`block_in_place`).
        let answer = Handle::try_current().map(|handle| handle.block_on(asked));
        let mut known = self.lock();
        match answer {
            Ok(Ok(Ok(tables))) => {
                let tables: Arc<[TableName]> = tables.into();
                known.tables = Some(Arc::clone(&tables));
                known.failed = 0;
                tables
            }
            _ => {
                known.failed += 1;
                Arc::default()
            }
        }
    }
}

/// Completes SQL for one client.
pub(super) struct SqlCompleter {
    pub(super) client: Client,
    pub(super) names: Names,
}

impl Completer for SqlCompleter {
    fn complete(&mut self, line: &str, pos: usize) -> CompletionResult {
        let Some(place) = Place::of(line, pos) else {
            return CompletionResult::fresh(Vec::new());
        };
        let tables = self.names.get(&self.client);
        let span = Span::new(pos - place.word.len(), pos);
        let suggestions: Vec<Suggestion> = place
            .suggest(line, &tables)
            .into_iter()
            .take(MAX_SUGGESTIONS)
            .map(|value| Suggestion {
                value,
                span,
                ..Suggestion::default()
            })
            .collect();
        CompletionResult::fresh(suggestions)
    }
}

/// Where the cursor stands.
#[derive(Debug, PartialEq, Eq)]
struct Place<'l> {
    /// The name before a dot before the word.
    qualifier: Option<&'l str>,
    /// The word before that, upper case.
    after: String,
    /// What is typed of the word.
    word: &'l str,
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_' || letter == '$'
}

/// `text` before its last word, and the word.
fn last_word(text: &str) -> (&str, &str) {
    let start = text
        .char_indices()
        .rev()
        .take_while(|(_, letter)| is_name(*letter))
        .last()
        .map_or(text.len(), |(at, _)| at);
    text.split_at(start)
}

impl<'l> Place<'l> {
    /// `None` in strings and comments, where no name is meant.
    fn of(line: &'l str, pos: usize) -> Option<Self> {
        let before = line.get(..pos)?;
        if let Some((Token::Quoted | Token::Comment, text)) = tokens(before).pop() {
            let closed = text.len() > 1 && text.ends_with(['\'', '"', '`', '/']);
            if !closed {
                return None;
            }
        }
        let (rest, word) = last_word(before);
        let (rest, qualifier) = match rest.strip_suffix('.') {
            Some(rest) => {
                let (rest, qualifier) = last_word(rest);
                (rest, Some(qualifier))
            }
            None => (rest, None),
        };
        let after = last_word(rest.trim_end()).1.to_uppercase();
        Some(Self {
            qualifier,
            after,
            word,
        })
    }

    /// What the word may become, best first.
    fn suggest(&self, line: &str, tables: &[TableName]) -> Vec<String> {
        let wanted = self.word.to_lowercase();
        let fits = |name: &&str| name.to_lowercase().starts_with(&wanted);
        let sorted = |names: BTreeSet<&str>| names.into_iter().filter(fits).map(str::to_owned).collect();
        if let Some(qualifier) = self.qualifier {
            let is = |name: &str| name.eq_ignore_ascii_case(qualifier);
            let of_database = tables
                .iter()
                .filter(|t| is(&t.database))
                .map(|t| t.table.as_str());
            let named = table_named(line, qualifier, tables);
            let columns = named
                .into_iter()
                .flat_map(|t| t.columns.iter().map(String::as_str));
            return sorted(of_database.chain(columns).collect());
        }
        let table_names = || {
            tables
                .iter()
                .flat_map(|t| [t.table.as_str(), t.database.as_str()])
        };
        let wants_table = matches!(
            self.after.as_str(),
            "FROM" | "JOIN" | "TABLE" | "DESCRIBE" | "D" | "PARTITIONS" | "USE" | "IN"
        );
        if wants_table {
            let names: Vec<String> = sorted(table_names().collect());
            if !names.is_empty() || self.word.is_empty() {
                return names;
            }
        }
        if self.word.is_empty() {
            return Vec::new();
        }
        let columns = words(line)
            .filter_map(|word| tables.iter().find(|t| t.table.eq_ignore_ascii_case(word)))
            .flat_map(|t| t.columns.iter().map(String::as_str));
        let mut all: Vec<String> = sorted(columns.chain(table_names()).collect());
        let lower = self.word.chars().any(char::is_lowercase);
        let keywords = KEYWORDS.iter().filter(|keyword| fits(keyword));
        all.extend(keywords.map(|k| if lower { k.to_lowercase() } else { (*k).to_owned() }));
        all
    }
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c| !is_name(c)).filter(|word| !word.is_empty())
}

/// The table that a name stands for: its own name, or its alias in `table [AS] name`.
fn table_named<'t>(line: &str, name: &str, tables: &'t [TableName]) -> Option<&'t TableName> {
    let table = |word: &str| tables.iter().find(|t| t.table.eq_ignore_ascii_case(word));
    let words: Vec<&str> = words(line).collect();
    let alias = words.iter().enumerate().find_map(|(at, word)| {
        let before = word
            .eq_ignore_ascii_case(name)
            .then(|| words.get(at.checked_sub(1)?))??;
        if before.eq_ignore_ascii_case("AS") {
            table(words.get(at.checked_sub(2)?)?)
        } else {
            table(before)
        }
    });
    table(name).or(alias)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> Vec<TableName> {
        let table = |database: &str, table: &str, columns: &[&str]| TableName {
            database: database.into(),
            table: table.into(),
            columns: columns.iter().map(|c| (*c).to_owned()).collect(),
        };
        vec![
            table("sales", "events", &["event_id", "amount", "dt"]),
            table("sales", "users", &["user_id", "name"]),
            table("logs", "errors", &["message"]),
        ]
    }

    /// `|` is the cursor.
    fn suggested(text: &str) -> Vec<String> {
        let pos = text.find('|').unwrap();
        let line = text.replacen('|', "", 1);
        Place::of(&line, pos).map_or_else(Vec::new, |place| place.suggest(&line, &tables()))
    }

    #[test]
    fn keywords_follow_the_case_that_is_typed() {
        assert_eq!(suggested("SEL|"), ["SELECT"]);
        assert_eq!(suggested("sel|"), ["select"]);
        assert_eq!(suggested("SELECT * FROM events WH|"), ["WHEN", "WHERE"]);
        assert!(suggested("|").is_empty());
    }

    #[test]
    fn after_from_come_tables_and_databases_and_after_a_database_its_tables() {
        assert_eq!(
            suggested("SELECT * FROM |"),
            ["errors", "events", "logs", "sales", "users"]
        );
        assert_eq!(suggested("SELECT * FROM e|"), ["errors", "events"]);
        assert_eq!(suggested("SELECT * FROM sales.|"), ["events", "users"]);
        assert_eq!(suggested("\\d us|"), ["users"]);
        assert_eq!(suggested("SELECT * FROM (SEL|"), ["SELECT"]);
    }

    #[test]
    fn columns_come_from_the_tables_of_the_line_also_by_alias_and_before_from() {
        assert_eq!(suggested("SELECT am| FROM sales.events"), ["amount"]);
        assert_eq!(
            suggested("SELECT e.| FROM events AS e"),
            ["amount", "dt", "event_id"]
        );
        assert_eq!(
            suggested("SELECT u.na| FROM events e JOIN users u ON TRUE"),
            ["name"]
        );
        assert_eq!(suggested("SELECT events.d| FROM events"), ["dt"]);
        assert!(suggested("SELECT mess| FROM events").is_empty());
    }

    #[test]
    fn strings_and_comments_are_left_alone() {
        assert!(suggested("SELECT 'sel|").is_empty());
        assert!(suggested("SELECT 1 -- sel|").is_empty());
        assert_eq!(suggested("SELECT 'x' FR|"), ["FROM"]);
        assert!(suggested("SELECT 'é' FROM nothing.|").is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_does_not_answer_is_asked_twice_and_typing_goes_on() {
        let channel = tonic::transport::Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        let client = Client::from_channel(channel, crate::ConnectOptions::default())
            .await
            .unwrap();
        let names = Names::default();
        let mut completer = SqlCompleter {
            client,
            names: names.clone(),
        };
        for _ in 0..4 {
            let result = tokio::task::block_in_place(|| completer.complete("sel", 3));
            assert_eq!(result.suggestions()[0].value, "select");
        }
        assert_eq!(names.lock().failed, TRIES);
    }
}
