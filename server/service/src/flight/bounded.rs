//! A map of handles that never grows without bound: named limit, idle time, random keys.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use owlake_fault::{Code, Fault};
use tokio::time::Instant;

/// Values under unguessable handles; each belongs to one owner and goes when it was idle for too long.
#[derive(Debug)]
pub(crate) struct Handles<V> {
    what: &'static str,
    max: usize,
    max_idle: Duration,
    entries: Mutex<HashMap<String, Entry<V>>>,
}

#[derive(Debug)]
struct Entry<V> {
    owner: String,
    used: Instant,
    value: V,
}

impl<V> Handles<V> {
    /// At most `max` values; `what` names them in errors.
    pub(crate) fn new(what: &'static str, max: usize, max_idle: Duration) -> Self {
        Self {
            what,
            max,
            max_idle,
            entries: Mutex::default(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Entry<V>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a value of `owner` under a new handle of 128 random bits.
    pub(crate) fn insert(&self, owner: &str, value: V) -> Result<String, Fault> {
        let expired = self.take_expired();
        drop(expired);
        let mut entries = self.lock();
        if entries.len() >= self.max {
            return Err(Fault::new(
                Code::TooManyHandles,
                format!("{} {}s are open, which is the limit", entries.len(), self.what),
            )
            .with_hint("Close some, or wait until unused ones expire."));
        }
        let handle = format!("{:032x}", rand::random::<u128>());
        entries.insert(
            handle.clone(),
            Entry {
                owner: owner.to_owned(),
                used: Instant::now(),
                value,
            },
        );
        Ok(handle)
    }

    fn unknown(&self) -> Fault {
        Fault::new(
            Code::HandleNotFound,
            format!("{} is unknown or has expired", self.what),
        )
    }

    /// Takes a value out; a handle of another owner is as unknown as one that never was.
    pub(crate) fn take(&self, owner: &str, handle: &str) -> Result<V, Fault> {
        let mut entries = self.lock();
        match entries.get(handle) {
            Some(entry) if entry.owner == owner => entries
                .remove(handle)
                .map(|e| e.value)
                .ok_or_else(|| self.unknown()),
            _ => Err(self.unknown()),
        }
    }

    /// Works on a value in place and counts as use.
    pub(crate) fn with<T>(&self, owner: &str, handle: &str, f: impl FnOnce(&mut V) -> T) -> Result<T, Fault> {
        let mut entries = self.lock();
        match entries.get_mut(handle) {
            Some(entry) if entry.owner == owner => {
                entry.used = Instant::now();
                Ok(f(&mut entry.value))
            }
            _ => Err(self.unknown()),
        }
    }

    /// Removes what was idle for too long, for the caller to drop outside the lock.
    pub(crate) fn take_expired(&self) -> Vec<V> {
        self.take_expired_at(Instant::now())
    }

    fn take_expired_at(&self, now: Instant) -> Vec<V> {
        let mut entries = self.lock();
        let expired: Vec<String> = entries
            .iter()
            .filter(|(_, e)| now.duration_since(e.used) > self.max_idle)
            .map(|(handle, _)| handle.clone())
            .collect();
        expired
            .iter()
            .filter_map(|handle| entries.remove(handle))
            .map(|e| e.value)
            .collect()
    }

    /// Removes everything of an owner.
    pub(crate) fn take_owner(&self, owner: &str) -> Vec<V> {
        let mut entries = self.lock();
        let own: Vec<String> = entries
            .iter()
            .filter(|(_, e)| e.owner == owner)
            .map(|(handle, _)| handle.clone())
            .collect();
        own.iter()
            .filter_map(|handle| entries.remove(handle))
            .map(|e| e.value)
            .collect()
    }

    /// How many are open.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_capped_and_belong_to_their_owner() {
        let handles = Handles::new("ticket", 2, Duration::from_secs(60));
        let a = handles.insert("alice", 1).unwrap();
        handles.insert("alice", 2).unwrap();
        assert_eq!(handles.insert("bob", 3).unwrap_err().code(), Code::TooManyHandles);
        assert_eq!(handles.take("bob", &a).unwrap_err().code(), Code::HandleNotFound);
        assert_eq!(handles.take("alice", &a).unwrap(), 1);
        assert_eq!(
            handles.take("alice", &a).unwrap_err().code(),
            Code::HandleNotFound
        );
    }

    #[test]
    fn unused_handles_expire() {
        let handles = Handles::new("ticket", 10, Duration::from_secs(60));
        let handle = handles.insert("a", 1).unwrap();
        handles.with("a", &handle, |v| *v = 2).unwrap();
        let begun = Instant::now();
        assert!(
            handles
                .take_expired_at(begun + Duration::from_secs(50))
                .is_empty()
        );
        assert_eq!(handles.take_expired_at(begun + Duration::from_secs(70)), vec![2]);
        assert_eq!(handles.len(), 0);
    }
}
