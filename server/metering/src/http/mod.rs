//! The one HTTP client towards object stores, and the layer that counts every attempt made through it.
//!
//! Counting sits below the store's retries and listing pages, so that it agrees with the store's own log.
//! Signing, retrying and XML are `object_store`'s; local files are in `local.rs`.

mod archived;
mod attempt;
mod body;
mod connector;
mod failures;
mod keys;
mod request_log;
#[cfg(test)]
mod tests;
mod times;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::client::{HttpClient, HttpRequestBody};
use serde::{Deserialize, Serialize};

use crate::error::MeteringError;

pub use archived::ARCHIVED_ETAG;
pub use attempt::{RequestObserver, StoreOp};
pub use connector::{MeteredConnector, RequestHooks};
pub use keys::ListedKeys;
pub use request_log::{ObjectRequest, RequestLog};
pub use times::{RequestTimes, SmallShare};

/// How the shared client behaves. Proxies are taken from here only, never from the environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpOptions {
    /// Longest wait for a connection, name resolution and TLS included.
    pub connect_timeout_ms: u64,
    /// Longest silence of the store: before the response and between two parts of its body.
    pub read_timeout_ms: u64,
    /// Idle connections kept per host.
    pub pool_max_idle_per_host: usize,
    /// How long an idle connection is kept.
    pub pool_idle_timeout_ms: u64,
    /// Proxy for all requests.
    pub proxy_url: Option<String>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 5_000,
            read_timeout_ms: 30_000,
            pool_max_idle_per_host: 1_024,
            pool_idle_timeout_ms: 60_000,
            proxy_url: None,
        }
    }
}

/// One connection pool for the whole process. Queries get at it through a [`MeteredConnector`].
pub struct SharedHttp {
    client: HttpClient,
}

impl SharedHttp {
    /// Builds the client. Reads the system's certificates; opens no connection.
    ///
    /// It follows no redirects (credentials must not travel to another host), decompresses nothing (lengths
    /// must be those of the object) and repeats nothing on its own (each attempt is counted above it).
    pub fn new(options: &HttpOptions) -> Result<Arc<Self>, MeteringError> {
        let fail = |error| MeteringError::HttpClient(Arc::new(error));
        let mut builder = reqwest::Client::builder()
            .connect_timeout(Duration::from_millis(options.connect_timeout_ms))
            .read_timeout(Duration::from_millis(options.read_timeout_ms))
            .pool_max_idle_per_host(options.pool_max_idle_per_host)
            .pool_idle_timeout(Duration::from_millis(options.pool_idle_timeout_ms))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .tcp_nodelay(true)
            .no_proxy()
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate();
        if let Some(url) = &options.proxy_url {
            builder = builder.proxy(reqwest::Proxy::all(url).map_err(fail)?);
        }
        let client = builder.build().map_err(fail)?;
        Ok(Arc::new(Self {
            client: HttpClient::new(client),
        }))
    }
}

impl SharedHttp {
    /// Sends JSON to a URL of the configuration, once; the status of the answer.
    ///
    /// To be called on the I/O runtime. Not counted: no store is asked.
    pub async fn post_json(&self, url: &str, body: String) -> Result<u16, MeteringError> {
        let request = http::Request::post(url)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(HttpRequestBody::from(body))
            .map_err(|e| MeteringError::Post(Arc::new(e)))?;
        let response = self.client.execute(request).await;
        response
            .map(|response| response.status().as_u16())
            .map_err(|e| MeteringError::Post(Arc::new(e)))
    }
}

impl fmt::Debug for SharedHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedHttp").finish_non_exhaustive()
    }
}
