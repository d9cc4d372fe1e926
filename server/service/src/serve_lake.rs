//! What the feature `server` adds to [`Lake`]: the Flight SQL service, and what the binary needs of a lake.

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use owlake_catalog::SqliteCatalog;
use owlake_engine::EngineConfig;
use owlake_fault::Fault;
use owlake_scan::ScanConfig;
use tokio::net::TcpListener;

use crate::auth::Authenticator;
use crate::flight::FlightFront;
use crate::lake::{Error, Lake, LakeBuilder};
use crate::tls::ServerTls;
use crate::wiring::Observers;

impl LakeBuilder {
    /// How long a served query that was announced waits for its first fetch before it is ended; 60 s by default.
    pub fn ticket_idle(mut self, idle: Duration) -> Self {
        self.parts.ticket_idle = Some(idle);
        self
    }

    pub(crate) fn observers(mut self, observers: Observers) -> Self {
        self.parts.observers = observers;
        self
    }
}

impl Lake {
    /// The Flight SQL service of this lake, to be mounted in your own tonic server.
    ///
    /// # Errors
    /// Never in practice; the metadata tables are built here.
    pub fn flight_sql_service(&self) -> Result<FlightServiceServer<FlightFront>, Error> {
        let (flight, _usage) = crate::server::services(self, Authenticator::anonymous())?;
        Ok(flight)
    }

    /// Serves Flight SQL to anonymous clients on `listener` until `shutdown`, then lets running streams end.
    ///
    /// # Errors
    /// A broken listener.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        self.serve_with(listener, Authenticator::anonymous(), None, shutdown)
            .await
    }

    /// Serves Flight SQL to the clients that `authenticator` knows, under TLS where it is given.
    ///
    /// # Errors
    /// A broken listener.
    pub async fn serve_with(
        &self,
        listener: TcpListener,
        authenticator: Authenticator,
        tls: Option<Arc<ServerTls>>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        crate::server::serve(self, listener, authenticator, tls, shutdown).await
    }

    pub(crate) fn ticket_idle(&self) -> Duration {
        self.wired.ticket_idle.unwrap_or(crate::flight::TICKET_IDLE)
    }

    pub(crate) fn catalog(&self) -> &Arc<SqliteCatalog> {
        &self.wired.catalog
    }

    /// Tells a second process on the same data directory who holds it.
    pub(crate) fn announce(&self, text: &str) -> Result<(), Fault> {
        match &self.wired.data_dir {
            Some(dir) => Ok(dir.announce(text)?),
            None => Ok(()),
        }
    }
}

/// Limits of engine and scans from the merged configuration.
pub(crate) fn configs(config: &crate::config::Config) -> (EngineConfig, ScanConfig) {
    let limits = &config.limits;
    let mut engine = EngineConfig {
        max_data_scanned_bytes: limits.max_data_scanned.map(|s| s.bytes()),
        query_timeout: limits.query_timeout.duration(),
        planning_timeout: limits.planning_timeout.duration(),
        spill_bytes: limits.spill.bytes(),
        max_running: limits.max_running as usize,
        max_queued: limits.max_queued as usize,
        server_settings: config.shown(),
        result_memory_bytes: config.cache.result_memory.bytes(),
        max_kept_result_bytes: config.cache.max_kept_result.bytes(),
        workgroups: config
            .workgroup
            .iter()
            .map(|w| owlake_engine::WorkgroupConfig {
                name: w.name.clone(),
                bytes_scanned_cutoff_per_query: w.bytes_scanned_cutoff_per_query.map(|s| s.bytes()),
                max_running: w.max_running.map(|n| n as usize),
                max_queued: w.max_queued.map(|n| n as usize),
                result_reuse_max_age: w.result_reuse_max_age.map(|age| age.duration()),
                state: w.state,
            })
            .collect(),
        ..EngineConfig::default()
    };
    if let Some(memory) = limits.memory {
        engine.memory_bytes = usize::try_from(memory.bytes()).unwrap_or(usize::MAX);
        engine.query_memory_bytes = engine.memory_bytes;
    }
    let scan = ScanConfig {
        footer_memory_bytes: config.cache.footer_memory.bytes(),
        listing_ttl: config.cache.listing_ttl.duration(),
        block_memory_bytes: config.cache.block_memory.bytes(),
        block_disk_dir: config.cache.block_disk_dir.clone(),
        block_disk_bytes: config.cache.block_disk.bytes(),
        footer_disk_dir: config.cache.footer_disk_dir.clone(),
        footer_disk_bytes: config.cache.footer_disk.bytes(),
        ..config.scan.limits()
    };
    (engine, scan)
}
