//! Patterns of Trino's engine (Java's syntax) in the syntax of ours, compiled.
//!
//! `$` is before a newline that ends the text, or at the end. Our engine knows only the end, and ends of lines. For a
//! text that ends in a newline a character stands in for that newline; it is the only end of a line there is.

use std::borrow::Cow;

use datafusion::error::{DataFusionError, Result};
use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{self, Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind};

use super::translate::translate;
use crate::semantics::error::{bad_argument, not_supported};

/// Largest compiled program.
const MAX_PROGRAM_BYTES: usize = 4 * 1024 * 1024;
/// `$` where the text ends in no newline.
const END: &str = "\\z";
/// `$` where a character stands in for the newline at the end.
const END_OF_LINE: &str = "(?m:$)";

/// Remembers the last pattern: it is a constant nearly always.
pub(super) struct Patterns {
    last: Option<Pattern>,
}

impl Patterns {
    pub(super) fn new() -> Self {
        Self { last: None }
    }

    pub(super) fn get(&mut self, pattern: &str) -> Result<&mut Pattern> {
        if self.last.as_ref().is_none_or(|last| last.written != pattern) {
            self.last = Some(Pattern::new(pattern)?);
        }
        match &mut self.last {
            Some(last) => Ok(last),
            None => Err(DataFusionError::Internal("regex cache is empty".into())),
        }
    }
}

/// A compiled pattern.
pub(super) struct Pattern {
    written: String,
    regex: Regex,
    /// Whether the pattern has a `$`.
    has_end: bool,
    /// For texts that end in a newline: the character that stands in for it, and the pattern that knows it.
    stand_in: Option<(char, Regex)>,
}

impl Pattern {
    fn new(written: &str) -> Result<Self> {
        let plain = translate(written, END)?;
        Ok(Self {
            written: written.to_owned(),
            regex: compile(&plain, None)?,
            has_end: translate(written, END_OF_LINE)? != plain,
            stand_in: None,
        })
    }

    /// The groups are the same for every text.
    pub(super) fn groups(&self) -> &Regex {
        &self.regex
    }

    /// What to search in for `text`, and what to search for. Places found are places in `text`.
    pub(super) fn on<'t>(&mut self, text: &'t str) -> Result<(&Regex, Cow<'t, str>)> {
        let Some(before) = text.strip_suffix('\n').filter(|_| self.has_end) else {
            return Ok((&self.regex, Cow::Borrowed(text)));
        };
        let known = self.stand_in.as_ref().map(|(stand_in, _)| *stand_in);
        let absent = |c: &char| *c != '\n' && !before.contains(*c);
        let Some(stand_in) = known.into_iter().chain('\0'..' ').find(absent) else {
            return Err(not_supported(
                "$ for a text that has every control character, in a regular expression",
                "regular-expressions",
            ));
        };
        if known != Some(stand_in) {
            self.stand_in = Some((stand_in, with_stand_in(&self.written, stand_in)?));
        }
        match &self.stand_in {
            Some((stand_in, regex)) => Ok((regex, Cow::Owned(format!("{before}{stand_in}")))),
            None => Err(DataFusionError::Internal("regex cache is empty".into())),
        }
    }
}

fn compile(pattern: &str, end_of_line: Option<char>) -> Result<Regex> {
    let mut builder = RegexBuilder::new(pattern);
    builder.size_limit(MAX_PROGRAM_BYTES);
    if let Some(byte) = end_of_line.and_then(|c| u8::try_from(c).ok()) {
        builder.line_terminator(byte);
    }
    builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => bad_argument("regular expression is too large"),
        other => invalid(&other),
    })
}

fn invalid(error: &dyn std::error::Error) -> DataFusionError {
    let text = error.to_string();
    let why = text.lines().last().unwrap_or_default();
    bad_argument(format!("invalid regular expression: {why}"))
}

/// The pattern for texts in which `stand_in`, which is nowhere else in them, takes the place of the last newline.
fn with_stand_in(written: &str, stand_in: char) -> Result<Regex> {
    let pattern = translate(written, END_OF_LINE)?;
    let parsed = regex_syntax::parse(&pattern).map_err(|error| invalid(&error))?;
    compile(&replaced(parsed, stand_in).to_string(), Some(stand_in))
}

/// What matches a newline matches `stand_in` too, and nothing else does.
fn replaced(pattern: Hir, stand_in: char) -> Hir {
    let all = |parts: Vec<Hir>| parts.into_iter().map(|part| replaced(part, stand_in)).collect();
    match pattern.into_kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(text) => Hir::concat(
            String::from_utf8_lossy(&text.0)
                .chars()
                .map(|c| class(ClassUnicode::new([ClassUnicodeRange::new(c, c)]), stand_in))
                .collect(),
        ),
        HirKind::Class(Class::Unicode(set)) => class(set, stand_in),
        // Only where Unicode is off, which no pattern here can say.
        HirKind::Class(bytes) => Hir::class(bytes),
        HirKind::Look(look) => Hir::look(look),
        HirKind::Repetition(mut repetition) => {
            repetition.sub = Box::new(replaced(*repetition.sub, stand_in));
            Hir::repetition(repetition)
        }
        HirKind::Capture(hir::Capture { index, name, sub }) => Hir::capture(hir::Capture {
            index,
            name,
            sub: Box::new(replaced(*sub, stand_in)),
        }),
        HirKind::Concat(parts) => Hir::concat(all(parts)),
        HirKind::Alternation(parts) => Hir::alternation(all(parts)),
    }
}

fn class(mut set: ClassUnicode, stand_in: char) -> Hir {
    let newline = set
        .iter()
        .any(|range| (range.start()..=range.end()).contains(&'\n'));
    let own = ClassUnicode::new([ClassUnicodeRange::new(stand_in, stand_in)]);
    set.difference(&own);
    if newline {
        set.union(&own);
    }
    Hir::class(Class::Unicode(set))
}
