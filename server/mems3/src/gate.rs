//! Gates: a test stops chosen requests at a known point, changes something, and lets them go on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;

use crate::operation::{Operation, Target};

/// Where a gate stops a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Before the store looks at the request.
    Before,
    /// When the answer is made, before any of it is sent.
    After,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    reached: usize,
    open: bool,
}

#[derive(Debug)]
struct Barrier {
    side: Side,
    operation: Operation,
    key_contains: String,
    state: watch::Sender<State>,
}

/// Holds every request that fits until [`Gate::release`] or drop.
#[derive(Debug)]
#[must_use = "dropping the gate opens it"]
pub struct Gate(Arc<Barrier>);

impl Gate {
    /// Waits until a request has been stopped here. Safe to cancel; not bound to a runtime.
    pub async fn wait_reached(&self) {
        self.wait_reached_by(1).await;
    }

    /// Waits until `requests` requests have been stopped here. Safe to cancel; not bound to a runtime.
    pub async fn wait_reached_by(&self, requests: usize) {
        // Fails only when the sender is gone, and `self` holds it.
        let _ = self
            .0
            .state
            .subscribe()
            .wait_for(|state| state.reached >= requests)
            .await;
    }

    /// How many requests have been stopped here so far.
    pub fn reached(&self) -> usize {
        self.0.state.borrow().reached
    }

    /// Lets all stopped requests go on, and later ones pass.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.0.state.send_modify(|state| state.open = true);
    }
}

/// All gates that are held.
#[derive(Debug, Default)]
pub(crate) struct Gates(Mutex<Vec<Weak<Barrier>>>);

impl Gates {
    fn all(&self) -> MutexGuard<'_, Vec<Weak<Barrier>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn close(&self, side: Side, operation: Operation, key_contains: &str) -> Gate {
        let key_contains = key_contains.to_owned();
        let barrier = Barrier {
            side,
            operation,
            key_contains,
            state: watch::Sender::new(State::default()),
        };
        let barrier = Arc::new(barrier);
        let mut all = self.all();
        all.retain(|gate| gate.strong_count() > 0);
        all.push(Arc::downgrade(&barrier));
        Gate(barrier)
    }

    /// Waits at every closed gate that fits. Cancelled: the request leaves the gate.
    pub(crate) async fn pass(&self, side: Side, target: &Target) {
        let fitting: Vec<Arc<Barrier>> = {
            let all = self.all();
            let fits = |gate: &Arc<Barrier>| {
                gate.side == side
                    && gate.operation == target.operation
                    && target.key.contains(&gate.key_contains)
            };
            all.iter().filter_map(Weak::upgrade).filter(fits).collect()
        };
        for gate in fitting {
            let mut state = gate.state.subscribe();
            gate.state.send_if_modified(|state| {
                state.reached += usize::from(!state.open);
                !state.open
            });
            // Fails only when the sender is gone, and `gate` holds it.
            let _ = state.wait_for(|state| state.open).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn get(key: &str) -> Target {
        Target {
            operation: Operation::GetObject,
            bucket: "lake".into(),
            key: key.into(),
        }
    }

    #[test]
    fn a_closed_gate_holds_what_fits_until_it_is_released() {
        let gates = Gates::default();
        let gate = gates.close(Side::After, Operation::GetObject, "part");
        assert!(gates.pass(Side::Before, &get("part-1")).now_or_never().is_some());
        assert!(gates.pass(Side::After, &get("other")).now_or_never().is_some());
        let target = get("part-1");
        let mut held = Box::pin(gates.pass(Side::After, &target));
        assert!(gate.wait_reached().now_or_never().is_none());
        assert!((&mut held).now_or_never().is_none());
        assert!(gate.wait_reached().now_or_never().is_some());
        assert!(gate.wait_reached_by(2).now_or_never().is_none());
        gate.release();
        assert!(held.now_or_never().is_some());
        assert!(gates.pass(Side::After, &get("part-2")).now_or_never().is_some());
    }
}
