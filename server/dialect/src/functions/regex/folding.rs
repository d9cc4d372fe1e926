//! Letters that are as much as several others where case does not count: `ß` and `ss`, `ﬁ` and `fi`.
//!
//! Rust's engine folds one letter to one; Trino's also folds one to several, both in the pattern and in the text.

use std::collections::HashMap;
use std::sync::LazyLock;

use datafusion::error::Result;

use crate::semantics::error::not_supported;

/// The last letter with a folding of several.
const LAST: char = '\u{fb17}';
/// Ways to write one piece of a pattern; more are refused.
const MAX_WAYS: usize = 64;

/// Sequences, and the letters that each is the folding of.
static FOLDED: LazyLock<HashMap<Vec<char>, Vec<char>>> = LazyLock::new(|| {
    let mut folded: HashMap<Vec<char>, Vec<char>> = HashMap::new();
    for letter in '\0'..=LAST {
        let sequence = fold(letter);
        if sequence.len() > 1 {
            folded.entry(sequence).or_default().push(letter);
        }
    }
    folded
});

/// The full folding of a letter (Unicode's CaseFolding.txt, C and F), from the mappings of the standard library.
fn fold(letter: char) -> Vec<char> {
    let upper: Vec<char> = letter.to_uppercase().collect();
    let lower: Vec<char> = upper.iter().flat_map(|c| c.to_lowercase()).collect();
    match lower.as_slice() {
        // `ẞ` is its own upper case, and `ß` its lower case.
        [one] if *one != letter && one.to_uppercase().count() > 1 => fold(*one),
        _ => lower,
    }
}

/// The letters with a folding of several, each with that folding.
pub(super) fn expanding() -> impl Iterator<Item = (char, &'static [char])> {
    FOLDED
        .iter()
        .flat_map(|(sequence, letters)| letters.iter().map(|letter| (*letter, sequence.as_slice())))
}

/// A pattern, for a place where case does not count, that matches `literals` however their letters are written.
///
/// # Errors
/// `NOT_SUPPORTED` when there are too many ways to write them.
pub(super) fn written(literals: &[char]) -> Result<String> {
    let folded: Vec<char> = literals.iter().flat_map(|c| fold(*c)).collect();
    let single = folded.len() == literals.len();
    let mut out = String::new();
    let mut at = 0;
    while at < folded.len() {
        let end = cluster(&folded, at);
        if end == at {
            // The letter as it stands in the pattern: the engine folds it.
            push(&mut out, if single { literals[at] } else { folded[at] });
            at += 1;
            continue;
        }
        let mut ways = Vec::new();
        spell(&folded[at..end], String::new(), &mut ways)?;
        out.push_str("(?:");
        out.push_str(&ways.join("|"));
        out.push(')');
        at = end;
    }
    Ok(out)
}

/// Letters that stand for what begins at `at`, and how long that is.
fn letters_at(folded: &[char], at: usize) -> impl Iterator<Item = (usize, &'static [char])> + '_ {
    (2..=3).filter_map(move |length| {
        let sequence = folded.get(at..at + length)?;
        FOLDED.get(sequence).map(|letters| (length, letters.as_slice()))
    })
}

/// Where the sequences that begin at `at`, and those that overlap them, end; `at` itself when there are none.
fn cluster(folded: &[char], at: usize) -> usize {
    let mut end = at;
    let mut next = at;
    while next == at || next < end {
        for (length, _) in letters_at(folded, next) {
            end = end.max(next + length);
        }
        next += 1;
    }
    end
}

fn spell(rest: &[char], sofar: String, ways: &mut Vec<String>) -> Result<()> {
    let Some(first) = rest.first() else {
        if ways.len() == MAX_WAYS {
            return Err(not_supported(
                "so long a row of letters that have a ligature, under (?i) in a regular expression",
                "regular-expressions",
            ));
        }
        ways.push(sofar);
        return Ok(());
    };
    let mut plain = sofar.clone();
    push(&mut plain, *first);
    spell(&rest[1..], plain, ways)?;
    for (length, letters) in letters_at(rest, 0) {
        let mut shorter = sofar.clone();
        shorter.push('[');
        letters.iter().for_each(|letter| shorter.push(*letter));
        shorter.push(']');
        spell(&rest[length..], shorter, ways)?;
    }
    Ok(())
}

/// A character as a pattern of itself.
pub(super) fn push(out: &mut String, ch: char) {
    out.push_str(&regex::escape(ch.encode_utf8(&mut [0; 4])));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_fold_to_several_are_those_of_unicode() {
        assert_eq!(expanding().count(), 104);
        for (letter, folding) in [
            ('ß', "ss"),
            ('ẞ', "ss"),
            ('ﬃ', "ffi"),
            ('İ', "i\u{307}"),
            ('ᾈ', "ἀι"),
        ] {
            assert_eq!(fold(letter).iter().collect::<String>(), folding, "{letter}");
        }
        assert_eq!(fold('ſ'), ['s']);
    }

    #[test]
    fn overlapping_sequences_are_spelled_every_way() {
        let of = |text: &str| written(&text.chars().collect::<Vec<_>>()).unwrap();
        assert_eq!(of("cat."), "cat\\.");
        assert_eq!(of("maße"), "ma(?:ss|[ßẞ])e");
        assert_eq!(of("ffi"), "(?:ffi|f[ﬁ]|[ﬀ]i|[ﬃ])");
        assert_eq!(of("sss"), "(?:sss|s[ßẞ]|[ßẞ]s)");
        assert!(written(&['s'; 40]).is_err());
    }
}
