//! Memory of one function call: what its result takes is reserved in the query's pool before it is built, and
//! given back when the last array that shows it is dropped.
//!
//! What operators keep (sorts, groups, build sides) is reserved by DataFusion.

use std::any::Any;
use std::cell::OnceCell;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, make_array};
use arrow::buffer::Buffer;
use bytes::Bytes;
use datafusion::common::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use owlake_fault::{Code, Fault};

use crate::semantics::error::fault;

/// Results up to this many bytes are not reserved: there is one per column and thread, and reserving costs time.
const FREE_BYTES: usize = 1 << 20;

/// The pool that functions reserve in. It travels in a session's options, the only thing of a session that a
/// function call sees; without it nothing is reserved.
#[derive(Clone)]
pub struct FunctionMemory(Arc<dyn MemoryPool>);

impl FunctionMemory {
    /// Functions of a session with these options reserve in `pool` from now on.
    pub fn install(pool: Arc<dyn MemoryPool>, options: &mut ConfigOptions) {
        options.extensions.insert(Self(pool));
    }
}

impl fmt::Debug for FunctionMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FunctionMemory").field(&self.0.name()).finish()
    }
}

impl ConfigExtension for FunctionMemory {
    const PREFIX: &'static str = "function_memory";
}

impl ExtensionOptions for FunctionMemory {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _value: &str) -> Result<()> {
        Err(DataFusionError::Configuration(format!("no setting `{key}`")))
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}

/// What one call may reserve and has reserved.
#[derive(Default)]
pub(crate) struct Space {
    pool: Option<Arc<dyn MemoryPool>>,
    held: OnceCell<MemoryReservation>,
}

impl Space {
    /// The space of a call in a session with `options`.
    pub(crate) fn of(options: &ConfigOptions) -> Self {
        Self {
            pool: options
                .extensions
                .get::<FunctionMemory>()
                .map(|m| Arc::clone(&m.0)),
            held: OnceCell::new(),
        }
    }

    /// Sees to it that `bytes` are reserved in all, or refuses in the name of `function`, which makes `rows` rows.
    pub(crate) fn reserve(&self, function: &str, rows: usize, bytes: usize) -> Result<()> {
        let Some(pool) = self.pool.as_ref().filter(|_| bytes > FREE_BYTES) else {
            return Ok(());
        };
        let held = self
            .held
            // Complete as it is: what pools add for operators that cannot spill does not apply.
            .get_or_init(|| MemoryConsumer::new(function).with_can_spill(true).register(pool));
        if bytes <= held.size() {
            return Ok(());
        }
        // A buffer grows by doubling; where that is too much, what is really filled decides.
        let doubled = bytes.checked_next_power_of_two().unwrap_or(bytes);
        held.try_resize(doubled)
            .or_else(|_| held.try_resize(bytes))
            .map_err(|_| refusal(pool.as_ref(), function, rows, bytes))
    }

    /// Ties what is reserved to `array`, at the size that it has now. What its buffers have grown to beyond that was
    /// never written to.
    pub(crate) fn hold(self, array: ArrayRef) -> Result<ArrayRef> {
        match self.held.into_inner() {
            Some(held) if held.size() > 0 => {
                let data = array.to_data();
                let bytes = data.get_slice_memory_size()?;
                held.shrink(held.size().saturating_sub(bytes));
                Ok(make_array(tied(data, held)?))
            }
            _ => Ok(array),
        }
    }
}

fn refusal(pool: &dyn MemoryPool, function: &str, rows: usize, bytes: usize) -> DataFusionError {
    let limit = match pool.memory_limit() {
        MemoryLimit::Finite(limit) => {
            format!("; a query may hold {limit} bytes and holds {}", pool.reserved())
        }
        _ => String::new(),
    };
    let text = format!(
        "{function}: its result for {rows} rows needs {bytes} bytes of memory (limits.memory){limit}"
    );
    fault(
        Fault::new(Code::ExceededMemoryLimit, text)
            .with_hint("Make the values shorter, run fewer queries at a time, or raise limits.memory."),
    )
}

/// An owner of memory that gives its reservation back when it is dropped.
struct Held {
    buffer: Buffer,
    _reservation: MemoryReservation,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.buffer.as_slice()
    }
}

/// `data` with `reservation` tied to the largest of its buffers.
fn tied(data: ArrayData, reservation: MemoryReservation) -> Result<ArrayData> {
    let own = data.buffers().iter().map(Buffer::capacity).max().unwrap_or(0);
    let child = data
        .child_data()
        .iter()
        .enumerate()
        .max_by_key(|(_, child)| child.get_buffer_memory_size());
    let builder = match child {
        Some((place, child)) if child.get_buffer_memory_size() > own => {
            let mut children = data.child_data().to_vec();
            children[place] = tied(children[place].clone(), reservation)?;
            data.into_builder().child_data(children)
        }
        _ => {
            let mut buffers = data.buffers().to_vec();
            let Some(largest) = buffers.iter_mut().max_by_key(|b| b.capacity()) else {
                return Ok(data);
            };
            let held = Held {
                buffer: largest.clone(),
                _reservation: reservation,
            };
            *largest = Buffer::from(Bytes::from_owner(held));
            data.into_builder().buffers(buffers)
        }
    };
    Ok(builder.build()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, ListArray, StringArray};
    use arrow::datatypes::Int64Type;
    use datafusion::execution::memory_pool::GreedyMemoryPool;

    fn pool_of(bytes: usize) -> (Arc<dyn MemoryPool>, ConfigOptions) {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(bytes));
        let mut options = ConfigOptions::default();
        FunctionMemory::install(Arc::clone(&pool), &mut options);
        (pool, options)
    }

    #[test]
    fn a_result_is_reserved_until_its_last_slice_is_gone() {
        let (pool, options) = pool_of(16 << 20);
        let space = Space::of(&options);
        space.reserve("rpad", 3, 3 << 20).unwrap();
        assert_eq!(
            pool.reserved(),
            4 << 20,
            "while it is built, its buffer may have doubled"
        );
        let text: ArrayRef = Arc::new(StringArray::from(vec![
            Some("x".repeat(3 << 20)),
            None,
            Some("y".into()),
        ]));
        let held = space.hold(Arc::clone(&text)).unwrap();
        assert_eq!(&held, &text);
        let size = (3 << 20)..(3 << 20) + 1000;
        assert!(size.contains(&pool.reserved()), "{}", pool.reserved());
        let slice = held.slice(2, 1);
        drop(held);
        assert!(size.contains(&pool.reserved()));
        assert_eq!(slice.as_string::<i32>().value(0), "y");
        drop(slice);
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn a_list_is_reserved_with_its_elements() {
        let (pool, options) = pool_of(16 << 20);
        let space = Space::of(&options);
        let numbers = (0..400_000).map(Some);
        let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some(numbers)]));
        space.reserve("sequence", 1, 3_200_000).unwrap();
        let held = space.hold(Arc::clone(&list)).unwrap();
        assert_eq!(&held, &list);
        let elements = Arc::clone(held.as_list::<i32>().values());
        drop(held);
        assert!(pool.reserved() >= 3_200_000);
        drop(elements);
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn what_has_no_room_is_refused_by_name_and_leaves_nothing_reserved() {
        let (pool, options) = pool_of(8 << 20);
        let space = Space::of(&options);
        space.reserve("replace", 8192, 5 << 20).unwrap();
        let error = space.reserve("replace", 8192, 9 << 20).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("replace: its result for 8192 rows needs 9437184 bytes"),
            "{text}"
        );
        assert!(text.contains("limits.memory"), "{text}");
        drop(space);
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn small_results_and_sessions_without_a_pool_reserve_nothing() {
        let (pool, options) = pool_of(1);
        Space::of(&options).reserve("lower", 8192, FREE_BYTES).unwrap();
        assert_eq!(pool.reserved(), 0);
        let space = Space::of(&ConfigOptions::default());
        space.reserve("lower", 8192, usize::MAX).unwrap();
    }
}
