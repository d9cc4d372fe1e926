//! Upper and lower case one code point at a time, by the simple mappings of Unicode, as Trino (and Java) maps them.

/// Letters whose upper case is one letter by the simple mapping and several by the full one, which the standard library
/// knows: first, last, and how far the upper case is. From UnicodeData.txt (Unicode 15.1), field 12.
const SIMPLE_UPPER: [(char, char, u32); 6] = [
    ('\u{1f80}', '\u{1f87}', 8),
    ('\u{1f90}', '\u{1f97}', 8),
    ('\u{1fa0}', '\u{1fa7}', 8),
    ('\u{1fb3}', '\u{1fb3}', 9),
    ('\u{1fc3}', '\u{1fc3}', 9),
    ('\u{1ff3}', '\u{1ff3}', 9),
];
/// The one letter whose lower case is so, and that lower case: field 13.
const SIMPLE_LOWER: (char, char) = ('\u{130}', 'i');

/// Upper case; `ß` stays, which has no upper case of one letter.
pub(super) fn upper(text: &str) -> String {
    text.chars()
        .map(|c| single(c.to_uppercase()).unwrap_or_else(|| simple_upper(c)))
        .collect()
}

/// Lower case, without a rule for the last sigma of a word.
pub(super) fn lower(text: &str) -> String {
    let simple = |c| if c == SIMPLE_LOWER.0 { SIMPLE_LOWER.1 } else { c };
    text.chars()
        .map(|c| single(c.to_lowercase()).unwrap_or_else(|| simple(c)))
        .collect()
}

fn single(mut mapped: impl Iterator<Item = char>) -> Option<char> {
    mapped.next().filter(|_| mapped.next().is_none())
}

fn simple_upper(c: char) -> char {
    let shift = SIMPLE_UPPER
        .iter()
        .find(|(first, last, _)| (*first..=*last).contains(&c))
        .map_or(0, |(.., shift)| *shift);
    char::from_u32(u32::from(c) + shift).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_letter_becomes_one_letter() {
        for (text, expected) in [
            ("aß", "Aß"),
            ("ᾠ", "ᾨ"),
            ("ᾀᾇᾐᾗᾳῃῳ", "ᾈᾏᾘᾟᾼῌῼ"),
            ("ŉǰﬁ", "ŉǰﬁ"),
            ("ǆǅ", "ǄǄ"),
            ("ᾈ", "ᾈ"),
        ] {
            assert_eq!(upper(text), expected, "{text}");
        }
        for (text, expected) in [("İI", "ii"), ("ΑΣ", "ασ"), ("ẞ", "ß"), ("ᾨ", "ᾠ")] {
            assert_eq!(lower(text), expected, "{text}");
        }
        let twins = ('\0'..=char::MAX).filter(|c| simple_upper(*c) != *c).count();
        assert_eq!(twins, 27);
        // And the way back.
        for c in ('\0'..=char::MAX).filter(|c| simple_upper(*c) != *c) {
            assert_eq!(lower(&simple_upper(c).to_string()), c.to_string());
        }
    }
}
