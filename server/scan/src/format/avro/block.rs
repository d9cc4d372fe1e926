//! Blocks of an Avro container: where they are, and their records unpacked within a limit.

use std::io::Read;
use std::ops::Range;

use arrow_avro::reader::HeaderInfo;

/// How the records of a block are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockCodec {
    Plain,
    Deflate,
    Snappy,
    Zstd,
    Bzip2,
}

/// What the header of a container says.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    codec: BlockCodec,
    sync: [u8; 16],
    /// The header of the same container without compression.
    pub header: Vec<u8>,
}

/// One block at the start of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    records: i64,
    data: Range<usize>,
    /// Where the next block begins.
    pub end: usize,
}

impl Container {
    /// `Err` says what is wrong with the header.
    pub(crate) fn new(info: &HeaderInfo) -> Result<Self, String> {
        let codec = BlockCodec::of(info.compression().map_err(|e| e.to_string())?.as_ref())?;
        let schema = info.writer_schema().map_err(|e| e.to_string())?.json_string;
        let mut header = b"Obj\x01".to_vec();
        push_long(&mut header, 2);
        for text in ["avro.schema", schema.as_str(), "avro.codec", "null"] {
            push_long(&mut header, i64::try_from(text.len()).unwrap_or(i64::MAX));
            header.extend_from_slice(text.as_bytes());
        }
        push_long(&mut header, 0);
        header.extend_from_slice(&info.sync());
        Ok(Self {
            codec,
            sync: info.sync(),
            header,
        })
    }

    /// The block that `buffer` begins with; `None` where it is not all there yet.
    pub(crate) fn block(&self, buffer: &[u8], limit: usize) -> Result<Option<Block>, String> {
        let mut at = 0;
        let Some(records) = long(buffer, &mut at)? else {
            return Ok(None);
        };
        let Some(size) = long(buffer, &mut at)? else {
            return Ok(None);
        };
        let size = usize::try_from(size).map_err(|_| "a block has a negative size".to_owned())?;
        if records < 0 {
            return Err("a block has a negative number of records".to_owned());
        }
        if size > limit {
            return Err(format!("a block has {size} bytes, limit {limit}"));
        }
        let data = at..at + size;
        let end = data.end + self.sync.len();
        match buffer.get(data.end..end) {
            None => Ok(None),
            Some(sync) if sync == self.sync => Ok(Some(Block { records, data, end })),
            Some(_) => Err("a block does not end with the file's marker".to_owned()),
        }
    }

    /// Appends the block to `out` as one without compression.
    pub(crate) fn unpack(
        &self,
        buffer: &[u8],
        block: &Block,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let stored = &buffer[block.data.clone()];
        let plain = match self.codec {
            BlockCodec::Plain => stored.to_vec(),
            BlockCodec::Deflate => bounded(flate2::read::DeflateDecoder::new(stored), limit)?,
            BlockCodec::Bzip2 => bounded(bzip2::read::MultiBzDecoder::new(stored), limit)?,
            BlockCodec::Zstd => {
                let decoder = zstd::stream::read::Decoder::new(stored).map_err(|e| e.to_string())?;
                bounded(decoder, limit)?
            }
            BlockCodec::Snappy => snappy(stored, limit)?,
        };
        push_long(out, block.records);
        push_long(out, i64::try_from(plain.len()).unwrap_or(i64::MAX));
        out.extend_from_slice(&plain);
        out.extend_from_slice(&self.sync);
        Ok(())
    }
}

fn bounded(decoder: impl Read, limit: usize) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    decoder
        .take(limit as u64 + 1)
        .read_to_end(&mut out)
        .map_err(|e| format!("a block cannot be unpacked: {e}"))?;
    if out.len() > limit {
        return Err(format!("a block unpacks to more than {limit} bytes"));
    }
    Ok(out)
}

/// Raw snappy; the checksum of the plain bytes follows.
fn snappy(stored: &[u8], limit: usize) -> Result<Vec<u8>, String> {
    let wrong = |e: snap::Error| format!("a block cannot be unpacked: {e}");
    let Some((packed, checksum)) = stored.split_last_chunk::<4>() else {
        return Err("a block cannot be unpacked: it is cut short".to_owned());
    };
    if snap::raw::decompress_len(packed).map_err(wrong)? > limit {
        return Err(format!("a block unpacks to more than {limit} bytes"));
    }
    let plain = snap::raw::Decoder::new().decompress_vec(packed).map_err(wrong)?;
    let mut sum = flate2::Crc::new();
    sum.update(&plain);
    if sum.sum() != u32::from_be_bytes(*checksum) {
        return Err("a block cannot be unpacked: its checksum is wrong".to_owned());
    }
    Ok(plain)
}

/// A number as Avro writes it: seven bits a byte, the sign in the lowest bit.
fn long(buffer: &[u8], at: &mut usize) -> Result<Option<i64>, String> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let Some(byte) = buffer.get(*at) else {
            return Ok(None);
        };
        *at += 1;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok(Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed()));
        }
    }
    Err("a block begins with no number".to_owned())
}

fn push_long(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(value: i64) {
            let mut out = Vec::new();
            push_long(&mut out, value);
            let mut at = 0;
            prop_assert_eq!(long(&out, &mut at), Ok(Some(value)));
            prop_assert_eq!(at, out.len());
            let mut at = 0;
            prop_assert_eq!(long(&out[..out.len() - 1], &mut at), Ok(None));
        }
    }

    #[test]
    fn blocks_are_bounded_and_end_with_the_marker() {
        let container = Container {
            codec: BlockCodec::Deflate,
            sync: [7; 16],
            header: Vec::new(),
        };
        let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, &[0; 10_000]).unwrap();
        let packed = packed.finish().unwrap();
        let mut buffer = Vec::new();
        push_long(&mut buffer, 3);
        push_long(&mut buffer, i64::try_from(packed.len()).unwrap());
        buffer.extend(&packed);
        buffer.extend([7; 16]);
        for cut in 0..buffer.len() {
            assert_eq!(container.block(&buffer[..cut], 20_000), Ok(None), "{cut}");
        }
        let block = container.block(&buffer, 20_000).unwrap().unwrap();
        assert_eq!((block.records, block.end), (3, buffer.len()));
        let mut out = Vec::new();
        container.unpack(&buffer, &block, 10_000, &mut out).unwrap();
        assert!(out.len() > 10_000);
        let error = container.unpack(&buffer, &block, 9_999, &mut out).unwrap_err();
        assert!(error.contains("more than 9999"), "{error}");
        assert!(container.block(&buffer, 10).is_err());
        *buffer.last_mut().unwrap() = 8;
        assert!(container.block(&buffer, 20_000).is_err());
    }
}
