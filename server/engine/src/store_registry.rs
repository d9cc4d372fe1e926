//! The only store that DataFusion can find by URL: one that refuses every read.
//!
//! Scans bring their own metered stores; no file system, bucket or host is reachable by URL (architecture 6).

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use owlake_scan::SCAN_URL;

/// Knows [`SCAN_URL`] and nothing else.
#[derive(Debug)]
pub(crate) struct ScanOnlyRegistry;

impl ObjectStoreRegistry for ScanOnlyRegistry {
    fn register_store(&self, _url: &url::Url, _store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &url::Url) -> Result<Arc<dyn ObjectStore>> {
        if url.as_str().trim_end_matches('/') == SCAN_URL {
            // Empty, and nobody can put anything into it.
            return Ok(Arc::new(InMemory::new()));
        }
        Err(DataFusionError::Plan(format!(
            "no object store is registered for {}",
            url.scheme()
        )))
    }
}
