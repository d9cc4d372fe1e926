//! Who may run now: slots of the server and of each workgroup, with bounded queues in front.
//!
//! Free slots go round the workgroups that wait, one each, so that a flood in one does not hold up the others;
//! within a workgroup it is first come, first served.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use owlake_fault::{Code, Fault, Retry};
use tokio::sync::oneshot;

/// Slots and queues of one server.
#[derive(Debug)]
pub(crate) struct Admission {
    max_running: usize,
    max_queued: usize,
    state: Mutex<State>,
}

/// What a workgroup may have at once; `None` leaves it to the server's limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct GroupLimits {
    pub max_running: Option<usize>,
    pub max_queued: Option<usize>,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    running: usize,
    queued: usize,
    next_ticket: u64,
    groups: BTreeMap<String, Group>,
    /// Whose turn it was last: the next free slot goes to the first waiting group behind it.
    last_served: String,
}

#[derive(Debug, Default)]
struct Group {
    limits: GroupLimits,
    running: usize,
    waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    grant: oneshot::Sender<Slot>,
}

/// The right to run; given back on drop.
#[derive(Debug)]
pub(crate) struct Slot {
    admission: Arc<Admission>,
    group: String,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.admission.leave(&self.group);
    }
}

/// A place in a queue; given up on drop. A grant that crosses it is dropped with the receiver.
struct Place<'a> {
    admission: &'a Admission,
    group: &'a str,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.admission.lock();
        if let Some(group) = state.groups.get_mut(self.group)
            && let Some(at) = group.waiting.iter().position(|w| w.ticket == self.ticket)
        {
            group.waiting.remove(at);
            state.queued -= 1;
            state.forget_idle(self.group);
        }
    }
}

impl Admission {
    /// `max_running` slots; at most `max_queued` wait.
    pub(crate) fn new(max_running: usize, max_queued: usize) -> Arc<Self> {
        Arc::new(Self {
            max_running: max_running.max(1),
            max_queued,
            state: Mutex::default(),
        })
    }

    /// Waits for a slot of the server and of workgroup `name`; refused at once when a queue is full. Cancel safe.
    ///
    /// `limits` are the workgroup's now; they hold for those who wait already, too.
    pub(crate) async fn enter(self: &Arc<Self>, name: &str, limits: GroupLimits) -> Result<Slot, Fault> {
        let (place, granted) = {
            let mut state = self.lock();
            if state.closed {
                return Err(stopping());
            }
            let group = state.groups.entry(name.to_owned()).or_default();
            group.limits = limits;
            // Who comes now does not overtake those who wait.
            let at_once = group.waiting.is_empty() && group.has_room();
            let (group_running, group_waiting) = (group.running, group.waiting.len());
            if at_once && state.running < self.max_running {
                state.take(name);
                return Ok(self.slot(name));
            }
            if limits.max_queued.is_some_and(|most| group_waiting >= most) {
                state.forget_idle(name);
                return Err(full(
                    &format!("in workgroup `{name}` "),
                    group_running,
                    group_waiting,
                ));
            }
            if state.queued >= self.max_queued {
                let (running, queued) = (state.running, state.queued);
                state.forget_idle(name);
                return Err(full("", running, queued));
            }
            let (grant, granted) = oneshot::channel();
            state.next_ticket += 1;
            state.queued += 1;
            let ticket = state.next_ticket;
            if let Some(group) = state.groups.get_mut(name) {
                group.waiting.push_back(Waiter { ticket, grant });
            }
            let place = Place {
                admission: self,
                group: name,
                ticket,
            };
            (place, granted)
        };
        // Other limits than before may let somebody in.
        self.serve();
        let slot = granted.await.map_err(|_closed| stopping());
        drop(place);
        slot
    }

    /// No further query gets a slot; those who wait are told.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.queued = 0;
        for group in state.groups.values_mut() {
            group.waiting.clear();
        }
    }

    /// Queries that run now.
    pub(crate) fn running(&self) -> usize {
        self.lock().running
    }

    /// Queries that wait now.
    pub(crate) fn queued(&self) -> usize {
        self.lock().queued
    }

    fn slot(self: &Arc<Self>, group: &str) -> Slot {
        Slot {
            admission: Arc::clone(self),
            group: group.to_owned(),
        }
    }

    fn leave(self: &Arc<Self>, name: &str) {
        let mut state = self.lock();
        state.running -= 1;
        if let Some(group) = state.groups.get_mut(name) {
            group.running -= 1;
        }
        state.forget_idle(name);
        drop(state);
        self.serve();
    }

    /// Hands out what is free. Grants are sent without the lock: one that nobody takes comes back through it.
    fn serve(self: &Arc<Self>) {
        loop {
            let mut state = self.lock();
            if state.closed || state.running >= self.max_running {
                return;
            }
            let Some(name) = state.next_group() else {
                return;
            };
            let Some(waiter) = state
                .groups
                .get_mut(&name)
                .and_then(|group| group.waiting.pop_front())
            else {
                return;
            };
            state.queued -= 1;
            state.take(&name);
            state.last_served.clone_from(&name);
            drop(state);
            // Who has gone meanwhile gives the slot back at once, by its drop.
            let _gone = waiter.grant.send(self.slot(&name));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, name: &str) {
        self.running += 1;
        if let Some(group) = self.groups.get_mut(name) {
            group.running += 1;
        }
    }

    /// The next workgroup, round the circle, that has somebody waiting and room for it.
    fn next_group(&self) -> Option<String> {
        let ready = |(_, group): &(&String, &Group)| !group.waiting.is_empty() && group.has_room();
        let behind = (
            std::ops::Bound::Excluded(self.last_served.clone()),
            std::ops::Bound::Unbounded,
        );
        self.groups
            .range(behind)
            .find(ready)
            .or_else(|| self.groups.iter().find(ready))
            .map(|(name, _)| name.clone())
    }

    fn forget_idle(&mut self, name: &str) {
        if self
            .groups
            .get(name)
            .is_some_and(|group| group.running == 0 && group.waiting.is_empty())
        {
            self.groups.remove(name);
        }
    }
}

impl Group {
    fn has_room(&self) -> bool {
        self.limits.max_running.is_none_or(|most| self.running < most)
    }
}

fn full(whose: &str, running: usize, waiting: usize) -> Fault {
    Fault::new(
        Code::QueryQueueFull,
        format!("{whose}{running} queries run and {waiting} wait, which is the limit"),
    )
    .with_hint("Try again shortly.")
    .with_retry(Retry::Later(Some(Duration::from_secs(1))))
}

fn stopping() -> Fault {
    Fault::new(Code::ServerShuttingDown, "the server is stopping")
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;

    use super::*;

    type Entry<'a> = Pin<Box<dyn Future<Output = Result<Slot, Fault>> + 'a>>;

    const NONE: GroupLimits = GroupLimits {
        max_running: None,
        max_queued: None,
    };

    fn limits(max_running: usize, max_queued: usize) -> GroupLimits {
        GroupLimits {
            max_running: Some(max_running),
            max_queued: Some(max_queued),
        }
    }

    /// An entry that has begun to wait.
    fn waits<'a>(admission: &'a Arc<Admission>, group: &'a str, limits: GroupLimits) -> Entry<'a> {
        let mut entry: Entry<'a> = Box::pin(admission.enter(group, limits));
        assert!(futures::FutureExt::now_or_never(&mut entry).is_none());
        entry
    }

    fn now(entry: &mut Entry<'_>) -> Option<Result<Slot, Fault>> {
        futures::FutureExt::now_or_never(entry)
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_a_freed_slot_is_taken() {
        let admission = Admission::new(1, 1);
        let first = admission.enter("primary", NONE).await.unwrap();
        let second = waits(&admission, "primary", NONE);
        assert_eq!((admission.running(), admission.queued()), (1, 1));
        let refused = admission.enter("bi", NONE).await.unwrap_err();
        assert_eq!(refused.code(), Code::QueryQueueFull);
        drop(first);
        let slot = second.await.unwrap();
        assert_eq!((admission.running(), admission.queued()), (1, 0));
        drop(slot);
        assert_eq!(admission.running(), 0);
        assert!(admission.lock().groups.is_empty());
    }

    #[tokio::test]
    async fn a_workgroup_keeps_to_its_own_limits_and_the_others_go_on() {
        let admission = Admission::new(10, 10);
        let first = admission.enter("bi", limits(1, 1)).await.unwrap();
        let mut second = waits(&admission, "bi", limits(1, 1));
        let refused = admission.enter("bi", limits(1, 1)).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "QUERY_QUEUE_FULL: in workgroup `bi` 1 queries run and 1 wait, which is the limit. Try again shortly."
        );
        let _other = admission.enter("primary", NONE).await.unwrap();
        assert!(now(&mut second).is_none());
        drop(first);
        assert!(now(&mut second).unwrap().is_ok());
    }

    #[tokio::test]
    async fn free_slots_go_round_the_workgroups() {
        let admission = Admission::new(1, 100);
        let mut running = Some(admission.enter("a", NONE).await.unwrap());
        let mut entries: Vec<(&str, Entry<'_>)> = ["a", "a", "a", "b", "c", "b"]
            .into_iter()
            .map(|group| (group, waits(&admission, group, NONE)))
            .collect();
        let mut order = Vec::new();
        while !entries.is_empty() {
            drop(running.take());
            for (at, (group, entry)) in entries.iter_mut().enumerate() {
                if let Some(slot) = now(entry) {
                    running = Some(slot.unwrap());
                    order.push(*group);
                    drop(entries.remove(at));
                    break;
                }
            }
        }
        assert_eq!(order, ["a", "b", "c", "a", "b", "a"]);
    }

    #[tokio::test]
    async fn who_goes_away_leaves_no_trace() {
        let admission = Admission::new(1, 2);
        let first = admission.enter("a", NONE).await.unwrap();
        let waiting = waits(&admission, "a", NONE);
        let mut behind = waits(&admission, "b", NONE);
        drop(waiting);
        assert_eq!(admission.queued(), 1);
        drop(first);
        let slot = now(&mut behind).unwrap().unwrap();
        // A grant that was sent and never looked at comes back too.
        let granted = waits(&admission, "c", NONE);
        drop(slot);
        assert_eq!((admission.running(), admission.queued()), (1, 0));
        drop(granted);
        assert_eq!(admission.running(), 0);
        assert!(admission.lock().groups.is_empty());
    }

    #[tokio::test]
    async fn closing_tells_those_who_wait() {
        let admission = Admission::new(1, 2);
        let _first = admission.enter("a", NONE).await.unwrap();
        let waiting = waits(&admission, "a", NONE);
        admission.close();
        assert_eq!(waiting.await.unwrap_err().code(), Code::ServerShuttingDown);
        let late = admission.enter("a", NONE).await.unwrap_err();
        assert_eq!(late.code(), Code::ServerShuttingDown);
        assert_eq!(admission.queued(), 0);
    }

    #[tokio::test]
    async fn many_at_once_never_pass_a_limit() {
        let admission = Admission::new(4, 1_000);
        let most = Arc::new(Mutex::new((0_usize, 0_usize)));
        let tasks: Vec<_> = (0..200)
            .map(|i| {
                let (admission, most) = (Arc::clone(&admission), Arc::clone(&most));
                async move {
                    let (group, limits) = if i % 2 == 0 {
                        ("a", limits(2, 500))
                    } else {
                        ("b", NONE)
                    };
                    let slot = admission.enter(group, limits).await.unwrap();
                    {
                        let state = admission.lock();
                        let mut most = most.lock().unwrap();
                        most.0 = most.0.max(state.running);
                        most.1 = most.1.max(state.groups.get("a").map_or(0, |a| a.running));
                    }
                    tokio::task::yield_now().await;
                    drop(slot);
                }
            })
            .collect();
        futures::future::join_all(tasks).await;
        assert_eq!(*most.lock().unwrap(), (4, 2));
        assert_eq!((admission.running(), admission.queued()), (0, 0));
    }
}
