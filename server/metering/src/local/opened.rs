//! Files that stay open between the reads of one query: what the kernel holds of them is taken without a change of
//! threads. How a file is opened for the first time, and whether it may be, is the store's business.

use std::fs::{File, Metadata};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hashlink::LruCache;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, Result};

use crate::meter::{Counter, Meter};

use super::{CHUNK_BYTES, absolute, changed, io_error, object_meta};

/// Files that are kept open; a scan reads about as many at the same time as there are cores.
const KEPT_FILES: usize = 32;

/// The files of one store, as far as they were used lately.
#[derive(Debug, Clone)]
pub(super) struct OpenedFiles(Arc<Mutex<LruCache<Path, Arc<Opened>>>>);

/// A file below an allowed root.
#[derive(Debug)]
pub(super) struct Opened {
    pub file: File,
    pub meta: ObjectMeta,
}

impl Default for OpenedFiles {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(LruCache::new(KEPT_FILES))))
    }
}

impl OpenedFiles {
    pub(super) fn keep(&self, opened: Opened) {
        let location = opened.meta.location.clone();
        self.lock().insert(location, Arc::new(opened));
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<Path, Arc<Opened>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open file, where it is what is to be found at `location` now.
    pub(super) fn current(&self, location: &Path) -> Option<Arc<Opened>> {
        let opened = self.lock().get(location).map(Arc::clone)?;
        let metadata = std::fs::metadata(absolute(location)).ok()?;
        (metadata.is_file() && opened.is(&metadata)).then_some(opened)
    }
}

/// The range that `options` ask for, where it is read at once.
pub(super) fn short_range(options: &GetOptions) -> Option<Range<u64>> {
    let Some(GetRange::Bounded(range)) = &options.range else {
        return None;
    };
    let length = range.end.checked_sub(range.start)?;
    (0 < length && length <= CHUNK_BYTES as u64).then(|| range.clone())
}

impl Opened {
    fn is(&self, metadata: &Metadata) -> bool {
        object_meta(self.meta.location.clone(), metadata).e_tag == self.meta.e_tag
    }

    /// Ends a read: what came is of the version that was opened.
    ///
    /// # Errors
    /// A file that changed meanwhile.
    pub(super) fn unchanged(&self) -> Result<()> {
        let location = &self.meta.location;
        let metadata = self.file.metadata().map_err(|e| io_error(location, e))?;
        if self.is(&metadata) {
            Ok(())
        } else {
            Err(changed(location))
        }
    }

    /// The bytes of `range`, where the kernel holds both ends of it, so that nobody waits for a disk.
    ///
    /// # Errors
    /// A file that changed meanwhile, or cannot be read.
    pub(super) fn read_held(&self, range: &Range<u64>, meter: &Meter) -> Result<Option<Bytes>> {
        if range.end > self.meta.size || !(self.holds(range.start) && self.holds(range.end - 1)) {
            return Ok(None);
        }
        let location = &self.meta.location;
        meter.add(Counter::RequestedBytes, range.end - range.start);
        let Some(bytes) = self.read(range).map_err(|e| io_error(location, e))? else {
            return Err(changed(location));
        };
        meter.add(Counter::TransferredBytes, bytes.len() as u64);
        self.unchanged()?;
        Ok(Some(bytes))
    }

    /// `None` where the file ends before.
    #[cfg(target_os = "linux")]
    fn read(&self, range: &Range<u64>) -> std::io::Result<Option<Bytes>> {
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let at = range.start + bytes.len() as u64;
            // The allocator may have given more than was asked for: that is cut off below.
            match rustix::io::pread(&self.file, rustix::buffer::spare_capacity(&mut bytes), at) {
                Ok(0) => return Ok(None),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(length);
        Ok(Some(bytes.into()))
    }

    #[cfg(target_os = "linux")]
    fn holds(&self, offset: u64) -> bool {
        use rustix::io::{IoSliceMut, ReadWriteFlags, preadv2};
        let mut byte = [0];
        let mut into = [IoSliceMut::new(&mut byte)];
        // An error where it would wait, and where the file system cannot tell.
        matches!(
            preadv2(&self.file, &mut into, offset, ReadWriteFlags::NOWAIT),
            Ok(1)
        )
    }

    #[cfg(not(target_os = "linux"))]
    fn read(&self, _range: &Range<u64>) -> std::io::Result<Option<Bytes>> {
        Ok(None)
    }

    #[cfg(not(target_os = "linux"))]
    fn holds(&self, _offset: u64) -> bool {
        false
    }
}
