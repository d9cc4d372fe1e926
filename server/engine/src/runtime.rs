//! The threads of the engine: the one place that spawns.
//!
//! Three pools: I/O belongs to the caller's tokio runtime; `owlake-plan` threads have large stacks and
//! may be left behind by a plan that misses its deadline; `owlake-cpu` threads decode and compute.

use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use owlake_fault::{Code, Fault};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// Stack of planning threads: recursive walks over guarded statements need less than half (reliability 0.2).
const PLAN_STACK_BYTES: usize = 64 << 20;
/// Stack of compute threads.
const CPU_STACK_BYTES: usize = 16 << 20;
/// Planning threads; more than one so that one bomb does not hold up the others.
const PLAN_THREADS: usize = 4;

/// Handles to the pools.
#[derive(Debug, Clone)]
pub struct Runtimes {
    io: Handle,
    owned: Arc<Owned>,
}

#[derive(Debug)]
struct Owned {
    plan: Option<Runtime>,
    cpu: Option<Runtime>,
}

impl Drop for Owned {
    fn drop(&mut self) {
        // Dropping a runtime inside another one's thread would block it.
        for runtime in [self.plan.take(), self.cpu.take()].into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}

impl Runtimes {
    /// Starts the planning and compute threads; I/O stays on `io`.
    pub fn start(io: Handle, cpu_threads: usize) -> std::io::Result<Self> {
        let plan = Builder::new_multi_thread()
            .worker_threads(PLAN_THREADS)
            .thread_name("owlake-plan")
            .thread_stack_size(PLAN_STACK_BYTES)
            .enable_all()
            .build()?;
        let cpu = Builder::new_multi_thread()
            .worker_threads(cpu_threads.max(1))
            .thread_name("owlake-cpu")
            .thread_stack_size(CPU_STACK_BYTES)
            .enable_all()
            .build()?;
        Ok(Self {
            io,
            owned: Arc::new(Owned {
                plan: Some(plan),
                cpu: Some(cpu),
            }),
        })
    }

    /// The I/O runtime.
    pub fn io(&self) -> &Handle {
        &self.io
    }

    /// Runs `work` on a planning thread. Dropping the returned future aborts it at its next await.
    pub async fn plan<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> Result<T, Fault> {
        self.spawn_plan(work)?.join().await
    }

    /// Begins `work` on a planning thread; dropping the handle aborts it.
    pub fn spawn_plan<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> Result<AbortOnDrop<Result<T, Fault>>, Fault> {
        match self.owned.plan.as_ref().map(|r| r.handle().clone()) {
            Some(handle) => Ok(AbortOnDrop(handle.spawn(work))),
            None => Err(stopped()),
        }
    }

    /// Runs `work` on a compute thread until done or until the returned handle is dropped.
    pub fn spawn_cpu(
        &self,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Result<AbortOnDrop<()>, Fault> {
        match self.owned.cpu.as_ref().map(|r| r.handle().clone()) {
            Some(handle) => Ok(AbortOnDrop(handle.spawn(work))),
            None => Err(stopped()),
        }
    }

    /// Runs `work` on the I/O runtime, detached: it must end by itself.
    pub fn spawn_io(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.io.spawn(work);
    }
}

fn stopped() -> Fault {
    Fault::new(Code::ServerShuttingDown, "the engine has stopped")
}

/// A task that ends with its owner.
#[derive(Debug)]
pub struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> AbortOnDrop<Result<T, Fault>> {
    /// Its result. Dropping the returned future aborts the task.
    pub async fn join(mut self) -> Result<T, Fault> {
        match (&mut self.0).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => Err(panicked(&*error.into_panic())),
            Err(_cancelled) => Err(stopped()),
        }
    }
}

/// The fault for a panic caught at the query boundary. The text goes to the log only.
pub fn panicked(payload: &(dyn std::any::Any + Send)) -> Fault {
    let text = payload
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without text".to_owned());
    Fault::new(Code::GenericInternalError, "internal error").with_source(std::io::Error::other(text))
}

/// Polls `work` with panics turned into faults.
pub async fn caught<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    match std::panic::AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result,
        Err(payload) => Err(panicked(&*payload)),
    }
}
