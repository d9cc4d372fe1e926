//! Backslash commands of the REPL: their text, and what they stand for. Nothing runs here.

use clap::ValueEnum;

use super::format::{Expanded, Format};

/// What a line that starts with a backslash asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Quit,
    Help,
    /// A statement that answers it.
    Sql(String),
    /// Switch the time line on or off.
    Timing,
    Format(Format),
    /// `None` switches to the next of off and on.
    Expanded(Option<Expanded>),
    /// Rows to show as a table; `None` is all.
    MaxRows(Option<usize>),
    /// Text to show instead of doing anything.
    Wrong(String),
}

/// Shown by `\?`.
pub(crate) const HELP: &str = "\
Statements end with a semicolon. Ctrl-C stops a running query, Ctrl-D leaves.

  \\d              tables of the database
  \\d TABLE        columns of a table
  \\l              databases
  \\format [NAME]  table, csv, tsv, json, jsonl, markdown, arrow
  \\x [on|off|auto]  one value per line
  \\rows N         rows to show as a table, 0 is all
  \\timing         show the elapsed time of each statement
  \\?              this text
  \\q              leave
";

impl Command {
    /// Reads a line that starts with a backslash.
    pub(crate) fn parse(line: &str) -> Self {
        let line = line.trim().trim_end_matches(';').trim_end();
        let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let argument = argument.trim();
        match (name, argument) {
            ("\\q" | "\\quit", "") => Self::Quit,
            ("\\?" | "\\h" | "\\help", "") => Self::Help,
            ("\\l", "") => Self::Sql("SHOW DATABASES".to_owned()),
            ("\\d" | "\\dt", "") => Self::Sql("SHOW TABLES".to_owned()),
            ("\\d", table) => Self::Sql(format!("DESCRIBE {table}")),
            ("\\timing", "") => Self::Timing,
            ("\\x", "") => Self::Expanded(None),
            ("\\x", "on") => Self::Expanded(Some(Expanded::On)),
            ("\\x", "off") => Self::Expanded(Some(Expanded::Off)),
            ("\\x", "auto") => Self::Expanded(Some(Expanded::Auto)),
            ("\\rows", number) => match number.parse() {
                Ok(rows) => Self::MaxRows((rows > 0).then_some(rows)),
                Err(_) => Self::Wrong("\\rows needs a number; 0 is all".to_owned()),
            },
            ("\\format", name) => Format::from_str(name, true).map_or_else(
                |_| {
                    Self::Wrong(
                        "\\format needs one of table, csv, tsv, json, jsonl, markdown, arrow".to_owned(),
                    )
                },
                Self::Format,
            ),
            _ => Self::Wrong(format!("{line} is not known; \\? lists what is")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_known_with_and_without_a_semicolon() {
        for (line, command) in [
            ("\\q", Command::Quit),
            (" \\? ;", Command::Help),
            ("\\l", Command::Sql("SHOW DATABASES".into())),
            ("\\d", Command::Sql("SHOW TABLES".into())),
            ("\\d sales.events;", Command::Sql("DESCRIBE sales.events".into())),
            ("\\timing", Command::Timing),
            ("\\format JSON", Command::Format(Format::Json)),
            ("\\x", Command::Expanded(None)),
            ("\\x auto", Command::Expanded(Some(Expanded::Auto))),
            ("\\rows 100", Command::MaxRows(Some(100))),
            ("\\rows 0", Command::MaxRows(None)),
        ] {
            assert_eq!(Command::parse(line), command, "{line}");
        }
    }

    #[test]
    fn everything_else_is_explained() {
        for line in [
            "\\",
            "\\nope",
            "\\format xml",
            "\\format",
            "\\rows",
            "\\rows many",
            "\\q now",
            "\\x maybe",
        ] {
            assert!(matches!(Command::parse(line), Command::Wrong(_)), "{line}");
        }
    }
}
