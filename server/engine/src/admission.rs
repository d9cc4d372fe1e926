//! Who may run now: a bounded number of slots with a bounded queue in front.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use owlake_fault::{Code, Fault, Retry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Slots and queue of one server.
#[derive(Debug)]
pub(crate) struct Admission {
    slots: Arc<Semaphore>,
    max_running: usize,
    max_queued: usize,
    queued: AtomicUsize,
}

/// The right to run; given back on drop.
#[derive(Debug)]
pub(crate) struct Slot {
    _permit: OwnedSemaphorePermit,
}

struct Queued<'a>(&'a AtomicUsize);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    /// `max_running` slots; at most `max_queued` wait.
    pub(crate) fn new(max_running: usize, max_queued: usize) -> Self {
        let max_running = max_running.max(1);
        Self {
            slots: Arc::new(Semaphore::new(max_running)),
            max_running,
            max_queued,
            queued: AtomicUsize::new(0),
        }
    }

    /// Waits for a slot, first come first served; refused at once when the queue is full. Cancel safe.
    pub(crate) async fn enter(&self) -> Result<Slot, Fault> {
        if let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(Slot { _permit: permit });
        }
        let waiting = self.queued.fetch_add(1, Ordering::Relaxed);
        let queued = Queued(&self.queued);
        if waiting >= self.max_queued {
            drop(queued);
            return Err(Fault::new(
                Code::QueryQueueFull,
                format!(
                    "{} queries run and {} wait, which is the limit",
                    self.max_running, self.max_queued
                ),
            )
            .with_hint("Try again shortly.")
            .with_retry(Retry::Later(Some(Duration::from_secs(1)))));
        }
        match Arc::clone(&self.slots).acquire_owned().await {
            Ok(permit) => Ok(Slot { _permit: permit }),
            Err(_closed) => Err(Fault::new(Code::ServerShuttingDown, "the server is stopping")),
        }
    }

    /// No further query gets a slot.
    pub(crate) fn close(&self) {
        self.slots.close();
    }

    /// Queries that run now.
    pub(crate) fn running(&self) -> usize {
        self.max_running.saturating_sub(self.slots.available_permits())
    }

    /// Queries that wait now.
    pub(crate) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_refuses_and_a_freed_slot_is_taken() {
        let admission = Arc::new(Admission::new(1, 1));
        let first = admission.enter().await.unwrap();
        let second = {
            let admission = Arc::clone(&admission);
            async move { admission.enter().await }
        };
        let mut second = Box::pin(second);
        assert!(futures::poll!(&mut second).is_pending());
        assert_eq!((admission.running(), admission.queued()), (1, 1));
        assert_eq!(admission.enter().await.unwrap_err().code(), Code::QueryQueueFull);
        drop(first);
        assert!(second.await.is_ok());
        assert_eq!(admission.queued(), 0);
    }
}
