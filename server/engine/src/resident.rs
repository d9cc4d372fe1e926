//! What the process really holds, against what machine and cgroup let it have: the last resort behind the pool,
//! for what no operator and no function reserves (decoders, copies, the allocator's own).
//!
//! Above the high mark, the pool is as good as full; above the last mark, the query that holds most ends.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use owlake_fault::{Code, Fault};
use tokio_util::sync::CancellationToken;

use crate::memory::QueryMemoryPool;

/// How often the process is looked at while queries run.
const EVERY: Duration = Duration::from_millis(20);
/// After a query was ended, this long nothing else is: its memory has to come back first.
const PATIENCE_LOOKS: u32 = 25;
/// Part of the limit, in percent, above which no query gets more memory.
const HIGH_PERCENT: u64 = 80;
/// Part of the limit, in percent, above which the largest query ends.
const LAST_PERCENT: u64 = 90;
/// What each query may have even above the high mark, so that small ones are answered.
pub(crate) const SMALL_QUERY_BYTES: usize = 8 << 20;

/// How much the process holds. Shared by the pools of all queries.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    high: AtomicBool,
    resident: AtomicU64,
    limit: AtomicU64,
}

impl Pressure {
    /// The process holds so much that no query may have more.
    pub(crate) fn is_high(&self) -> bool {
        self.high.load(Ordering::Relaxed)
    }

    fn looked(&self, resident: u64, limit: u64) {
        self.resident.store(resident, Ordering::Relaxed);
        self.limit.store(limit, Ordering::Relaxed);
        self.high
            .store(resident > part(limit, HIGH_PERCENT), Ordering::Relaxed);
    }
}

impl fmt::Display for Pressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the server holds {} of the {} bytes that it may have",
            self.resident.load(Ordering::Relaxed),
            self.limit.load(Ordering::Relaxed)
        )
    }
}

/// The queries that may be ended, and who looks.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) pressure: Arc<Pressure>,
    queries: Mutex<Vec<Watched>>,
}

#[derive(Debug)]
struct Watched {
    memory: Weak<QueryMemoryPool>,
    cancel: CancellationToken,
}

impl Watch {
    /// A query that holds memory in `memory` and ends by `cancel`.
    pub(crate) fn add(&self, memory: &Arc<QueryMemoryPool>, cancel: CancellationToken) {
        let memory = Arc::downgrade(memory);
        self.queries().push(Watched { memory, cancel });
    }

    fn queries(&self) -> std::sync::MutexGuard<'_, Vec<Watched>> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the process until `watch` has gone. Without `/proc` or a limit there is nothing to look at.
    pub(crate) async fn look(watch: Weak<Self>) {
        let Some(limit) = limit_bytes() else { return };
        let mut patience = 0_u32;
        loop {
            tokio::time::sleep(EVERY).await;
            let Some(watch) = watch.upgrade() else { return };
            if watch.is_idle() {
                watch.pressure.looked(0, limit);
                continue;
            }
            let Some(resident) = resident_bytes() else { return };
            watch.pressure.looked(resident, limit);
            patience = patience.saturating_sub(1);
            if patience == 0 && resident > part(limit, LAST_PERCENT) && watch.end_largest() {
                patience = PATIENCE_LOOKS;
            }
        }
    }

    fn is_idle(&self) -> bool {
        let mut queries = self.queries();
        queries.retain(|q| q.memory.strong_count() > 0);
        queries.is_empty()
    }

    /// Ends the query that holds most; false where none holds more than a small one may.
    fn end_largest(&self) -> bool {
        let queries = self.queries();
        let held = queries
            .iter()
            .filter_map(|q| q.memory.upgrade().map(|m| (m, &q.cancel)));
        let largest = held
            .filter(|(memory, _)| !memory.is_ended())
            .max_by_key(|(memory, _)| memory.reserved_bytes());
        let Some((memory, cancel)) = largest else {
            return false;
        };
        tracing::warn!(
            reserved = memory.reserved_bytes(),
            "{}: the query that holds most is ended",
            self.pressure
        );
        memory.end();
        cancel.cancel();
        true
    }
}

/// What a query ends with that was ended for others' sake.
pub(crate) fn ended(pressure: &Pressure) -> Fault {
    Fault::new(
        Code::ExceededMemoryLimit,
        format!("{pressure}, and this query held the most of it"),
    )
    .with_hint(
        "Let it need less, run fewer queries at a time, or give the server more memory (docs/memory.md).",
    )
}

fn part(of: u64, percent: u64) -> u64 {
    of / 100 * percent
}

/// Bytes of the process that are nobody else's and no file's.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    kib(&status, "RssAnon:")
}

/// The least of what the machine has and what each cgroup above the process allows.
fn limit_bytes() -> Option<u64> {
    let machine = kib(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")?;
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = limit_files(&groups).into_iter().filter_map(|file| {
        let text = std::fs::read_to_string(file).ok()?;
        text.trim().parse::<u64>().ok()
    });
    Some(limits.fold(machine, u64::min))
}

/// `name: n kB` of a file below `/proc`, in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
    Some(number * 1024)
}

/// The files that hold the limits of the groups in `/proc/self/cgroup`, of either version, and of those above them.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            c if c.split(',').any(|c| c == "memory") => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        let path = Path::new(path.trim_start_matches('/'));
        files.extend(
            path.ancestors()
                .map(|group| Path::new(root).join(group).join(name)),
        );
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, UnboundedMemoryPool};

    #[test]
    fn limits_of_both_kinds_of_cgroup_are_found_up_to_the_root() {
        let files = limit_files("0::/a/b\n");
        let expected = [
            "/sys/fs/cgroup/a/b/memory.max",
            "/sys/fs/cgroup/a/memory.max",
            "/sys/fs/cgroup/memory.max",
        ];
        assert_eq!(files, expected.map(PathBuf::from));
        let files = limit_files("11:cpu:/x\n4:memory:/\n0::/\n");
        let expected = [
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory.max",
        ];
        assert_eq!(files, expected.map(PathBuf::from));
        assert_eq!(
            kib("VmRSS:\t  9 kB\nRssAnon:\t      12 kB\n", "RssAnon:"),
            Some(12 * 1024)
        );
    }

    #[test]
    fn this_process_has_a_limit_and_holds_less() {
        let (limit, resident) = (limit_bytes().unwrap(), resident_bytes().unwrap());
        assert!(resident > 0 && resident < limit, "{resident} of {limit}");
    }

    fn query(watch: &Watch, holds: usize) -> (Arc<QueryMemoryPool>, CancellationToken, impl Sized) {
        let pool = QueryMemoryPool::new(Arc::new(UnboundedMemoryPool::default()), usize::MAX);
        let pool = Arc::new(pool.under(Arc::clone(&watch.pressure)));
        let cancel = CancellationToken::new();
        watch.add(&pool, cancel.clone());
        let held = MemoryConsumer::new("test").register(&(Arc::clone(&pool) as Arc<dyn MemoryPool>));
        held.try_grow(holds).unwrap();
        (pool, cancel, held)
    }

    #[test]
    fn the_largest_query_ends_first_and_gets_no_more() {
        let watch = Watch::default();
        let (small, small_cancel, _small) = query(&watch, 1 << 20);
        let (large, large_cancel, _large) = query(&watch, 64 << 20);
        assert!(watch.end_largest());
        assert!(large_cancel.is_cancelled() && large.is_ended());
        assert!(!small_cancel.is_cancelled() && !small.is_ended());
        let more = MemoryConsumer::new("more").register(&(Arc::clone(&large) as Arc<dyn MemoryPool>));
        assert!(more.try_grow(1).is_err());
        assert!(watch.end_largest());
        assert!(small_cancel.is_cancelled());
        assert!(!watch.end_largest());
    }

    #[test]
    fn above_the_high_mark_only_small_queries_get_memory() {
        let watch = Watch::default();
        let (pool, _cancel, _held) = query(&watch, 1 << 20);
        let pool = pool as Arc<dyn MemoryPool>;
        let more = MemoryConsumer::new("more").register(&pool);
        watch.pressure.looked(85, 100);
        more.try_grow(1 << 20).unwrap();
        let refused = more.try_grow(SMALL_QUERY_BYTES).unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("the server holds 85 of the 100 bytes"),
            "{refused}"
        );
        watch.pressure.looked(75, 100);
        more.try_grow(SMALL_QUERY_BYTES).unwrap();
    }
}
