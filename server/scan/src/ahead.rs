//! Bytes of a file that a query holds before it asks for them: tails that came with a footer, and ranges
//! fetched while earlier ones are decoded. Bounded per query and per process; what decides to fetch is elsewhere.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures::future::{BoxFuture, Shared};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ScanError;

/// Bytes one permit stands for.
const PERMIT_BYTES: u64 = 64 << 10;

fn permits(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX)
}

/// What a process fetched before its scans asked for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AheadStatus {
    /// Bytes held or under way now.
    pub held_bytes: u64,
    /// Bytes asked of stores so far.
    pub fetched_bytes: u64,
    /// Bytes of those that scans took so far.
    pub used_bytes: u64,
}

#[derive(Debug, Default)]
struct Totals {
    fetched: AtomicU64,
    used: AtomicU64,
}

/// A bound on bytes held ahead. Taken without waiting: who finds no room reads when it needs the bytes.
#[derive(Debug)]
pub(crate) struct Room {
    semaphore: Arc<Semaphore>,
    permits: usize,
    above: Option<Arc<Room>>,
    /// Of the whole process: one for all rooms of it.
    totals: Arc<Totals>,
}

/// Room taken by bytes that are held or under way; returned on drop.
#[derive(Debug)]
pub(crate) struct Taken {
    _permits: OwnedSemaphorePermit,
    _above: Option<Box<Taken>>,
    totals: Arc<Totals>,
}

impl Room {
    /// Room for `bytes`, within `above`.
    pub(crate) fn new(bytes: u64, above: Option<Arc<Room>>) -> Self {
        let count = usize::try_from(bytes / PERMIT_BYTES).unwrap_or(usize::MAX);
        let permits = count.min(Semaphore::MAX_PERMITS);
        let totals = above
            .as_ref()
            .map_or_else(Arc::default, |above| Arc::clone(&above.totals));
        Self {
            semaphore: Arc::new(Semaphore::new(permits)),
            permits,
            above,
            totals,
        }
    }

    /// What was fetched ahead; held bytes are those of this room, in steps of 64 KiB.
    pub(crate) fn status(&self) -> AheadStatus {
        let taken = self.permits.saturating_sub(self.semaphore.available_permits());
        AheadStatus {
            held_bytes: taken as u64 * PERMIT_BYTES,
            fetched_bytes: self.totals.fetched.load(Ordering::Relaxed),
            used_bytes: self.totals.used.load(Ordering::Relaxed),
        }
    }

    /// Takes room for `bytes` on this level and above, or nothing.
    pub(crate) fn take(&self, bytes: u64) -> Option<Taken> {
        let held = Arc::clone(&self.semaphore)
            .try_acquire_many_owned(permits(bytes).max(1))
            .ok()?;
        let above = match &self.above {
            Some(above) => Some(Box::new(above.take(bytes)?)),
            None => None,
        };
        Some(Taken {
            _permits: held,
            _above: above,
            totals: Arc::clone(&self.totals),
        })
    }
}

/// A read under way; every clone gives the same answer, and the last one that is dropped ends it.
pub(crate) type Coming = Shared<BoxFuture<'static, Result<Bytes, Arc<ScanError>>>>;

#[derive(Debug, Clone)]
enum Body {
    Here(Bytes),
    Coming(Coming),
}

#[derive(Debug)]
struct Block {
    range: Range<u64>,
    /// Bytes of it that are still to be asked for; at 0 the block goes.
    unserved: u64,
    body: Body,
    room: Taken,
}

/// What one file of one scan holds ahead.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    blocks: Mutex<Vec<Block>>,
}

/// A range that is held or on its way: its pieces in order.
#[derive(Debug)]
pub(crate) struct Found(Vec<(Range<u64>, Body)>);

impl Ahead {
    fn with<T>(&self, f: impl FnOnce(&mut Vec<Block>) -> T) -> T {
        f(&mut self.blocks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps `bytes`, which begin at `start`, until [`Self::expect`] says what will be asked for.
    pub(crate) fn hold(&self, start: u64, bytes: Bytes, room: Taken) {
        let range = start..start + bytes.len() as u64;
        self.with(|blocks| {
            blocks.push(Block {
                range,
                unserved: u64::MAX,
                body: Body::Here(bytes),
                room,
            });
        });
    }

    /// Adds a read under way, of which `needed` bytes will be asked for.
    pub(crate) fn add(&self, range: Range<u64>, needed: u64, read: Coming, room: Taken) {
        let totals = &room.totals;
        totals
            .fetched
            .fetch_add(range.end - range.start, Ordering::Relaxed);
        self.with(|blocks| {
            blocks.push(Block {
                range,
                unserved: needed,
                body: Body::Coming(read),
                room,
            });
        });
    }

    /// Nothing but `ranges` will be asked for, each once: lets go of what is held without use.
    pub(crate) fn expect(&self, ranges: &[Range<u64>]) {
        self.with(|blocks| {
            for block in blocks.iter_mut().filter(|b| matches!(b.body, Body::Here(_))) {
                block.unserved = ranges.iter().map(|r| overlap(&block.range, r)).sum();
            }
            blocks.retain(|b| b.unserved > 0);
        });
    }

    /// Whether all of `range` is held or on its way.
    pub(crate) fn covers(&self, range: &Range<u64>) -> bool {
        self.with(|blocks| cover(blocks, range).is_some())
    }

    /// `range`, if all of it is held or on its way. It is not asked for again when `last`.
    pub(crate) fn take(&self, range: &Range<u64>, last: bool) -> Option<Found> {
        self.with(|blocks| {
            let found = cover(blocks, range)?;
            let pieces = found
                .iter()
                .map(|(i, piece)| (relative(&blocks[*i].range, piece), blocks[*i].body.clone()))
                .collect();
            if last {
                for (i, piece) in found {
                    let (block, served) = (&mut blocks[i], piece.end - piece.start);
                    if matches!(block.body, Body::Coming(_)) {
                        block.room.totals.used.fetch_add(served, Ordering::Relaxed);
                    }
                    block.unserved = block.unserved.saturating_sub(served);
                }
                blocks.retain(|b| b.unserved > 0);
            }
            Some(Found(pieces))
        })
    }
}

impl Found {
    /// The bytes, when they are there.
    pub(crate) async fn bytes(self) -> Result<Bytes, Arc<ScanError>> {
        let mut pieces = Vec::with_capacity(self.0.len());
        for (range, body) in self.0 {
            let bytes = match body {
                Body::Here(bytes) => bytes,
                Body::Coming(read) => read.await?,
            };
            pieces.push(slice(&bytes, &range));
        }
        Ok(joined(pieces))
    }
}

/// One buffer of `pieces` that follow each other.
pub(crate) fn joined(mut pieces: Vec<Bytes>) -> Bytes {
    if pieces.len() == 1 {
        return pieces.pop().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    for piece in pieces {
        whole.extend_from_slice(&piece);
    }
    whole.freeze()
}

/// A part of `bytes`; a small one is copied, since it must not keep a large body alive.
pub(crate) fn slice(bytes: &Bytes, range: &Range<u64>) -> Bytes {
    let start = usize::try_from(range.start).unwrap_or(usize::MAX);
    let end = usize::try_from(range.end).unwrap_or(usize::MAX);
    let slice = bytes.slice(start..end);
    if bytes.len() > 4 * slice.len() + (1 << 20) {
        Bytes::copy_from_slice(&slice)
    } else {
        slice
    }
}

/// `piece` counted from the start of `whole`.
pub(crate) fn relative(whole: &Range<u64>, piece: &Range<u64>) -> Range<u64> {
    piece.start - whole.start..piece.end - whole.start
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> u64 {
    a.end.min(b.end).saturating_sub(a.start.max(b.start))
}

/// Blocks, and parts of them, that make up `range` without a gap.
fn cover(blocks: &[Block], range: &Range<u64>) -> Option<Vec<(usize, Range<u64>)>> {
    let mut found = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let index = blocks.iter().position(|b| b.range.contains(&at))?;
        let end = blocks[index].range.end.min(range.end);
        found.push((index, at..end));
        at = end;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn file() -> Bytes {
        (0..200u8).collect()
    }

    fn held(room: &Room, range: Range<u64>) -> Option<Ahead> {
        let ahead = Ahead::default();
        ahead.hold(
            range.start,
            slice(&file(), &range),
            room.take(range.end - range.start)?,
        );
        Some(ahead)
    }

    #[test]
    fn a_range_over_several_blocks_is_put_together_and_goes_when_it_was_served() {
        let room = Room::new(1 << 20, None);
        let ahead = held(&room, 100..150).unwrap();
        let bytes = slice(&file(), &(40..100));
        let read: Coming = futures::future::ready(Ok(bytes)).boxed().shared();
        ahead.add(40..100, 50, read, room.take(60).unwrap());
        ahead.expect(std::slice::from_ref(&(50..120)));
        assert!(ahead.covers(&(50..120)) && !ahead.covers(&(30..50)) && !ahead.covers(&(140..160)));
        let found = ahead.take(&(50..120), true).unwrap();
        let got = futures::executor::block_on(found.bytes()).unwrap();
        assert_eq!(got, slice(&file(), &(50..120)));
        let status = room.status();
        assert_eq!(
            (status.fetched_bytes, status.used_bytes),
            (60, 50),
            "what came with a footer is not of it"
        );
        assert!(!ahead.covers(&(50..51)), "served bytes are let go");
    }

    #[test]
    fn what_nobody_will_ask_for_is_let_go_at_once() {
        let room = Room::new(128 << 10, None);
        let ahead = held(&room, 0..100).unwrap();
        ahead.expect(std::slice::from_ref(&(150..160)));
        assert!(!ahead.covers(&(0..1)));
        assert!(room.take(128 << 10).is_some(), "its room is free again");
    }

    #[test]
    fn room_is_taken_on_every_level_or_not_at_all() {
        let process = Arc::new(Room::new(128 << 10, None));
        let (a, b) = (
            Room::new(1 << 20, Some(Arc::clone(&process))),
            Room::new(64 << 10, Some(Arc::clone(&process))),
        );
        let first = a.take(100 << 10).unwrap();
        assert!(b.take(1).is_none(), "the process has none left");
        drop(first);
        assert!(b.take(65 << 10).is_none(), "more than this query may hold");
        assert!(b.take(64 << 10).is_some());
    }
}
