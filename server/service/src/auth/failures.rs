//! Slows down who guesses credentials: per address, bounded in number and in time. Right credentials never wait.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use owlake_fault::{Code, Fault, Retry};

/// Wrong credentials of one address that are refused at once: people mistype.
const FREE: u32 = 4;
/// How long the first refusal after those waits; each further one twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(4);
/// Refusals of one address that may wait at the same time; what comes beyond is turned away unchecked.
const MAX_WAITING: u32 = 16;
/// An address that guesses no more is forgotten after this long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// Addresses that are remembered; the one that failed longest ago makes room.
const MAX_ADDRESSES: usize = 10_000;

/// Who failed, how often.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    addresses: Mutex<HashMap<IpAddr, Record>>,
}

#[derive(Debug)]
struct Record {
    failed: u32,
    waiting: u32,
    last: Instant,
}

/// A refusal that waits for its time; counted as waiting until dropped.
#[derive(Debug)]
pub(crate) struct Penalty<'f> {
    failures: &'f Failures,
    address: IpAddr,
    /// How long to wait before the refusal is told.
    pub(crate) wait: Duration,
}

impl Drop for Penalty<'_> {
    fn drop(&mut self) {
        if let Some(record) = self.failures.lock().get_mut(&self.address) {
            record.waiting = record.waiting.saturating_sub(1);
        }
    }
}

impl Failures {
    /// Whether credentials from `address` are looked at now.
    ///
    /// # Errors
    /// `TOO_MANY_FAILED_LOGINS` while that many refusals wait.
    pub(crate) fn may_try(&self, address: IpAddr) -> Result<(), Fault> {
        match self.lock().get(&source(address)) {
            Some(record) if record.waiting >= MAX_WAITING => Err(Fault::new(
                Code::TooManyFailedLogins,
                "too many wrong credentials came from this address",
            )
            .with_hint("Check the token or password, and try again later.")
            .with_retry(Retry::Later(Some(LONGEST_WAIT)))),
            _ => Ok(()),
        }
    }

    /// Counts a failure; what it costs.
    pub(crate) fn failed(&self, address: IpAddr, now: Instant) -> Penalty<'_> {
        let address = source(address);
        let mut addresses = self.lock();
        if addresses.len() >= MAX_ADDRESSES && !addresses.contains_key(&address) {
            make_room(&mut addresses, now);
        }
        let record = addresses.entry(address).or_insert(Record {
            failed: 0,
            waiting: 0,
            last: now,
        });
        if now.saturating_duration_since(record.last) > FORGOTTEN_AFTER {
            record.failed = 0;
        }
        record.failed = record.failed.saturating_add(1);
        record.waiting += 1;
        record.last = now;
        Penalty {
            failures: self,
            address,
            wait: wait_after(record.failed),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Record>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_room(addresses: &mut HashMap<IpAddr, Record>, now: Instant) {
    addresses.retain(|_, r| r.waiting > 0 || now.saturating_duration_since(r.last) <= FORGOTTEN_AFTER);
    if addresses.len() >= MAX_ADDRESSES
        && let Some(oldest) = addresses.iter().min_by_key(|(_, r)| r.last).map(|(a, _)| *a)
    {
        addresses.remove(&oldest);
    }
}

fn wait_after(failed: u32) -> Duration {
    match failed.checked_sub(FREE + 1) {
        None => Duration::ZERO,
        Some(doublings) => FIRST_WAIT
            .saturating_mul(1_u32.checked_shl(doublings.min(16)).unwrap_or(u32::MAX))
            .min(LONGEST_WAIT),
    }
}

/// One IPv6 customer has a whole /64.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn the_fifth_failure_waits_and_waits_double_up_to_a_bound() {
        let (failures, now) = (Failures::default(), Instant::now());
        let waits: Vec<u64> = (0..12)
            .map(|_| failures.failed(address(1), now).wait.as_millis() as u64)
            .collect();
        assert_eq!(waits, [0, 0, 0, 0, 250, 500, 1000, 2000, 4000, 4000, 4000, 4000]);
        assert_eq!(
            failures.failed(address(2), now).wait,
            Duration::ZERO,
            "another address"
        );
        let later = now + FORGOTTEN_AFTER + Duration::from_secs(1);
        assert_eq!(failures.failed(address(1), later).wait, Duration::ZERO);
    }

    #[test]
    fn only_so_many_refusals_of_one_address_wait() {
        let (failures, now) = (Failures::default(), Instant::now());
        let mut waiting: Vec<Penalty<'_>> = (0..MAX_WAITING)
            .map(|_| failures.failed(address(1), now))
            .collect();
        let refused = failures.may_try(address(1)).unwrap_err();
        assert_eq!(refused.code(), Code::TooManyFailedLogins);
        failures.may_try(address(2)).unwrap();
        waiting.pop();
        failures.may_try(address(1)).unwrap();
    }

    #[test]
    fn a_flood_of_addresses_is_bounded_and_a_v6_network_is_one() {
        let (failures, now) = (Failures::default(), Instant::now());
        for n in 0..MAX_ADDRESSES as u32 + 100 {
            drop(failures.failed(
                IpAddr::from(n.to_be_bytes()),
                now + Duration::from_millis(n.into()),
            ));
        }
        assert_eq!(failures.lock().len(), MAX_ADDRESSES);
        let v6 = |text: &str| source(text.parse().unwrap());
        assert_eq!(v6("2001:db8::1"), v6("2001:db8::ffff:2"));
        assert_ne!(v6("2001:db8::1"), v6("2001:db8:0:1::1"));
        assert_eq!(v6("::ffff:192.0.2.1"), address(1));
    }
}
