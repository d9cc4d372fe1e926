//! From a location to a metered object store: shared connections and credentials, one client per query.
//!
//! A client per query carries that query's meter and id into every HTTP attempt; connections and
//! credentials are shared by the process, so such a client costs no I/O.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AwsCredentialProvider};
use object_store::{ObjectStore, RetryConfig};
use owlake_metering::{
    ListedKeys, LocalStore, Meter, MeteredConnector, QuotaGrant, RequestHooks, RequestLog, RequestObserver,
    RequestTimes, SharedHttp, SmallShare,
};

use crate::error::ScanError;
use crate::location::{AllowedRoots, Location, StoreId};

/// How to reach the buckets under one prefix; the longest matching prefix wins.
#[derive(Clone, Default)]
pub struct S3Access {
    /// Prefix this applies to: `s3://bucket/...` or `s3://` for all.
    pub prefix: String,
    /// Region; `us-east-1` where none is known.
    pub region: Option<String>,
    /// Endpoint of an S3-compatible store.
    pub endpoint_url: Option<String>,
    /// Plain HTTP endpoints are refused without it.
    pub allow_http: bool,
    /// Requests are not signed.
    pub anonymous: bool,
    /// We pay for requests to somebody else's bucket.
    pub requester_pays: bool,
    /// Where keys come from; `None` only together with `anonymous`.
    pub credentials: Option<AwsCredentialProvider>,
}

impl fmt::Debug for S3Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Access")
            .field("prefix", &self.prefix)
            .field("region", &self.region)
            .field("endpoint_url", &self.endpoint_url)
            .field("anonymous", &self.anonymous)
            .finish_non_exhaustive()
    }
}

/// Everything the process shares to reach stores.
#[derive(Debug)]
pub struct Stores {
    http: Arc<SharedHttp>,
    io: tokio::runtime::Handle,
    access: Vec<S3Access>,
    roots: AllowedRoots,
    observer: Option<Arc<dyn RequestObserver>>,
}

impl Stores {
    /// Shared parts; HTTP calls are dispatched on `io`.
    pub fn new(
        http: Arc<SharedHttp>,
        io: tokio::runtime::Handle,
        access: Vec<S3Access>,
        roots: AllowedRoots,
        observer: Option<Arc<dyn RequestObserver>>,
    ) -> Self {
        Self {
            http,
            io,
            access,
            roots,
            observer,
        }
    }

    /// The roots that every table, partition and key must lie under.
    pub fn roots(&self) -> &AllowedRoots {
        &self.roots
    }

    fn access_for(&self, location: &Location) -> Option<&S3Access> {
        let text = location.to_string();
        self.access
            .iter()
            .filter(|a| text.starts_with(&a.prefix))
            .max_by_key(|a| a.prefix.len())
    }

    fn s3(
        &self,
        bucket: &str,
        access: &S3Access,
        query: &QueryStores,
    ) -> Result<Arc<dyn ObjectStore>, ScanError> {
        let connector = MeteredConnector::new(
            Arc::clone(&self.http),
            Arc::clone(&query.meter),
            &query.query_id,
            self.io.clone(),
            RequestHooks {
                observer: self.observer.clone(),
                log: query.log.clone(),
                quotas: query.quotas.clone(),
                times: query.times.clone(),
            },
        );
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(access.region.as_deref().unwrap_or("us-east-1"))
            .with_allow_http(access.allow_http)
            .with_skip_signature(access.anonymous)
            .with_request_payer(access.requester_pays)
            .with_retry(retry_config())
            .with_http_connector(connector);
        if let Some(endpoint) = &access.endpoint_url {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(credentials) = &access.credentials {
            builder = builder.with_credentials(Arc::clone(credentials));
        }
        match builder.build() {
            Ok(store) => Ok(Arc::new(ListedKeys(store))),
            Err(source) => Err(ScanError::StoreConfig {
                bucket: bucket.to_owned(),
                reason: source.to_string(),
            }),
        }
    }
}

/// Retries stay well below any query deadline: the stock 180 s would outlive it (reliability A4).
fn retry_config() -> RetryConfig {
    RetryConfig {
        backoff: object_store::BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: 6,
        retry_timeout: Duration::from_secs(30),
    }
}

/// The stores of one query, made on first use, all counting on the query's meter.
#[derive(Debug)]
pub struct QueryStores {
    shared: Arc<Stores>,
    meter: Arc<Meter>,
    query_id: String,
    log: Option<Arc<RequestLog>>,
    quotas: Option<Arc<QuotaGrant>>,
    times: Option<Arc<RequestTimes>>,
    open: Mutex<HashMap<(StoreId, String), Arc<dyn ObjectStore>>>,
}

impl QueryStores {
    /// No I/O happens here.
    pub fn new(shared: Arc<Stores>, meter: Arc<Meter>, query_id: impl Into<String>) -> Self {
        Self {
            shared,
            meter,
            query_id: query_id.into(),
            log: None,
            quotas: None,
            times: None,
            open: Mutex::default(),
        }
    }

    /// The runtime that requests run on.
    pub(crate) fn io(&self) -> &tokio::runtime::Handle {
        &self.shared.io
    }

    /// Requests are kept one by one in `log`.
    #[must_use]
    pub fn with_request_log(mut self, log: Option<Arc<RequestLog>>) -> Self {
        self.log = log;
        self
    }

    /// Requests are reserved on `quotas` before they are sent.
    #[must_use]
    pub fn with_quotas(mut self, quotas: Option<Arc<QuotaGrant>>) -> Self {
        self.quotas = quotas;
        self
    }

    /// Times requests, and apart from them those to objects of fewer than `small_bytes`.
    #[must_use]
    pub fn with_times(mut self, small_bytes: u64) -> Self {
        self.times = Some(RequestTimes::new(small_bytes));
        self
    }

    /// The part of the query's requests so far that went to small objects; `None` without any, and without times.
    pub(crate) fn small_share(&self) -> Option<SmallShare> {
        self.times.as_ref()?.small_share()
    }

    /// The store of `location`, after the check against the allowed roots.
    pub fn open(&self, location: &Location) -> Result<Arc<dyn ObjectStore>, ScanError> {
        self.shared.roots.check(location)?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match &location.store {
            StoreId::File => {
                let key = (StoreId::File, String::new());
                Ok(Arc::clone(open.entry(key).or_insert_with(|| {
                    let store = LocalStore::new(self.shared.roots.local_roots(), Arc::clone(&self.meter));
                    Arc::new(store.with_quotas(self.quotas.clone()))
                })))
            }
            StoreId::S3 { bucket } => {
                let access = self
                    .shared
                    .access_for(location)
                    .ok_or_else(|| ScanError::StoreConfig {
                        bucket: bucket.clone(),
                        reason: "no S3 access is configured for it".to_owned(),
                    })?;
                let key = (location.store.clone(), access.prefix.clone());
                if let Some(store) = open.get(&key) {
                    return Ok(Arc::clone(store));
                }
                let store = self.shared.s3(bucket, access, self)?;
                open.insert(key, Arc::clone(&store));
                Ok(store)
            }
        }
    }
}
