//! The library: an engine with its catalog inside any tokio program.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use futures::Stream;
use object_store::StaticCredentialProvider;
use object_store::aws::AwsCredential;
use owlake_engine::{
    Engine, EngineConfig, Estimate, Principal, QueryContext, QueryFailure, RunningQuery, SessionSettings,
};
use owlake_fault::{Code, Fault};
use owlake_metering::{Counters, LedgerOptions, Receipt};
use owlake_scan::{S3Access, ScanConfig};

use crate::wiring::{Parts, Wired, wire};

/// What can go wrong in the library: one sentence, a stable code, and the bill until then.
pub type Error = QueryFailure;

/// An engine with its embedded catalog. Cheap to clone; the data directory is released with the last clone.
#[derive(Debug, Clone)]
pub struct Lake {
    pub(crate) wired: Arc<Wired>,
    settings: SessionSettings,
}

/// Settings of a [`Lake`] to be.
#[derive(Debug, Default)]
#[must_use]
pub struct LakeBuilder {
    pub(crate) parts: Parts,
}

impl LakeBuilder {
    /// Keeps catalog and query history in this directory, created where missing.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.parts.data_dir = Some(path.into());
        self
    }

    /// Keeps everything in memory. This is the default.
    pub fn in_memory(mut self) -> Self {
        self.parts.data_dir = None;
        self
    }

    /// Allows tables below `s3://bucket/prefix/` or `file:///directory/`. Nothing else can be read.
    pub fn allow_location(mut self, root: impl Into<String>) -> Self {
        self.parts.allowed_locations.push(root.into());
        self
    }

    /// Adds a catalog over another database: a connector (`postgresql`) and its properties (docs/federation.md).
    /// Nothing connects before its tables are asked for. References to secrets lead to this process's environment
    /// and files.
    pub fn catalog<K: Into<String>, V: Into<String>>(
        mut self,
        name: impl Into<String>,
        connector: impl Into<String>,
        properties: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.parts.catalogs.push(crate::config::CatalogConfig {
            name: name.into(),
            connector: connector.into(),
            properties: properties
                .into_iter()
                .map(|(k, v)| (k.into(), v.into()))
                .collect(),
        });
        self
    }

    /// Secrets that `CREATE CATALOG` may refer to, by commas: `ENV:NAME`, `FILE:/path`, or the start of names and paths
    /// with `*` or `/` at its end. Without it `ENV:PGPASSWORD` and what is below `/run/secrets/`.
    pub fn sql_catalog_references(mut self, list: impl Into<String>) -> Self {
        self.parts.sql_references = Some(list.into());
        self
    }

    /// Reaches buckets under `prefix` with these keys at an S3-compatible endpoint (plain HTTP allowed).
    pub fn s3_endpoint(
        mut self,
        prefix: impl Into<String>,
        endpoint_url: impl Into<String>,
        access_key_id: impl Into<String>,
        secret_access_key: impl Into<String>,
    ) -> Self {
        let credentials = StaticCredentialProvider::new(AwsCredential {
            key_id: access_key_id.into(),
            secret_key: secret_access_key.into(),
            token: None,
        });
        self.parts.s3.push(S3Access {
            prefix: prefix.into(),
            endpoint_url: Some(endpoint_url.into()),
            allow_http: true,
            credentials: Some(Arc::new(credentials)),
            ..S3Access::default()
        });
        self
    }

    /// How S3 is reached, in full.
    pub fn s3_access(mut self, access: impl IntoIterator<Item = S3Access>) -> Self {
        self.parts.s3.extend(access);
        self
    }

    /// Limits of the engine.
    pub fn engine_config(mut self, config: EngineConfig) -> Self {
        self.parts.engine = config;
        self
    }

    /// Limits of scans and their caches.
    pub fn scan_config(mut self, config: ScanConfig) -> Self {
        self.parts.scan = config;
        self
    }

    /// How long the ledger keeps its rows.
    pub fn ledger_options(mut self, options: LedgerOptions) -> Self {
        self.parts.ledger = options;
        self
    }

    /// Name of the price plan: `aws-s3` or `athena`.
    pub fn price_plan(mut self, name: impl Into<String>) -> Self {
        self.parts.price_plan = Some(name.into());
        self
    }

    /// Another clock for queries than the wall's: what `now()` is, and how old a result or a projected `NOW` are.
    pub fn clock(mut self, clock: fn() -> DateTime<Utc>) -> Self {
        self.parts.clock = Some(clock);
        self
    }

    /// Where warnings of quotas with WARN AT are posted as JSON.
    pub fn quota_webhook(mut self, url: impl Into<String>) -> Self {
        self.parts.quota_webhook = Some(crate::config::Secret::new(url));
        self
    }

    /// Opens the lake on the current tokio runtime.
    ///
    /// # Errors
    /// `DATA_DIRECTORY_LOCKED` where another process holds the directory; bad locations; files that cannot be opened.
    pub async fn build(mut self) -> Result<Lake, Error> {
        if !self.parts.s3.iter().any(|a| a.prefix == "s3://") {
            let environment = crate::config::Environment::of_process().aws();
            self.parts.s3.extend(crate::aws::access(&[], &environment).await);
        }
        let io = tokio::runtime::Handle::try_current().map_err(|e| {
            Fault::new(Code::GenericInternalError, "a lake needs a tokio runtime").with_source(e)
        })?;
        let wired = wire(self.parts, io)?;
        Ok(Lake {
            wired: Arc::new(wired),
            settings: SessionSettings::default(),
        })
    }
}

impl Lake {
    /// Starts with everything in memory and no location allowed.
    pub fn builder() -> LakeBuilder {
        LakeBuilder::default()
    }

    /// The same lake with another current database.
    #[must_use]
    pub fn with_database(mut self, database: impl Into<String>) -> Self {
        self.settings.database = database.into();
        self
    }

    /// Runs a statement for its effect; rows are read and dropped.
    ///
    /// # Errors
    /// See [`Error`]; a failed statement has a receipt too.
    pub async fn execute(&self, sql: &str) -> Result<Receipt, Error> {
        let mut query = self.query(sql).run().await?;
        while query.try_next().await?.is_some() {}
        match query.receipt() {
            Some(receipt) => Ok(receipt.clone()),
            None => Err(Fault::new(Code::GenericInternalError, "a statement ended without a receipt").into()),
        }
    }

    /// A query to be run with [`QueryBuilder::run`].
    pub fn query<'a>(&'a self, sql: &'a str) -> QueryBuilder<'a> {
        QueryBuilder {
            lake: self,
            sql,
            settings: Ok(self.settings.clone()),
            parameters: Vec::new(),
        }
    }

    /// What a query would read and cost, before it runs: bytes, requests, money, and how sure. Reads no data byte;
    /// footers and listings that it reads are on its own receipt.
    ///
    /// # Errors
    /// As the query's planning; `INVALID_ARGUMENTS` for statements of the session (SET, USE).
    pub async fn estimate(&self, sql: &str) -> Result<Estimate, Error> {
        self.engine().estimate(self.context(&self.settings), sql).await
    }

    /// A table of this lake for your own DataFusion: partition projection and pruning included.
    ///
    /// `name` is `table`, `database.table` or `catalog.database.table`. Reads are on the system account
    /// ([`Lake::system_counters`]); no cap applies and no ledger row is written, since your engine runs the query.
    ///
    /// # Errors
    /// Unknown tables and definitions that cannot be used.
    pub async fn table(&self, name: &str) -> Result<Arc<dyn TableProvider>, Error> {
        let parts: Vec<&str> = name.split('.').collect();
        let (catalog, database, table) = match parts.as_slice() {
            [table] => (
                self.settings.catalog.as_str(),
                self.settings.database.as_str(),
                *table,
            ),
            [database, table] => (self.settings.catalog.as_str(), *database, *table),
            [catalog, database, table] => (*catalog, *database, *table),
            _ => {
                return Err(
                    Fault::new(Code::InvalidArguments, format!("`{name}` is not a table name")).into(),
                );
            }
        };
        Ok(self
            .engine()
            .detached_table(self.context(&self.settings), catalog, database, table)
            .await?)
    }

    /// Says that something at or below `location` changed, or that `location` is an object that did: cached listings
    /// that may name it are not used any more.
    ///
    /// # Errors
    /// Text that is no location, or one outside the allowed locations.
    pub fn invalidate_location(&self, location: &str) -> Result<(), Error> {
        let context = self.context(&self.settings);
        Ok(self.engine().invalidate_location(&context, location)?)
    }

    /// What all stores were asked for since the lake was opened.
    pub fn counters(&self) -> Counters {
        self.engine().meters().process_counters()
    }

    /// The part of [`Lake::counters`] that is on no query's receipt: reads of tables that [`Lake::table`] gave away.
    pub fn system_counters(&self) -> Counters {
        self.engine().meters().system_counters()
    }

    /// Bytes of memory that queries hold now.
    pub fn memory_reserved_bytes(&self) -> u64 {
        self.engine().memory_reserved_bytes()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.wired.engine
    }

    fn context(&self, settings: &SessionSettings) -> QueryContext {
        QueryContext::new(
            Principal("embedded".to_owned()),
            settings.clone(),
            self.engine().now(),
        )
    }
}

/// A query with its parameters and limits.
#[derive(Debug)]
#[must_use]
pub struct QueryBuilder<'a> {
    lake: &'a Lake,
    sql: &'a str,
    settings: Result<SessionSettings, Fault>,
    parameters: Vec<ScalarValue>,
}

impl QueryBuilder<'_> {
    /// Binds the next placeholder.
    pub fn bind(mut self, value: impl Into<ScalarValue>) -> Self {
        self.parameters.push(value.into());
        self
    }

    /// Refuses the query once it would scan more; a size such as `1GB`.
    pub fn max_data_scanned(mut self, size: &str) -> Self {
        self.settings = self.settings.and_then(|mut settings| {
            settings.set_text("max_data_scanned_bytes", size)?;
            Ok(settings)
        });
        self
    }

    /// Tags the query in the ledger.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        if let Ok(settings) = &mut self.settings {
            settings.tags.insert(key.into(), value.into());
        }
        self
    }

    /// Runs it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn run(self) -> Result<Query, Error> {
        let context = self.lake.context(&self.settings?);
        let engine = self.lake.engine();
        let submitted = if self.parameters.is_empty() {
            engine.submit(context, self.sql).await?
        } else {
            let prepared = engine.prepare(context.clone(), self.sql).await?;
            engine
                .submit_prepared(context, &prepared, self.parameters)
                .await?
        };
        Ok(Query {
            running: submitted.run().await?,
        })
    }
}

/// A running query. Dropping it cancels it.
#[derive(Debug)]
pub struct Query {
    running: RunningQuery,
}

impl Query {
    /// The schema of its rows.
    pub fn schema(&self) -> &SchemaRef {
        self.running.schema()
    }

    /// The next batch; `None` at the end.
    ///
    /// # Errors
    /// See [`Error`]; its receipt says what was read until then.
    pub async fn try_next(&mut self) -> Result<Option<RecordBatch>, Error> {
        self.running.next_batch().await
    }

    /// All rows.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn collect(&mut self) -> Result<Vec<RecordBatch>, Error> {
        let mut batches = Vec::new();
        while let Some(batch) = self.try_next().await? {
            batches.push(batch);
        }
        Ok(batches)
    }

    /// The receipt, once the query has ended, also after an error.
    pub fn receipt(&self) -> Option<&Receipt> {
        self.running.receipt()
    }

    /// The batches as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<RecordBatch, Error>> + Send {
        self.running.into_stream()
    }
}
