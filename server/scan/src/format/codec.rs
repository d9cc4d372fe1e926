//! Compressed files: which codec the name of a file says, and decompression in bounded steps.
//!
//! Output never outgrows the room that the caller gives, so a small file that unpacks to terabytes costs time, not memory.

use flate2::{Decompress, FlushDecompress};
use zstd::stream::raw::{Decoder as ZstdDecoder, InBuffer, Operation, OutBuffer};

/// How the bytes of a file are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    /// As they are.
    Plain,
    /// `.gz`, of one or more members.
    Gzip,
    /// `.deflate`: zlib.
    Zlib,
    /// `.zst`, of one or more frames.
    Zstd,
    /// `.bz2`, of one or more streams.
    Bzip2,
}

impl Codec {
    /// By the end of the file's name, as Hadoop does; `Err` names a codec that is not read.
    pub(crate) fn of(key: &str) -> Result<Self, &'static str> {
        let name = key.rsplit('/').next().unwrap_or(key);
        match name.rsplit_once('.').map(|(_, end)| end) {
            Some("gz") => Ok(Self::Gzip),
            Some("deflate") => Ok(Self::Zlib),
            Some("zst") => Ok(Self::Zstd),
            Some("bz2") => Ok(Self::Bzip2),
            Some("snappy") => Err("snappy"),
            Some("lz4") => Err("lz4"),
            Some("lzo" | "lzo_deflate") => Err("lzo"),
            _ => Ok(Self::Plain),
        }
    }
}

/// A stream of stored bytes on its way to plain ones.
pub(crate) struct Inflater {
    codec: Codec,
    state: State,
    /// Whether the stored bytes so far end where a member, frame or stream ends.
    complete: bool,
    /// Bytes after the last gzip member: zeros that some writers pad with.
    padding: bool,
}

enum State {
    Plain,
    Flate(Decompress),
    Zstd(ZstdDecoder<'static>),
    Bzip2(bzip2::Decompress),
}

impl State {
    fn new(codec: Codec) -> Result<Self, String> {
        Ok(match codec {
            Codec::Plain => Self::Plain,
            Codec::Gzip => Self::Flate(Decompress::new_gzip(15)),
            Codec::Zlib => Self::Flate(Decompress::new(true)),
            Codec::Zstd => Self::Zstd(ZstdDecoder::new().map_err(|e| e.to_string())?),
            Codec::Bzip2 => Self::Bzip2(bzip2::Decompress::new(false)),
        })
    }
}

impl Inflater {
    /// A stream from its first byte.
    pub(crate) fn new(codec: Codec) -> Result<Self, String> {
        Ok(Self {
            codec,
            state: State::new(codec)?,
            complete: true,
            padding: false,
        })
    }

    /// Unpacks from `input` to the end of `output`, at most `room` bytes; returns how much of `input` was used up.
    ///
    /// Less than all may be used where `room` is filled; call again with the rest.
    pub(crate) fn run(&mut self, input: &[u8], output: &mut Vec<u8>, room: usize) -> Result<usize, String> {
        if self.codec == Codec::Plain {
            let taken = input.len().min(room);
            output.extend_from_slice(&input[..taken]);
            return Ok(taken);
        }
        let start = output.len();
        output.resize(start + room, 0);
        let mut used = 0;
        let mut made = 0;
        while used < input.len() && made < room {
            let (consumed, produced) = self.step(&input[used..], &mut output[start + made..])?;
            used += consumed;
            made += produced;
            if consumed == 0 && produced == 0 {
                break;
            }
        }
        output.truncate(start + made);
        Ok(used)
    }

    /// Output that was held back for want of room, after all input was used.
    pub(crate) fn drain(&mut self, output: &mut Vec<u8>, room: usize) -> Result<(), String> {
        if self.codec == Codec::Plain || self.complete {
            return Ok(());
        }
        let start = output.len();
        output.resize(start + room, 0);
        let (_, produced) = self.step(&[], &mut output[start..])?;
        output.truncate(start + produced);
        Ok(())
    }

    /// Whether the stream may end here.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<(usize, usize), String> {
        if self.padding {
            return match input.iter().all(|b| *b == 0) {
                true => Ok((input.len(), 0)),
                false => Err("it goes on after its end with something else".to_owned()),
            };
        }
        if self.complete && !input.is_empty() {
            if self.codec == Codec::Gzip && input[0] == 0 {
                self.padding = true;
                return self.step(input, output);
            }
            // Zstandard goes on to the next frame by itself.
            if self.codec != Codec::Zstd {
                self.state = State::new(self.codec)?;
            }
            self.complete = false;
        }
        let (used, made, ended) = match &mut self.state {
            State::Plain => (0, 0, true),
            State::Flate(decoder) => {
                let before = (decoder.total_in(), decoder.total_out());
                let status = decoder
                    .decompress(input, output, FlushDecompress::None)
                    .map_err(|e| e.to_string())?;
                let used = usize::try_from(decoder.total_in() - before.0).map_err(|e| e.to_string())?;
                let made = usize::try_from(decoder.total_out() - before.1).map_err(|e| e.to_string())?;
                (used, made, status == flate2::Status::StreamEnd)
            }
            State::Zstd(decoder) => {
                let mut from = InBuffer::around(input);
                let mut to = OutBuffer::around(output);
                let hint = decoder.run(&mut from, &mut to).map_err(|e| e.to_string())?;
                (from.pos(), to.pos(), hint == 0)
            }
            State::Bzip2(decoder) => {
                let before = (decoder.total_in(), decoder.total_out());
                let status = decoder.decompress(input, output).map_err(|e| e.to_string())?;
                let used = usize::try_from(decoder.total_in() - before.0).map_err(|e| e.to_string())?;
                let made = usize::try_from(decoder.total_out() - before.1).map_err(|e| e.to_string())?;
                (used, made, status == bzip2::Status::StreamEnd)
            }
        };
        self.complete = ended;
        Ok((used, made))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(codec: Codec, text: &[u8]) -> Vec<u8> {
        match codec {
            Codec::Plain => text.to_vec(),
            Codec::Gzip => {
                let mut w = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                w.write_all(text).unwrap();
                w.finish().unwrap()
            }
            Codec::Zlib => {
                let mut w = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
                w.write_all(text).unwrap();
                w.finish().unwrap()
            }
            Codec::Zstd => zstd::stream::encode_all(text, 3).unwrap(),
            Codec::Bzip2 => {
                let mut w = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                w.write_all(text).unwrap();
                w.finish().unwrap()
            }
        }
    }

    /// Feeds `stored` in pieces of `chunk` and takes at most `room` at a time.
    fn unpacked(codec: Codec, stored: &[u8], chunk: usize, room: usize) -> Result<Vec<u8>, String> {
        let mut inflater = Inflater::new(codec)?;
        let mut out = Vec::new();
        for piece in stored.chunks(chunk) {
            let mut used = 0;
            while used < piece.len() {
                let before = out.len();
                used += inflater.run(&piece[used..], &mut out, room)?;
                assert!(out.len() - before <= room);
            }
        }
        loop {
            let before = out.len();
            inflater.drain(&mut out, room)?;
            assert!(out.len() - before <= room);
            if out.len() == before {
                break;
            }
        }
        if inflater.is_complete() {
            Ok(out)
        } else {
            Err("cut short".to_owned())
        }
    }

    const ALL: [Codec; 5] = [Codec::Plain, Codec::Gzip, Codec::Zlib, Codec::Zstd, Codec::Bzip2];

    #[test]
    fn every_codec_comes_back_in_any_steps() {
        let text: Vec<u8> = (0..5_000_u32)
            .flat_map(|i| (i * i).to_string().into_bytes())
            .collect();
        for codec in ALL {
            let stored = packed(codec, &text);
            for (chunk, room) in [(1, 1_000), (7, 13), (stored.len(), 1 << 20), (4096, 4096)] {
                assert!(
                    unpacked(codec, &stored, chunk, room).unwrap() == text,
                    "{codec:?} {chunk} {room}"
                );
            }
        }
    }

    #[test]
    fn members_follow_each_other() {
        for codec in [Codec::Gzip, Codec::Zstd, Codec::Bzip2] {
            let mut stored = packed(codec, b"one\n");
            stored.extend(packed(codec, b""));
            stored.extend(packed(codec, b"two\n"));
            assert_eq!(
                unpacked(codec, &stored, 3, 2).unwrap(),
                b"one\ntwo\n",
                "{codec:?}"
            );
        }
        let mut padded = packed(Codec::Gzip, b"one\n");
        padded.extend([0; 512]);
        assert_eq!(unpacked(Codec::Gzip, &padded, 100, 100).unwrap(), b"one\n");
        padded.push(b'x');
        assert!(unpacked(Codec::Gzip, &padded, 100, 100).is_err());
    }

    #[test]
    fn a_file_cut_short_or_of_another_kind_is_an_error() {
        for codec in [Codec::Gzip, Codec::Zlib, Codec::Zstd, Codec::Bzip2] {
            let stored = packed(codec, &b"some text that is long enough to be cut".repeat(100));
            assert!(
                unpacked(codec, &stored[..stored.len() - 3], 100, 1000).is_err(),
                "{codec:?}"
            );
            assert!(unpacked(codec, b"a,b,c\n", 100, 1000).is_err(), "{codec:?}");
        }
    }

    #[test]
    fn names_say_the_codec() {
        assert_eq!(Codec::of("a.gz/part-0.csv"), Ok(Codec::Plain));
        assert_eq!(Codec::of("a/part-0.csv.gz"), Ok(Codec::Gzip));
        assert_eq!(Codec::of("a/b.bz2"), Ok(Codec::Bzip2));
        assert_eq!(Codec::of("a/b.lzo"), Err("lzo"));
    }
}
