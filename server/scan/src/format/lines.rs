//! Lines of a byte stream, and which of them belong to a range of a file.
//!
//! A line ends with `\n`, `\r\n` or `\r`; it belongs to the range that holds its first byte.

use std::ops::Range;

/// A line longer than allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LineTooLong {
    /// Where it begins, in bytes from the start of the (unpacked) file.
    pub offset: u64,
}

/// What [`Lines::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A line, as a range of [`Lines::bytes`], and where it begins in the file.
    Line { bytes: Range<usize>, offset: u64 },
    /// More bytes are needed.
    More,
    /// No further line begins in the range.
    End,
}

/// Cuts bytes into lines; holds at most one line and what was pushed last.
#[derive(Debug)]
pub(crate) struct Lines {
    buffer: Vec<u8>,
    /// Where the unread bytes begin.
    start: usize,
    /// Up to here (from `start`) no line ends.
    searched: usize,
    /// Position in the file of `buffer[start]`.
    offset: u64,
    /// Lines that begin here or later belong to the next range.
    end: u64,
    max_line_bytes: usize,
    /// The last line ended with `\r`: a `\n` that follows belongs to it.
    after_return: bool,
    /// Still looking for the first line that begins in the range.
    seeking: bool,
    /// At the first byte of the file, where a mark of byte order may stand.
    at_mark: bool,
}

/// U+FEFF in UTF-8; no part of the first line.
const MARK: &[u8] = b"\xEF\xBB\xBF";

impl Lines {
    /// Lines of `range`. What is pushed has to begin at [`Lines::first_byte`].
    pub(crate) fn new(range: Range<u64>, max_line_bytes: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            offset: Self::first_byte(&range),
            end: range.end,
            max_line_bytes,
            after_return: false,
            seeking: range.start > 0,
            at_mark: range.start == 0,
        }
    }

    /// The byte before the range says whether a line begins with it.
    pub(crate) fn first_byte(range: &Range<u64>) -> u64 {
        range.start.saturating_sub(1)
    }

    /// The bytes that ranges of lines are in.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Where new bytes are to be appended; lines found so far become invalid.
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        &mut self.buffer
    }

    fn take(&mut self, bytes: usize) {
        self.start += bytes;
        self.offset += bytes as u64;
        self.searched = 0;
    }

    /// The next line; `at_end` says that nothing more will be pushed.
    pub(crate) fn next(&mut self, at_end: bool) -> Result<Step, LineTooLong> {
        if self.at_mark {
            let rest = &self.buffer[self.start..];
            if rest.starts_with(MARK) {
                self.take(MARK.len());
            } else if MARK.starts_with(rest) && !at_end {
                return Ok(Step::More);
            }
            self.at_mark = false;
        }
        loop {
            if self.after_return && self.buffer.get(self.start) == Some(&b'\n') {
                self.take(1);
                self.after_return = false;
            }
            if !self.seeking && self.offset >= self.end {
                return Ok(Step::End);
            }
            let rest = &self.buffer[self.start..];
            if rest.is_empty() {
                return Ok(if at_end { Step::End } else { Step::More });
            }
            // A byte is there, so the question is settled.
            self.after_return = false;
            let found = memchr::memchr2(b'\n', b'\r', &rest[self.searched..]).map(|at| self.searched + at);
            let length = found.unwrap_or(rest.len());
            if !self.seeking && length > self.max_line_bytes {
                return Err(LineTooLong { offset: self.offset });
            }
            let Some(at) = found else {
                if let Some(step) = self.unfinished(at_end) {
                    return Ok(step);
                }
                continue;
            };
            let (line, offset) = (self.start..self.start + at, self.offset);
            self.after_return = rest[at] == b'\r';
            self.take(at + 1);
            if !std::mem::replace(&mut self.seeking, false) {
                return Ok(Step::Line { bytes: line, offset });
            }
        }
    }

    /// No end of a line in sight.
    fn unfinished(&mut self, at_end: bool) -> Option<Step> {
        let length = self.buffer.len() - self.start;
        if self.seeking {
            self.take(length);
            // A line that begins later is not of this range.
            if self.offset >= self.end {
                return Some(Step::End);
            }
            return Some(if at_end { Step::End } else { Step::More });
        }
        if !at_end {
            self.searched = length;
            return Some(Step::More);
        }
        let (bytes, offset) = (self.start..self.start + length, self.offset);
        self.take(length);
        Some(Step::Line { bytes, offset })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The lines of `range` of `text`, pushed in pieces of `chunk`.
    fn lines(text: &[u8], range: Range<u64>, chunk: usize) -> Vec<(u64, Vec<u8>)> {
        let from = usize::try_from(Lines::first_byte(&range)).unwrap();
        let mut lines = Lines::new(range, 1000);
        let mut pieces = text[from..].chunks(chunk);
        let mut found = Vec::new();
        let mut at_end = false;
        loop {
            match lines.next(at_end).unwrap() {
                Step::Line { bytes, offset } => found.push((offset, lines.bytes()[bytes].to_vec())),
                Step::End => return found,
                Step::More => match pieces.next() {
                    Some(piece) => lines.tail().extend_from_slice(piece),
                    None => at_end = true,
                },
            }
        }
    }

    #[test]
    fn every_kind_of_line_end() {
        let found = lines(b"a\nb\r\nc\rd\n\n\r\r\n\ne", 0..100, 3);
        let texts: Vec<&[u8]> = found.iter().map(|(_, t)| t.as_slice()).collect();
        assert_eq!(
            texts,
            [b"a".as_slice(), b"b", b"c", b"d", b"", b"", b"", b"", b"e"]
        );
        assert_eq!(lines(b"", 0..0, 1), []);
        assert_eq!(lines(b"\n", 0..1, 1), [(0, b"".to_vec())]);
    }

    #[test]
    fn a_mark_of_byte_order_is_no_text() {
        for chunk in 1..5 {
            assert_eq!(lines(b"\xEF\xBB\xBFa\n", 0..5, chunk), [(3, b"a".to_vec())]);
            assert_eq!(lines(b"\xEF\xBBa", 0..3, chunk), [(0, b"\xEF\xBBa".to_vec())]);
        }
    }

    #[test]
    fn a_line_that_is_too_long_says_where_it_begins() {
        let mut lines = Lines::new(0..100, 4);
        lines.tail().extend_from_slice(b"abcd\nabcde");
        assert!(matches!(lines.next(false), Ok(Step::Line { .. })));
        assert_eq!(lines.next(false), Err(LineTooLong { offset: 5 }));
    }

    proptest! {
        #[test]
        fn ranges_give_each_line_once(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'x'), Just(b'y')], 0..60),
            cuts in proptest::collection::vec(0_u64..60, 0..6),
            chunk in 1_usize..9,
        ) {
            let size = text.len() as u64;
            let whole = lines(&text, 0..size, 1000);
            let mut bounds: Vec<u64> = cuts.into_iter().filter(|c| *c < size).chain([0, size]).collect();
            bounds.sort_unstable();
            bounds.dedup();
            let parts: Vec<_> = bounds.windows(2).flat_map(|w| lines(&text, w[0]..w[1], chunk)).collect();
            prop_assert_eq!(parts, whole);
        }
    }
}
