//! Which attempts failed, so that the one which repeats them is recognised as a retry.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::{Method, Uri};

/// What makes two attempts the same request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct AttemptKey {
    pub(super) method: Method,
    pub(super) uri: Uri,
    /// The Range header's text.
    pub(super) range: Option<String>,
}

/// Failed requests that nobody repeated so far. Each failure explains one retry.
#[derive(Debug, Default)]
pub(super) struct Failures {
    waiting: Mutex<HashMap<AttemptKey, u32>>,
}

/// A query that fails this often without repeating has other worries than its retry count.
const MAX_REMEMBERED: usize = 4_096;

impl Failures {
    pub(super) fn remember(&self, key: AttemptKey) {
        let mut waiting = self.lock();
        if waiting.len() < MAX_REMEMBERED || waiting.contains_key(&key) {
            *waiting.entry(key).or_default() += 1;
        }
    }

    /// Whether `key` repeats a failed attempt; that failure is used up.
    pub(super) fn take(&self, key: &AttemptKey) -> bool {
        let mut waiting = self.lock();
        let Some(count) = waiting.get_mut(key) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            waiting.remove(key);
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AttemptKey, u32>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str, range: Option<&str>) -> AttemptKey {
        AttemptKey {
            method: Method::GET,
            uri: path.parse().unwrap(),
            range: range.map(str::to_owned),
        }
    }

    #[test]
    fn each_failure_explains_one_retry_of_the_same_request() {
        let failures = Failures::default();
        failures.remember(key("/a", None));
        failures.remember(key("/a", None));
        assert!(!failures.take(&key("/b", None)));
        assert!(!failures.take(&key("/a", Some("bytes=0-1"))));
        assert!(failures.take(&key("/a", None)));
        assert!(failures.take(&key("/a", None)));
        assert!(!failures.take(&key("/a", None)));
    }

    #[test]
    fn memory_is_bounded() {
        let failures = Failures::default();
        for i in 0..2 * MAX_REMEMBERED {
            failures.remember(key(&format!("/{i}"), None));
        }
        assert_eq!(failures.lock().len(), MAX_REMEMBERED);
        failures.remember(key("/0", None));
        assert_eq!(failures.lock()[&key("/0", None)], 2);
    }
}
