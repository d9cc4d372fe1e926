//! One limit in one window: what is used, in use and booked. Memory only; who books on disk is in `grant.rs`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Start and end of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: DateTime<Utc>,
    pub(super) end: DateTime<Utc>,
}

impl Window {
    /// Whether a use at `now` falls into the window. One that lies shortly ahead counts too: a clock that is set back a
    /// little opens no window again. One that lies further ahead was opened by a clock that was wrong.
    pub(super) fn takes(&self, now: DateTime<Utc>) -> bool {
        now < self.end && self.start - now <= self.end - self.start
    }
}

impl From<(DateTime<Utc>, DateTime<Utc>)> for Window {
    fn from((start, end): (DateTime<Utc>, DateTime<Utc>)) -> Self {
        Self { start, end }
    }
}

/// Blocks per limit: a kill loses at most one, and so many commits are made per window.
const BLOCKS: u64 = 256;

/// Invariant at every moment: used + in flight (of those granted) <= booked <= limit.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) window: Window,
    pub(super) limit: u64,
    state: Mutex<State>,
    returned: Notify,
    /// Held by the one who books: bookings reach the disk in their order. One for all windows of a limit.
    pub(super) booking: Arc<tokio::sync::Mutex<()>>,
    /// Another window has taken its place: nothing is booked here any more.
    replaced: AtomicBool,
    /// The window before and what was used in it, in case that the clock goes back to it.
    before: Option<(Window, u64)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    used: u64,
    in_flight: u64,
    booked: u64,
    warned: bool,
}

/// What becomes of a wish.
pub(super) enum Attempt<'a> {
    Granted,
    /// What is used leaves no room; `used` as it was.
    Refused {
        used: u64,
    },
    /// It may fit once others return what they do not need.
    Wait(Notified<'a>),
    /// The ledger has to have `0` booked first.
    Book(u64),
}

impl Pool {
    pub(super) fn new(window: Window, limit: u64) -> Self {
        Self::reopened(window, limit, 0, false)
    }

    /// A limit on one query, in memory alone: nothing of it has to be booked.
    pub(super) fn of_query(limit: u64) -> Self {
        let always = Window {
            start: DateTime::<Utc>::MIN_UTC,
            end: DateTime::<Utc>::MAX_UTC,
        };
        let pool = Self::new(always, limit);
        pool.booked(limit);
        pool
    }

    /// The window that takes the place of `old`. Where the clock has gone back, what was used since counts in it too.
    pub(super) fn following(old: &Self, window: Window) -> Self {
        old.replaced.store(true, Ordering::Relaxed);
        let used = match old.before {
            _ if old.window.end <= window.start => 0,
            Some((before, used)) if before == window => used.saturating_add(old.used()),
            _ => old.used(),
        };
        let mut pool = Self::reopened(window, old.limit, used.min(old.limit), false);
        pool.booking = Arc::clone(&old.booking);
        pool.before = Some((old.window, old.used()));
        pool
    }

    /// Whether another window has taken its place.
    pub(super) fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Relaxed)
    }

    /// A window that was begun before: what was booked counts as used, since nobody knows how much of it was.
    pub(super) fn reopened(window: Window, limit: u64, booked: u64, warned: bool) -> Self {
        Self {
            window,
            limit,
            state: Mutex::new(State {
                used: booked,
                in_flight: 0,
                booked,
                warned,
            }),
            returned: Notify::new(),
            booking: Arc::default(),
            replaced: AtomicBool::new(false),
            before: None,
        }
    }

    /// Takes `amount` where it is free and booked.
    pub(super) fn attempt(&self, amount: u64) -> Attempt<'_> {
        let mut state = self.lock();
        let attempt = self.judge(&state, amount);
        if matches!(attempt, Attempt::Granted) {
            state.in_flight += amount;
        }
        attempt
    }

    /// What [`attempt`](Self::attempt) would answer, without taking anything.
    pub(super) fn would_book(&self, amount: u64) -> Attempt<'_> {
        // Not by taking and giving back: who waits because of what was taken would never be woken.
        let state = self.lock();
        self.judge(&state, amount)
    }

    fn judge(&self, state: &State, amount: u64) -> Attempt<'_> {
        if state.used.saturating_add(amount) > self.limit {
            return Attempt::Refused { used: state.used };
        }
        let taken = state.used.saturating_add(state.in_flight).saturating_add(amount);
        if taken > self.limit {
            // Made under the lock: a return after this point wakes it even before its first poll.
            return Attempt::Wait(self.returned.notified());
        }
        if taken > state.booked {
            let block = (self.limit / BLOCKS).max(1);
            return Attempt::Book(taken.saturating_add(block).min(self.limit));
        }
        Attempt::Granted
    }

    /// The ledger has `booked` now.
    pub(super) fn booked(&self, booked: u64) {
        let mut state = self.lock();
        state.booked = state.booked.max(booked);
    }

    /// Keeps `actual` of `reserved` as used and frees the rest. True when this reached `percent` for the first time.
    pub(super) fn settle(&self, reserved: u64, actual: u64, percent: Option<u8>) -> bool {
        let mut state = self.lock();
        state.in_flight -= reserved;
        state.used += actual;
        let reached = percent.is_some_and(|percent| {
            u128::from(state.used) * 100 >= u128::from(self.limit) * u128::from(percent)
        });
        let first = reached && !state.warned && actual > 0;
        state.warned |= first;
        drop(state);
        self.returned.notify_waiters();
        first
    }

    /// Gives up what is booked and not used, while nobody reserves; the booking that is left, if it changed.
    pub(super) fn unbook(&self) -> Option<u64> {
        let mut state = self.lock();
        if state.in_flight > 0 || state.booked == state.used {
            return None;
        }
        state.booked = state.used;
        Some(state.used)
    }

    /// Used and in use.
    pub(super) fn used(&self) -> u64 {
        let state = self.lock();
        state.used.saturating_add(state.in_flight)
    }

    pub(super) fn was_warned(&self) -> bool {
        self.lock().warned
    }

    pub(super) fn booking_now(&self) -> u64 {
        self.lock().booked
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_takes_nothing_even_for_a_moment() {
        let pool = Pool::of_query(10);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let _asked = pool.would_book(10);
                }
            });
            // Nobody has anything, so nobody would wake one who waits.
            let waits = (0..200_000).any(|_| {
                matches!(pool.attempt(1), Attempt::Wait(_)) || {
                    pool.settle(1, 0, None);
                    false
                }
            });
            done.store(true, Ordering::Relaxed);
            assert!(!waits);
        });
    }
}
