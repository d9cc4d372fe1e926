//! Java's syntax of patterns in Rust's; what Rust's engine has not, or reads differently, is refused.

use std::iter::Peekable;
use std::str::Chars;

use datafusion::error::{DataFusionError, Result};
use regex_syntax::hir::{Class, HirKind};

use super::folding;
use crate::semantics::error::{bad_argument, not_supported};

/// Longest `{2,3}` that is looked for.
const MAX_INTERVAL_CHARS: usize = 24;

/// One piece of a pattern.
enum Piece {
    /// Itself; case may not count.
    Literal(char, bool),
    /// What Rust's engine reads as Java's does.
    Other(String),
    /// Says how often the piece before it may come.
    Quantifier(String),
    /// A class where case does not count, with letters that are as much as several: only their repetition is the same.
    Folding(String),
}

/// The pattern for Rust's engine; `end` takes the place of `$`.
///
/// # Errors
/// `NOT_SUPPORTED` for what that engine has not, `INVALID_FUNCTION_ARGUMENT` for what is no pattern.
pub(super) fn translate(pattern: &str, end: &str) -> Result<String> {
    let mut reader = Reader {
        chars: pattern.chars().peekable(),
        pieces: Vec::new(),
        insensitive: false,
        around: Vec::new(),
    };
    while let Some(ch) = reader.chars.next() {
        reader.read(ch, end)?;
    }
    written(&reader.pieces)
}

fn refused(what: &str) -> DataFusionError {
    not_supported(&format!("{what} in a regular expression"), "regular-expressions")
}

fn written(pieces: &[Piece]) -> Result<String> {
    let mut out = String::new();
    // Literals that are matched as one text, until something else comes.
    let mut text: Vec<char> = Vec::new();
    for (i, piece) in pieces.iter().enumerate() {
        let next = pieces.get(i + 1);
        if let Piece::Literal(ch, true) = piece {
            if matches!(next, Some(Piece::Quantifier(_))) {
                out.push_str(&folding::written(&std::mem::take(&mut text))?);
            }
            text.push(*ch);
            continue;
        }
        out.push_str(&folding::written(&std::mem::take(&mut text))?);
        match piece {
            Piece::Literal(ch, _) => folding::push(&mut out, *ch),
            Piece::Other(text) | Piece::Quantifier(text) => out.push_str(text),
            Piece::Folding(class) => match next {
                Some(Piece::Quantifier(times)) if times == "*" || times == "+" => out.push_str(class),
                _ => {
                    return Err(refused(
                        "a class with letters such as ß, which is as much as ss, under (?i)",
                    ));
                }
            },
        }
    }
    out.push_str(&folding::written(&text)?);
    Ok(out)
}

struct Reader<'p> {
    chars: Peekable<Chars<'p>>,
    pieces: Vec<Piece>,
    /// Case does not count here.
    insensitive: bool,
    /// The same for the groups around.
    around: Vec<bool>,
}

impl Reader<'_> {
    fn other(&mut self, text: impl Into<String>) {
        self.pieces.push(Piece::Other(text.into()));
    }

    fn literal(&mut self, ch: char) {
        self.pieces.push(Piece::Literal(ch, self.insensitive));
    }

    fn read(&mut self, ch: char, end: &str) -> Result<()> {
        let after_quantifier = matches!(self.pieces.last(), Some(Piece::Quantifier(_)));
        match ch {
            '\\' => self.escape()?,
            '[' => self.class()?,
            '(' => self.group()?,
            ')' => {
                self.insensitive = self.around.pop().unwrap_or(self.insensitive);
                self.other(")");
            }
            '$' => self.other(end),
            '.' | '^' | '|' => self.other(ch),
            '+' if after_quantifier => return Err(refused("a possessive quantifier")),
            '*' | '+' | '?' => self.pieces.push(Piece::Quantifier(ch.to_string())),
            '{' => match self.interval() {
                Some(times) => self.pieces.push(Piece::Quantifier(times)),
                None => self.literal('{'),
            },
            other => self.literal(other),
        }
        Ok(())
    }

    /// `{2}`, `{2,}`, `{2,3}`; any other `{` is a literal.
    fn interval(&mut self) -> Option<String> {
        let ahead = self.chars.clone().take(MAX_INTERVAL_CHARS);
        let inside: String = ahead.take_while(|c| *c != '}').collect();
        let (low, high) = inside.split_once(',').unwrap_or((&inside, ""));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if low.is_empty() || !digits(low) || !digits(high) {
            return None;
        }
        let mut rest = self.chars.clone();
        if rest.nth(inside.chars().count()) != Some('}') {
            return None;
        }
        self.chars = rest;
        Some(format!("{{{inside}}}"))
    }

    /// What an opening bracket begins.
    fn group(&mut self) -> Result<()> {
        let outside = self.insensitive;
        if self.chars.peek() != Some(&'?') {
            self.around.push(outside);
            self.other("(");
            return Ok(());
        }
        self.chars.next();
        match self.chars.peek() {
            Some('=' | '!' | '>') => Err(refused("look-around or an atomic group")),
            Some('<') => {
                self.chars.next();
                if matches!(self.chars.peek(), Some('=' | '!')) {
                    return Err(refused("look-behind"));
                }
                let name: String = self.chars.by_ref().take_while(|c| *c != '>').collect();
                self.around.push(outside);
                self.other(format!("(?P<{name}>"));
                Ok(())
            }
            _ => self.flags(outside),
        }
    }

    /// `(?i)`, which holds until the group ends, and `(?i: )`. Flags mean the same for `i` and `s` only.
    fn flags(&mut self, outside: bool) -> Result<()> {
        let mut out = String::from("(?");
        let mut on = true;
        loop {
            let flag = self.chars.next();
            match flag {
                Some('-') if on => on = false,
                Some('i') => self.insensitive = on,
                Some('s') => {}
                Some(':') => self.around.push(outside),
                Some(')') if out.len() > 2 => {}
                _ => return Err(refused("this group or flag")),
            }
            out.extend(flag);
            if matches!(flag, Some(':' | ')')) {
                self.other(out);
                return Ok(());
            }
        }
    }

    /// `\d` and the like.
    fn escape(&mut self) -> Result<()> {
        let Some(next) = self.chars.next() else {
            return Err(bad_argument("invalid regular expression: \\ at end of pattern"));
        };
        match escaped(next, &mut self.chars)? {
            Escaped::Set(inside, false) => self.other(format!("[{inside}]")),
            Escaped::Set(inside, true) => self.other(format!("[^{inside}]")),
            Escaped::Literal(ch) => self.literal(ch),
            Escaped::Other(text) => self.other(text),
        }
        Ok(())
    }

    /// A class, up to its closing bracket.
    fn class(&mut self) -> Result<()> {
        let negated = self.chars.next_if_eq(&'^').is_some();
        let mut inside = String::new();
        loop {
            let Some(ch) = self.chars.next() else {
                return Err(bad_argument(
                    "invalid regular expression: unclosed character class",
                ));
            };
            match ch {
                ']' => break,
                '[' => return Err(refused("a nested character class")),
                '&' if self.chars.peek() == Some(&'&') => return Err(refused("a class intersection")),
                // Set operators of Rust's classes, plain characters in Java's.
                '~' | '-' if self.chars.peek() == Some(&ch) => {
                    self.chars.next();
                    inside.push_str(if ch == '~' { "\\~\\~" } else { "\\-\\-" });
                }
                '\\' => match self.chars.next() {
                    Some('b' | 'B') => return Err(refused("\\b inside a class")),
                    Some(next) => match escaped(next, &mut self.chars)? {
                        Escaped::Set(set, false) => inside.push_str(set),
                        Escaped::Set(_, true) => return Err(refused("a negated class inside a class")),
                        Escaped::Literal(ch) => folding::push(&mut inside, ch),
                        Escaped::Other(text) => inside.push_str(&text),
                    },
                    None => return Err(bad_argument("invalid regular expression: \\ at end of pattern")),
                },
                other => inside.push(other),
            }
        }
        let class = format!("[{}{inside}]", if negated { "^" } else { "" });
        self.pieces
            .push(match self.insensitive.then(|| folds(&inside)).flatten() {
                Some(true) if !negated => Piece::Folding(class),
                Some(_) => {
                    return Err(refused(
                        "a class with letters such as ß, which is as much as ss, under (?i)",
                    ));
                }
                None => Piece::Other(class),
            });
        Ok(())
    }
}

/// Whether a class has all that its letters with a folding of several fold to; `None` when it has no such letters.
fn folds(inside: &str) -> Option<bool> {
    // What does not parse is reported when the whole pattern is compiled.
    let parsed = regex_syntax::parse(&format!("(?i)[{inside}]")).ok()?;
    let set = match parsed.kind() {
        HirKind::Class(Class::Unicode(set)) => set.clone(),
        HirKind::Literal(_) => regex_syntax::hir::ClassUnicode::new([]),
        _ => return None,
    };
    let has = |c: char| set.iter().any(|range| (range.start()..=range.end()).contains(&c));
    let mut found = folding::expanding().filter(|(letter, _)| has(*letter)).peekable();
    found.peek()?;
    Some(found.all(|(_, sequence)| sequence.iter().all(|c| has(*c))))
}

/// What follows a backslash.
enum Escaped {
    /// The inside of a class, and whether the class is all the rest.
    Set(&'static str, bool),
    Literal(char),
    Other(String),
}

fn escaped(next: char, chars: &mut Peekable<Chars<'_>>) -> Result<Escaped> {
    Ok(match next {
        'd' | 'D' => Escaped::Set("0-9", next == 'D'),
        'w' | 'W' => Escaped::Set("0-9A-Za-z_", next == 'W'),
        's' | 'S' => Escaped::Set("\\t\\n\\x0B\\x0C\\r ", next == 'S'),
        '1'..='9' | 'k' => return Err(refused("a back-reference")),
        'Q' | 'E' | 'G' | 'Z' | 'R' | 'X' | 'N' | 'h' | 'H' | 'v' | 'V' | 'c' | 'e' | '0' => {
            return Err(refused(&format!("\\{next}")));
        }
        'u' => Escaped::Literal(by_number("\\u", chars.by_ref().take(4).collect(), 4)?),
        'x' => {
            let digits: String = match chars.next_if_eq(&'{') {
                Some(_) => chars.by_ref().take_while(|c| *c != '}').collect(),
                None => chars.by_ref().take(2).collect(),
            };
            let length = digits.len();
            Escaped::Literal(by_number("\\x", digits, length)?)
        }
        'p' | 'P' => {
            let mut out = format!("\\{next}");
            if chars.next_if_eq(&'{').is_some() {
                let name: String = chars.by_ref().take_while(|c| *c != '}').collect();
                // The POSIX names are ASCII in Java and unknown to Rust.
                if !matches!(
                    name.as_str(),
                    "L" | "Lu" | "Ll" | "N" | "Nd" | "P" | "S" | "Z" | "M" | "IsAlphabetic"
                ) {
                    return Err(refused(&format!("\\{next}{{{name}}}")));
                }
                out.push_str(&format!("{{{name}}}"));
            }
            Escaped::Other(out)
        }
        // Joni's default word boundary is Unicode, as Rust's.
        'a' | 'f' | 't' | 'n' | 'r' | 'b' | 'B' | 'A' | 'z' => Escaped::Other(format!("\\{next}")),
        other if other.is_alphanumeric() => {
            return Err(bad_argument(format!(
                "invalid regular expression: unknown escape \\{other}"
            )));
        }
        other => Escaped::Literal(other),
    })
}

/// The character of a hexadecimal number of so many digits.
fn by_number(what: &str, digits: String, length: usize) -> Result<char> {
    u32::from_str_radix(&digits, 16)
        .ok()
        .filter(|_| digits.len() == length && !digits.starts_with('+'))
        .and_then(char::from_u32)
        .ok_or_else(|| {
            bad_argument(format!(
                "invalid regular expression: {what}{digits} is no character"
            ))
        })
}
