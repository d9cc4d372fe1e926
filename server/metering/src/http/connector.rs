//! The connector that a query's stores are built with: counts on the query's meter, runs on the I/O runtime.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderValue;
use http::header::USER_AGENT;
use http::uri::Scheme;
use object_store::ClientConfigKey;
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpService,
};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::SharedHttp;
use super::archived;
use super::attempt::{Attempt, RequestObserver, StoreOp, content_length, requested_length};
use super::failures::Failures;
use super::keys;
use super::request_log::RequestLog;
use super::times::RequestTimes;
use crate::meter::Meter;
use crate::quota::{QuotaError, QuotaGrant, QuotaReservation};

/// Where the attempts of one connector are booked.
pub(super) struct Account {
    pub(super) meter: Arc<Meter>,
    pub(super) observer: Option<Arc<dyn RequestObserver>>,
    pub(super) log: Option<Arc<RequestLog>>,
    pub(super) quotas: Option<Arc<QuotaGrant>>,
    pub(super) times: Option<Arc<RequestTimes>>,
    pub(super) failures: Failures,
    pub(super) io: Handle,
}

/// An `HttpConnector` for one query (or the `system` account) over the process's client.
///
/// Every attempt is counted where it happens:
/// - answered attempts by kind (`get_/head_/list_/put_requests`), of these `retried_requests` = those that repeat
///   a request of this connector that failed (no response, 5xx, 429, 408, broken body);
/// - attempts without a response, also those dropped by the caller, as `unanswered_requests`;
/// - `requested_bytes`: the range of each GET attempt, at dispatch; without a bounded range the length answered;
/// - `transferred_bytes`: bodies of successful object GETs as they are read; not listings, not errors;
/// - `aborted_requests`, `aborted_bytes_max`: such bodies that ended early, and what of them is missing.
///
/// So, for the object bytes in the store's log: transferred <= log <= requested.
///
/// Counts are made on the caller's side and are complete when the futures and bodies it holds are gone.
/// Connection tasks live on the I/O runtime; bodies may be polled anywhere. Clones share one account.
///
/// Of the store's `ClientOptions` only `allow_http` is honoured: the client is one for all. Requests of
/// credential providers built by the store itself come through here and are counted too.
#[derive(Clone)]
pub struct MeteredConnector {
    shared: Arc<SharedHttp>,
    account: Arc<Account>,
    user_agent: HeaderValue,
}

/// Who is told of a connector's requests beside the meter.
#[derive(Debug, Clone, Default)]
pub struct RequestHooks {
    /// The process's metrics.
    pub observer: Option<Arc<dyn RequestObserver>>,
    /// The query's own log.
    pub log: Option<Arc<RequestLog>>,
    /// Money quotas, which each request is reserved on before it is sent.
    pub quotas: Option<Arc<QuotaGrant>>,
    /// How long requests take.
    pub times: Option<Arc<RequestTimes>>,
}

impl MeteredConnector {
    /// A connector whose attempts are counted on `meter` and sent from runtime `io`; each carries the
    /// User-Agent `owlake/<version> query/<query_id>`, by which the store's access log can be joined.
    pub fn new(
        shared: Arc<SharedHttp>,
        meter: Arc<Meter>,
        query_id: &str,
        io: Handle,
        hooks: RequestHooks,
    ) -> Self {
        let account = Account {
            meter,
            observer: hooks.observer,
            log: hooks.log,
            quotas: hooks.quotas,
            times: hooks.times,
            failures: Failures::default(),
            io,
        };
        Self {
            shared,
            account: Arc::new(account),
            user_agent: user_agent(query_id),
        }
    }
}

fn user_agent(query_id: &str) -> HeaderValue {
    let id: String = query_id
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') {
                c
            } else {
                '_'
            }
        })
        .collect();
    let text = format!("owlake/{} query/{id}", env!("CARGO_PKG_VERSION"));
    // Cannot fail: the text is visible ASCII.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("owlake"))
}

impl fmt::Debug for MeteredConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeteredConnector")
            .field("meter", &self.account.meter.name())
            .field("user_agent", &self.user_agent)
            .finish_non_exhaustive()
    }
}

impl HttpConnector for MeteredConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allow_http = options
            .get_config_value(&ClientConfigKey::AllowHttp)
            .is_some_and(|v| v == "true");
        Ok(HttpClient::new(MeteredService {
            connector: self.clone(),
            allow_http,
        }))
    }
}

#[derive(Debug)]
struct MeteredService {
    connector: MeteredConnector,
    allow_http: bool,
}

#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("plain HTTP is not allowed for this store")]
    PlainHttp,
    #[error("the I/O runtime is gone")]
    RuntimeGone(#[source] tokio::task::JoinError),
}

#[async_trait]
impl HttpService for MeteredService {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if !self.allow_http && request.uri().scheme() != Some(&Scheme::HTTPS) {
            return Err(HttpError::new(HttpErrorKind::Unknown, CallError::PlainHttp));
        }
        let MeteredConnector {
            shared,
            account,
            user_agent,
        } = &self.connector;
        request.headers_mut().insert(USER_AGENT, user_agent.clone());
        let paid = pay(account, &request).await?;
        let mut attempt = Attempt::start(account, &request);
        let client = shared.client.clone();
        let exchange = account.io.spawn(async move { client.execute(request).await });
        match AbortOnDrop(exchange).join().await {
            Ok(Ok(response)) => {
                attempt.paid(pay_unasked(account, paid, &response).await?);
                let lists = attempt.lists() && response.status().is_success();
                // Dropped at the end: the time of a listing includes its body.
                let (response, _timed) = attempt.answered(response);
                if lists {
                    rewritten(response).await
                } else {
                    Ok(response)
                }
            }
            Ok(Err(error)) => {
                attempt.failed();
                Err(error)
            }
            Err(error) => {
                attempt.failed();
                Err(HttpError::new(
                    HttpErrorKind::Unknown,
                    CallError::RuntimeGone(error),
                ))
            }
        }
    }
}

/// A listing page whose archived objects show [`super::ARCHIVED_ETAG`], and with keys that its reader can read.
async fn rewritten(response: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (head, body) = response.into_parts();
    let mut page = body.bytes().await?;
    if let Some(marked) = std::str::from_utf8(&page).ok().and_then(archived::marked) {
        page = marked.into();
    }
    if let Some(readable) = std::str::from_utf8(&page).ok().and_then(keys::readable) {
        page = readable.into();
    }
    Ok(HttpResponse::from_parts(head, page.into()))
}

/// What is set apart for the body of a response, and for how many bytes.
struct Paid {
    body: Option<QuotaReservation>,
    bytes: u64,
}

/// Reserves a request on the money quotas, with the range it asks for.
async fn pay(account: &Account, request: &HttpRequest) -> Result<Paid, HttpError> {
    let mut paid = Paid { body: None, bytes: 0 };
    if let Some(quotas) = &account.quotas {
        let op = StoreOp::classify(request.method(), request.uri());
        quotas.pay_request(op).await.map_err(refused)?;
        if op == StoreOp::Get {
            paid.bytes = requested_length(request).unwrap_or(0);
            paid.body = Some(quotas.reserve_transfer(paid.bytes).await.map_err(refused)?);
        }
    }
    Ok(paid)
}

/// Reserves what a response announces beyond what was asked for: bodies of requests without a range.
async fn pay_unasked(
    account: &Account,
    mut paid: Paid,
    response: &HttpResponse,
) -> Result<Vec<QuotaReservation>, HttpError> {
    let mut parts: Vec<QuotaReservation> = paid.body.take().into_iter().collect();
    if let Some(quotas) = account.quotas.as_ref().filter(|_| !parts.is_empty()) {
        let unasked = content_length(response.headers())
            .unwrap_or(0)
            .saturating_sub(paid.bytes);
        parts.push(quotas.reserve_transfer(unasked).await.map_err(refused)?);
    }
    Ok(parts)
}

/// Not repeated by the store: the quota stays used up.
fn refused(error: QuotaError) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, error)
}

/// Ends the exchange when nobody waits for it any more.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> AbortOnDrop<T> {
    async fn join(mut self) -> Result<T, tokio::task::JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
