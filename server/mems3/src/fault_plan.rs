//! Faults on purpose: which requests they strike and what they do to them. Striking is decided here; the doing is in
//! `wire` and `body`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

use crate::operation::{Operation, Target};

/// What a fault does to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultAction {
    /// Answer with this status and S3 error code; the operation is not done.
    Status {
        /// HTTP status.
        status: u16,
        /// `Code` of the error body, such as `SlowDown`.
        code: &'static str,
    },
    /// Answer 307 with this `Location`; the operation is not done.
    Redirect {
        /// Absolute URL.
        location: String,
    },
    /// Reset the connection instead of an answer; the operation is not done.
    ResetBeforeResponse,
    /// Do the operation, then reset the connection instead of an answer.
    LoseResponse,
    /// Send the head and this many body bytes, then reset the connection. A shorter body passes whole.
    ResetAfterBody {
        /// Body bytes that are sent.
        bytes: u64,
    },
    /// Announce the full length, send this many body bytes, then close in good order. A shorter body passes whole.
    ShortBody {
        /// Body bytes that are sent.
        bytes: u64,
    },
    /// Announce and send only this many body bytes; `Content-Range` still tells the full range.
    WrongLength {
        /// Body bytes that are announced and sent.
        bytes: u64,
    },
    /// Shift both ends in `Content-Range` by one; the body stays right.
    WrongContentRange,
    /// Replace the body of a successful answer by seeded noise of the same length.
    GarbageBody,
    /// Answer 200 with an `InternalError` document as the body; the operation is not done.
    ErrorInBody,
    /// Wait this long before the operation is done and answered.
    Stall {
        /// Length of the wait.
        duration: Duration,
    },
    /// Wait this long within the body.
    StallBody {
        /// Body bytes that are sent before the wait.
        after_bytes: u64,
        /// Length of the wait.
        duration: Duration,
    },
    /// Send the body at this speed.
    Trickle {
        /// Body bytes per second; 0 counts as 1.
        bytes_per_second: u64,
    },
}

impl FaultAction {
    /// 500 InternalError.
    pub const INTERNAL_ERROR: Self = Self::Status {
        status: 500,
        code: "InternalError",
    };
    /// 503 SlowDown.
    pub const SLOW_DOWN: Self = Self::Status {
        status: 503,
        code: "SlowDown",
    };
    /// 429 TooManyRequests.
    pub const TOO_MANY_REQUESTS: Self = Self::Status {
        status: 429,
        code: "TooManyRequests",
    };
    /// 403 AccessDenied.
    pub const ACCESS_DENIED: Self = Self::Status {
        status: 403,
        code: "AccessDenied",
    };
    /// 404 NoSuchKey.
    pub const NO_SUCH_KEY: Self = Self::Status {
        status: 404,
        code: "NoSuchKey",
    };
    /// 412 PreconditionFailed.
    pub const PRECONDITION_FAILED: Self = Self::Status {
        status: 412,
        code: "PreconditionFailed",
    };
}

/// Which of the requests that fit a rule it strikes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Trigger {
    Always,
    /// Only the n-th, from 1.
    Nth(u64),
    /// Each with this probability.
    Probability(f64),
}

/// One kind of fault and the requests it strikes. All requests, each time, unless narrowed.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultRule {
    action: FaultAction,
    operation: Option<Operation>,
    key_contains: String,
    trigger: Trigger,
    max_count: u64,
}

impl FaultRule {
    /// Strikes every request until narrowed.
    pub fn new(action: FaultAction) -> Self {
        Self {
            action,
            operation: None,
            key_contains: String::new(),
            trigger: Trigger::Always,
            max_count: u64::MAX,
        }
    }

    /// Only requests of this operation.
    #[must_use]
    pub fn operation(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Only keys (prefixes of listings) that contain this text.
    #[must_use]
    pub fn key_contains(mut self, text: impl Into<String>) -> Self {
        self.key_contains = text.into();
        self
    }

    /// Only the `n`-th request that fits, from 1.
    #[must_use]
    pub fn nth(mut self, n: u64) -> Self {
        self.trigger = Trigger::Nth(n);
        self
    }

    /// Each request that fits with this probability (values outside 0..=1 count as the nearer end).
    #[must_use]
    pub fn probability(mut self, probability: f64) -> Self {
        self.trigger = Trigger::Probability(probability.clamp(0.0, 1.0));
        self
    }

    /// At most this many times.
    #[must_use]
    pub fn max_count(mut self, count: u64) -> Self {
        self.max_count = count;
        self
    }

    fn fits(&self, target: &Target) -> bool {
        self.operation.is_none_or(|o| o == target.operation) && target.key.contains(&self.key_contains)
    }
}

/// Rules and the seed of their dice. The default has no rule: no faults.
///
/// Whether the n-th request that fits a rule is struck depends on the seed, the rule's place and n alone; of several
/// rules that would strike, the first one does.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FaultPlan {
    seed: u64,
    rules: Vec<FaultRule>,
}

impl FaultPlan {
    /// A plan without rules.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            rules: Vec::new(),
        }
    }

    /// Adds a rule behind the others.
    #[must_use]
    pub fn rule(mut self, rule: FaultRule) -> Self {
        self.rules.push(rule);
        self
    }

    fn dice(&self, rule: usize, ordinal: u64) -> StdRng {
        // Odd constants keep neighbours apart; the generator's seeding mixes the bits.
        let rule = (rule as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let ordinal = ordinal.wrapping_mul(0xD1B5_4A32_D192_ED03);
        StdRng::seed_from_u64(self.seed.wrapping_add(rule).wrapping_add(ordinal))
    }
}

/// A fault that strikes one request.
#[derive(Debug)]
pub(crate) struct Strike {
    pub(crate) action: FaultAction,
    dice: StdRng,
}

impl Strike {
    /// Seeded bytes.
    pub(crate) fn noise(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.dice.fill_bytes(&mut bytes);
        bytes
    }
}

#[derive(Debug, Default)]
struct Progress {
    plan: FaultPlan,
    /// Per rule: requests that fit, and requests struck.
    tally: Vec<(u64, u64)>,
}

/// The plan in force and how far it is.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Progress>);

impl Faults {
    /// Puts a plan in force from its beginning.
    pub(crate) fn set(&self, plan: FaultPlan) {
        let tally = vec![(0, 0); plan.rules.len()];
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Progress { plan, tally };
    }

    /// What strikes this request; to be asked once per request.
    pub(crate) fn decide(&self, target: &Target) -> Option<Strike> {
        let mut progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Progress { plan, tally } = &mut *progress;
        let mut strike = None;
        for (at, (rule, (seen, struck))) in plan.rules.iter().zip(tally).enumerate() {
            if !rule.fits(target) {
                continue;
            }
            *seen += 1;
            let mut dice = plan.dice(at, *seen);
            let hit = match rule.trigger {
                Trigger::Always => true,
                Trigger::Nth(n) => *seen == n,
                Trigger::Probability(p) => dice.random_bool(p),
            };
            if hit && *struck < rule.max_count && strike.is_none() {
                *struck += 1;
                strike = Some(Strike {
                    action: rule.action.clone(),
                    dice,
                });
            }
        }
        strike
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(key: &str) -> Target {
        Target {
            operation: Operation::GetObject,
            bucket: "lake".into(),
            key: key.into(),
        }
    }

    fn struck(plan: FaultPlan, keys: &[&str]) -> Vec<bool> {
        let faults = Faults::default();
        faults.set(plan);
        keys.iter()
            .map(|key| faults.decide(&get(key)).is_some())
            .collect()
    }

    #[test]
    fn the_same_seed_strikes_the_same_requests() {
        let plan = |seed| FaultPlan::new(seed).rule(FaultRule::new(FaultAction::SLOW_DOWN).probability(0.3));
        let keys = vec!["k"; 400];
        let first = struck(plan(7), &keys);
        assert_eq!(first, struck(plan(7), &keys));
        assert_ne!(first, struck(plan(8), &keys));
        let hits = first.iter().filter(|hit| **hit).count();
        assert!((80..160).contains(&hits), "{hits} of 400 at 0.3");
    }

    #[test]
    fn a_rule_strikes_only_what_fits_and_no_more_than_its_count() {
        let rule = FaultRule::new(FaultAction::SLOW_DOWN)
            .key_contains("part")
            .max_count(2);
        let hits = struck(
            FaultPlan::new(0).rule(rule.clone()),
            &["part-1", "x", "part-2", "part-3"],
        );
        assert_eq!(hits, [true, false, true, false]);
        let other = rule.clone().operation(Operation::PutObject);
        assert_eq!(struck(FaultPlan::new(0).rule(other), &["part-1"]), [false]);
        let third = FaultRule::new(FaultAction::SLOW_DOWN).nth(3);
        assert_eq!(
            struck(FaultPlan::new(0).rule(third), &["a", "b", "c", "d"]),
            [false, false, true, false]
        );
    }

    #[test]
    fn of_two_rules_the_first_strikes_and_the_second_keeps_its_count() {
        let faults = Faults::default();
        let rule = |action| FaultRule::new(action).max_count(1);
        let plan = FaultPlan::new(0)
            .rule(rule(FaultAction::SLOW_DOWN))
            .rule(rule(FaultAction::INTERNAL_ERROR));
        faults.set(plan);
        let actions: Vec<_> = (0..3)
            .map(|_| faults.decide(&get("k")).map(|s| s.action))
            .collect();
        assert_eq!(
            actions,
            [
                Some(FaultAction::SLOW_DOWN),
                Some(FaultAction::INTERNAL_ERROR),
                None
            ]
        );
    }
}
