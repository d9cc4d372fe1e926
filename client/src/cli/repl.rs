//! The REPL: line editing, history and highlighting around [`Shell`].

use std::borrow::Cow;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use reedline::{
    Color, ColumnarMenu, Emacs, FileBackedHistory, Highlighter, KeyCode, KeyModifiers, MenuBuilder, Prompt,
    PromptEditMode, PromptHistorySearch, PromptHistorySearchStatus, Reedline, ReedlineEvent, ReedlineMenu,
    Signal, StyledText, ValidationResult, Validator, default_emacs_keybindings,
};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::Exit;
use super::command::{Command, HELP};
use super::completion::{Names, SqlCompleter};
use super::format::{Expanded, Format};
use super::shell::Shell;
use super::split::{is_complete, split};

const MENU: &str = "names";
const HISTORY_LINES: usize = 10_000;
const DEFAULT_DATABASE: &str = "default";

/// Words that are highlighted: those that give a statement its shape.
pub(super) const KEYWORDS: &[&str] = &[
    "ADD",
    "ALL",
    "ALTER",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CREATE",
    "CROSS",
    "DATABASE",
    "DATABASES",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "EXTERNAL",
    "FALSE",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IF",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOCATION",
    "MSCK",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "PARTITIONED",
    "PARTITIONS",
    "REPAIR",
    "RIGHT",
    "ROW",
    "SELECT",
    "SET",
    "SHOW",
    "STORED",
    "TABLE",
    "TABLES",
    "TBLPROPERTIES",
    "THEN",
    "TRUE",
    "UNION",
    "UNNEST",
    "USE",
    "USING",
    "VALUES",
    "VIEW",
    "WHEN",
    "WHERE",
    "WITH",
];

/// Reads and runs statements until the person leaves. Errors of statements do not end it.
pub(crate) async fn run(shell: &mut Shell<'_>) -> Exit {
    let names = Names::default();
    let mut editor = editor(shell, names.clone());
    let _ = writeln!(shell.io.err, "\\? for help, \\q to leave.");
    loop {
        let database = shell.client.database();
        let prompt = DatabasePrompt(database.unwrap_or_else(|| DEFAULT_DATABASE.to_owned()));
        let line = match read_line(&mut editor, &prompt) {
            Ok(Signal::Success(line)) => line,
            Ok(Signal::CtrlC) => continue,
            Ok(Signal::CtrlD) => return Exit::Ok,
            Ok(_) => continue,
            Err(error) => {
                let _ = writeln!(shell.io.err, "Error: cannot read from the terminal: {error}");
                return Exit::Failed;
            }
        };
        if line.trim_start().starts_with('\\') {
            if let Some(exit) = command(shell, Command::parse(&line)).await {
                return exit;
            }
            continue;
        }
        for statement in split(&line) {
            // The rest of a line does not run on the ruins of its first part.
            if shell.run(statement.text, None).await != Exit::Ok {
                break;
            }
            if changes_names(statement.text) {
                names.forget();
            }
        }
    }
}

/// Carries out a backslash command; the exit if it ends the REPL.
async fn command(shell: &mut Shell<'_>, command: Command) -> Option<Exit> {
    let answer = match command {
        Command::Quit => return Some(Exit::Ok),
        Command::Help => HELP.to_owned(),
        Command::Sql(sql) => {
            shell.run(&sql, None).await;
            return None;
        }
        Command::Timing => {
            shell.timing = !shell.timing;
            format!("Timing is {}.\n", if shell.timing { "on" } else { "off" })
        }
        Command::Format(Format::Arrow) if shell.io.out_is_terminal => {
            "An Arrow file cannot be shown on a terminal; start with --output FILE.\n".to_owned()
        }
        Command::Format(format) => {
            shell.format = format;
            return None;
        }
        Command::Expanded(wanted) => {
            let other = if shell.expanded == Expanded::On {
                Expanded::Off
            } else {
                Expanded::On
            };
            shell.expanded = wanted.unwrap_or(other);
            let name = match shell.expanded {
                Expanded::On => "on",
                Expanded::Off => "off",
                Expanded::Auto => "on where columns do not fit",
            };
            format!("One value per line is {name}.\n")
        }
        Command::MaxRows(rows) => {
            shell.max_rows = rows;
            return None;
        }
        Command::Wrong(text) => format!("{text}\n"),
    };
    let _ = shell.io.err.write_all(answer.as_bytes());
    None
}

/// Reads on this thread, but lets the runtime move its other work elsewhere meanwhile.
fn read_line(editor: &mut Reedline, prompt: &DatabasePrompt) -> io::Result<Signal> {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(|| editor.read_line(prompt)),
        _ => editor.read_line(prompt),
    }
}

/// Whether a statement may have changed what TAB knows.
fn changes_names(sql: &str) -> bool {
    let first = sql.split_whitespace().next().unwrap_or_default();
    ["CREATE", "DROP", "ALTER"]
        .iter()
        .any(|word| first.eq_ignore_ascii_case(word))
}

fn editor(shell: &mut Shell<'_>, names: Names) -> Reedline {
    let mut keys = default_emacs_keybindings();
    let complete = ReedlineEvent::UntilFound(vec![
        ReedlineEvent::Menu(MENU.to_owned()),
        ReedlineEvent::MenuNext,
    ]);
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, complete);
    let menu = Box::new(ColumnarMenu::default().with_name(MENU));
    let completer = SqlCompleter {
        client: shell.client.clone(),
        names,
    };
    let editor = Reedline::create()
        .with_completer(Box::new(completer))
        .with_menu(ReedlineMenu::EngineCompleter(menu))
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_validator(Box::new(StatementValidator))
        .with_highlighter(Box::new(SqlHighlighter))
        .use_bracketed_paste(true);
    let Some(path) = shell.io.history_file.clone() else {
        return editor;
    };
    let history = private_file(&path)
        .map_err(|error| error.to_string())
        .and_then(|()| {
            FileBackedHistory::with_file(HISTORY_LINES, path.clone()).map_err(|error| error.to_string())
        });
    match history {
        Ok(history) => editor.with_history(Box::new(history)),
        Err(error) => {
            let _ = writeln!(
                shell.io.err,
                "Notice: no history is kept in {}: {error}",
                path.display()
            );
            editor
        }
    }
}

/// Creates the history readable by its owner only: statements can hold secrets.
fn private_file(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

struct DatabasePrompt(String);

impl Prompt for DatabasePrompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.0)
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_indicator(&self, _mode: PromptEditMode) -> Cow<'_, str> {
        Cow::Borrowed("> ")
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        Cow::Owned(format!("{:>width$} ", "->", width = self.0.chars().count() + 1))
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        let failing = match search.status {
            PromptHistorySearchStatus::Passing => "",
            PromptHistorySearchStatus::Failing => "not ",
        };
        Cow::Owned(format!("({failing}found: {}) ", search.term))
    }
}

/// Enter runs a line when its last statement is ended, or when it is a backslash command.
struct StatementValidator;

impl Validator for StatementValidator {
    fn validate(&self, line: &str) -> ValidationResult {
        if line.trim_start().starts_with('\\') || is_complete(line) {
            ValidationResult::Complete
        } else {
            ValidationResult::Incomplete
        }
    }
}

/// Keywords, strings and comments in their own colours.
struct SqlHighlighter;

impl Highlighter for SqlHighlighter {
    fn highlight(&self, line: &str, _cursor: usize) -> StyledText {
        let mut styled = StyledText::new();
        for (kind, text) in tokens(line) {
            let style = match kind {
                Token::Keyword => Color::Blue.bold(),
                Token::Quoted => Color::Green.normal(),
                Token::Comment => Color::DarkGray.normal(),
                Token::Other => Color::Default.normal(),
            };
            styled.push((style, text.to_owned()));
        }
        styled
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Keyword,
    Quoted,
    Comment,
    Other,
}

/// Cuts a line into coloured pieces; together they are the line again.
pub(super) fn tokens(line: &str) -> Vec<(Token, &str)> {
    let mut tokens = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let (kind, length) = if rest.starts_with("--") {
            (Token::Comment, rest.find('\n').unwrap_or(rest.len()))
        } else if let Some(body) = rest.strip_prefix("/*") {
            (Token::Comment, body.find("*/").map_or(rest.len(), |end| end + 4))
        } else if matches!(first, '\'' | '"' | '`') {
            let end = rest.get(1..).and_then(|body| body.find(first));
            (Token::Quoted, end.map_or(rest.len(), |end| end + 2))
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            let word = rest.get(..end).unwrap_or_default();
            let is_keyword = KEYWORDS
                .binary_search(&word.to_ascii_uppercase().as_str())
                .is_ok();
            (if is_keyword { Token::Keyword } else { Token::Other }, end)
        } else {
            (Token::Other, first.len_utf8())
        };
        let (piece, tail) = rest.split_at(length);
        tokens.push((kind, piece));
        rest = tail;
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_sorted_for_the_search() {
        assert!(KEYWORDS.is_sorted());
    }

    #[test]
    fn highlighting_keeps_every_character() {
        for line in [
            "select 'é;' from \"t\" -- x",
            "/* open",
            "'open",
            "sélect `a`",
            "--",
            "a\n--b\nc",
        ] {
            let joined: String = tokens(line).into_iter().map(|(_, text)| text).collect();
            assert_eq!(joined, line);
        }
        let kinds: Vec<_> = tokens("Select a, 'from' -- from")
            .into_iter()
            .filter(|t| t.0 != Token::Other)
            .collect();
        assert_eq!(
            kinds,
            [
                (Token::Keyword, "Select"),
                (Token::Quoted, "'from'"),
                (Token::Comment, "-- from")
            ]
        );
    }

    #[test]
    fn enter_runs_ended_statements_and_backslash_commands() {
        let complete = |line| matches!(StatementValidator.validate(line), ValidationResult::Complete);
        assert!(complete("SELECT 1;") && complete("\\d") && complete(" \\x") && complete(""));
        assert!(!complete("SELECT 1") && !complete("SELECT ';") && !complete("SELECT 1;\nSELECT"));
    }

    #[cfg(unix)]
    #[test]
    fn the_history_is_readable_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("owlake-history-{}", std::process::id()));
        let path = folder.join("new/history");
        private_file(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(mode & 0o777, 0o600);
    }
}
