//! Which columns of a file are encrypted below a plain footer. The Parquet crate, built without decryption, does not say.
//!
//! Walks the footer's Thrift (compact protocol) to its first row group: a column is encrypted in all of them or in none.

const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// `FileMetaData.row_groups`.
const ROW_GROUPS: i16 = 4;
/// `RowGroup.columns`.
const COLUMNS: i16 = 1;
/// `ColumnChunk.crypto_metadata`.
const CRYPTO_METADATA: i16 = 8;

/// Structures of a footer nest a few levels deep.
const MAX_DEPTH: u8 = 16;

/// Leaf columns whose data is encrypted, ascending. None where `footer` is not one: whoever parses it says so.
pub(crate) fn encrypted_leaves(footer: &[u8]) -> Vec<usize> {
    Walk(footer).file().unwrap_or_default()
}

/// The rest of the footer. Every step is `None` where that ends or is not as it should be.
struct Walk<'a>(&'a [u8]);

impl Walk<'_> {
    fn file(&mut self) -> Option<Vec<usize>> {
        let group = self.first_of(ROW_GROUPS)?;
        if group == 0 {
            return None;
        }
        let columns = self.first_of(COLUMNS)?;
        let mut encrypted = Vec::new();
        for index in 0..columns {
            if self.chunk()? {
                encrypted.push(usize::try_from(index).ok()?);
            }
        }
        Some(encrypted)
    }

    /// Enters the list of structures in field `wanted` of the structure that begins here: how many they are.
    fn first_of(&mut self, wanted: i16) -> Option<u64> {
        let mut id = 0;
        while let Some(kind) = self.field(&mut id)? {
            if id == wanted && kind == LIST {
                let (element, count) = self.list()?;
                return (element == STRUCT).then_some(count);
            }
            self.skip(kind, 0)?;
        }
        None
    }

    /// Passes over a column chunk: whether it is encrypted.
    fn chunk(&mut self) -> Option<bool> {
        let (mut id, mut encrypted) = (0, false);
        while let Some(kind) = self.field(&mut id)? {
            encrypted |= id == CRYPTO_METADATA && kind == STRUCT;
            self.skip(kind, 0)?;
        }
        Some(encrypted)
    }

    /// The type of the next field; the inner `None` is the end of its structure.
    fn field(&mut self, id: &mut i16) -> Option<Option<u8>> {
        let head = self.byte()?;
        let kind = head & 0x0f;
        if kind == 0 {
            return Some(None);
        }
        *id = match head >> 4 {
            0 => {
                let zigzag = self.varint()?;
                let id = i64::try_from(zigzag >> 1).ok()? ^ -i64::try_from(zigzag & 1).ok()?;
                i16::try_from(id).ok()?
            }
            step => id.checked_add(i16::from(step))?,
        };
        Some(Some(kind))
    }

    fn list(&mut self) -> Option<(u8, u64)> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        Some((head & 0x0f, count))
    }

    fn skip(&mut self, kind: u8, depth: u8) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        match kind {
            // A boolean field has its value in its head.
            1 | 2 => Some(()),
            3 => self.take(1),
            4..=6 => self.varint().map(drop),
            7 => self.take(8),
            BINARY => {
                let length = self.varint()?;
                self.take(length)
            }
            LIST | SET => {
                let (element, count) = self.list()?;
                (0..count).try_for_each(|_| self.skip_element(element, depth))
            }
            MAP => {
                let count = self.varint()?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                (0..count).try_for_each(|_| {
                    self.skip_element(kinds >> 4, depth)?;
                    self.skip_element(kinds & 0x0f, depth)
                })
            }
            STRUCT => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.skip(kind, depth + 1)?;
                }
                Some(())
            }
            _ => None,
        }
    }

    /// Unlike as a field, a boolean takes a byte here, so every element takes one.
    fn skip_element(&mut self, kind: u8, depth: u8) -> Option<()> {
        match kind {
            1 | 2 => self.take(1),
            kind => self.skip(kind, depth + 1),
        }
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, length: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(length).ok()?..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Columns `n`, `secret`, `m`; the second is encrypted (`testdata/README.md`).
    const FILE: &[u8] = include_bytes!("../../../../testdata/parquet/encrypted_column/part-0.parquet");

    fn footer() -> &'static [u8] {
        let end = FILE.len() - 8;
        let length = u32::from_le_bytes(FILE[end..end + 4].try_into().unwrap());
        &FILE[end - length as usize..end]
    }

    #[test]
    fn the_encrypted_column_is_told_from_the_plain_ones() {
        assert_eq!(encrypted_leaves(footer()), [1]);
    }

    proptest! {
        #[test]
        fn no_footer_makes_it_panic_or_run_for_ever(
            cut in 0..footer().len(),
            at in 0..footer().len(),
            byte: u8,
            noise in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut bent = footer().to_vec();
            bent[at] = byte;
            let _ = encrypted_leaves(&bent);
            let _ = encrypted_leaves(&bent[..cut]);
            let _ = encrypted_leaves(&noise);
        }
    }
}
