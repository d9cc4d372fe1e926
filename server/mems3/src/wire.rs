//! One HTTP request from arrival to the last byte: log, gates, latency, faults, then the S3 service. Every request
//! passes here, also those that the S3 service refuses.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use s3s::service::S3Service;
use s3s::{Body, S3Error, S3ErrorCode};
use tokio::net::TcpStream;

use crate::body::MeteredBody;
use crate::connection::{Connection, Stream};
use crate::fault_plan::{FaultAction, Faults, Strike};
use crate::gate::{Gates, Side};
use crate::journal::{Journal, Ticket};
use crate::operation::Target;

/// hyper's buffer per connection: with large ones, bytes count as sent long before they leave.
const BUFFER_BYTES: usize = 128 * 1024;

/// How slow the store is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latency {
    /// Wait before each request is looked at.
    pub first_byte: Duration,
    /// Speed of each response body; none: as fast as the client reads. 0 counts as 1.
    pub bytes_per_second: Option<u64>,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) service: S3Service,
    pub(crate) journal: Arc<Journal>,
    pub(crate) faults: Faults,
    pub(crate) gates: Gates,
    pub(crate) latency: RwLock<Latency>,
}

/// Why a request ends without an answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("connection reset on purpose")]
    OnPurpose,
    #[error("the S3 service gave no answer")]
    Service(#[source] s3s::StdError),
}

/// An answer before it is put into frames.
struct Answer {
    head: http::response::Parts,
    body: Bytes,
}

/// Serves one connection until either side ends it.
pub(crate) async fn serve_connection(wire: Arc<Wire>, tcp: TcpStream) {
    let connection = Arc::new(Connection::default());
    let stream = TokioIo::new(Stream::new(tcp, Arc::clone(&connection)));
    let service = hyper::service::service_fn(move |request| {
        let (wire, connection) = (Arc::clone(&wire), Arc::clone(&connection));
        async move { wire.serve(connection, request).await }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.header_read_timeout(None).max_buf_size(BUFFER_BYTES);
    if let Err(error) = http.serve_connection(stream, service).await {
        // Resets on purpose and clients that go away end here: nothing to do about either.
        tracing::debug!(%error, "connection ended");
    }
}

impl Wire {
    async fn serve(
        &self,
        connection: Arc<Connection>,
        request: Request<Incoming>,
    ) -> Result<Response<MeteredBody>, Unanswered> {
        let target = Target::parse(request.method(), request.uri(), request.headers());
        let ticket = self.journal.begin(target, request.headers());
        let mut strike = self.faults.decide(ticket.target());
        if let Some(strike) = &strike {
            ticket.struck_by(&strike.action);
        }
        let latency = *self.latency.read().unwrap_or_else(PoisonError::into_inner);
        self.gates.pass(Side::Before, ticket.target()).await;
        wait(latency.first_byte).await;

        let head_only = *request.method() == Method::HEAD;
        let answer = self.answer(&connection, request, strike.as_mut()).await?;
        self.gates.pass(Side::After, ticket.target()).await;
        if strike
            .as_ref()
            .is_some_and(|s| s.action == FaultAction::LoseResponse)
        {
            connection.reset_on_close();
            return Err(Unanswered::OnPurpose);
        }
        Ok(respond(
            answer,
            head_only,
            ticket,
            connection,
            latency,
            strike.as_ref(),
        ))
    }

    /// Does the operation, unless a fault answers in its place.
    async fn answer(
        &self,
        connection: &Connection,
        request: Request<Incoming>,
        strike: Option<&mut Strike>,
    ) -> Result<Answer, Unanswered> {
        let Some(strike) = strike else {
            return self.operate(request).await;
        };
        match &strike.action {
            FaultAction::ResetBeforeResponse => {
                connection.reset_on_close();
                Err(Unanswered::OnPurpose)
            }
            FaultAction::Status { status, code } => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                refuse(request, status, code, None).await
            }
            FaultAction::Redirect { location } => {
                let location = HeaderValue::try_from(location).ok();
                refuse(
                    request,
                    StatusCode::TEMPORARY_REDIRECT,
                    "TemporaryRedirect",
                    location,
                )
                .await
            }
            FaultAction::ErrorInBody => refuse(request, StatusCode::OK, "InternalError", None).await,
            FaultAction::Stall { duration } => {
                wait(*duration).await;
                self.operate(request).await
            }
            FaultAction::WrongLength { bytes } => {
                let bytes = usize::try_from(*bytes).unwrap_or(usize::MAX);
                let mut answer = self.operate(request).await?;
                answer.body.truncate(bytes);
                Ok(answer)
            }
            FaultAction::WrongContentRange => {
                let mut answer = self.operate(request).await?;
                shift_content_range(&mut answer.head.headers);
                Ok(answer)
            }
            FaultAction::GarbageBody => {
                let mut answer = self.operate(request).await?;
                if answer.head.status.is_success() {
                    answer.body = strike.noise(answer.body.len()).into();
                }
                Ok(answer)
            }
            FaultAction::LoseResponse
            | FaultAction::ResetAfterBody { .. }
            | FaultAction::ShortBody { .. }
            | FaultAction::StallBody { .. }
            | FaultAction::Trickle { .. } => self.operate(request).await,
        }
    }

    async fn operate(&self, request: Request<Incoming>) -> Result<Answer, Unanswered> {
        let response = self
            .service
            .call(request.map(Body::from))
            .await
            .map_err(|e| Unanswered::Service(e.into()))?;
        collect(response).await.map_err(Unanswered::Service)
    }
}

/// Bodies are in memory already: this joins their frames (one frame: without a copy).
async fn collect(response: Response<Body>) -> Result<Answer, s3s::StdError> {
    let (head, body) = response.into_parts();
    Ok(Answer {
        head,
        body: body.collect().await?.to_bytes(),
    })
}

/// Waits; no wait for a zero duration, which would still cost a timer tick.
async fn wait(duration: Duration) {
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}

/// Answers with an S3 error document in place of the operation, once the request has been read whole: a client that
/// is still sending would see a broken connection instead of the answer.
async fn refuse(
    request: Request<Incoming>,
    status: StatusCode,
    code: &'static str,
    location: Option<HeaderValue>,
) -> Result<Answer, Unanswered> {
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        frame.map_err(|e| Unanswered::Service(e.into()))?;
    }
    let known = S3ErrorCode::from_bytes(code.as_bytes()).unwrap_or(S3ErrorCode::InternalError);
    let mut error = S3Error::with_message(known, "Fault on purpose");
    error.set_status_code(status);
    let response = error
        .to_http_response()
        .map_err(|e| Unanswered::Service(e.into()))?;
    let mut answer = collect(response).await.map_err(Unanswered::Service)?;
    if let Some(location) = location {
        answer.head.headers.insert(header::LOCATION, location);
    }
    Ok(answer)
}

/// `bytes 2-4/10` becomes `bytes 3-5/10`.
fn shift_content_range(headers: &mut HeaderMap) {
    let shifted = headers.get(header::CONTENT_RANGE).and_then(|value| {
        let (range, len) = value.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        HeaderValue::try_from(format!("bytes {}-{}/{len}", first + 1, last + 1)).ok()
    });
    if let Some(value) = shifted {
        headers.insert(header::CONTENT_RANGE, value);
    }
}

/// Writes the record and wraps the body.
fn respond(
    answer: Answer,
    head_only: bool,
    ticket: Ticket,
    connection: Arc<Connection>,
    latency: Latency,
    strike: Option<&Strike>,
) -> Response<MeteredBody> {
    let Answer { mut head, mut body } = answer;
    head.headers
        .insert("x-amz-request-id", HeaderValue::from(ticket.ordinal()));
    if head.status == StatusCode::NOT_MODIFIED || head.status == StatusCode::NO_CONTENT {
        head.headers.remove(header::CONTENT_LENGTH);
        body = Bytes::new();
    } else if head_only {
        // The length of what GET would send stays; errors have none.
        body = Bytes::new();
    } else {
        head.headers
            .insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    ticket.answered(head.status.as_u16(), body.len() as u64);
    let mut body = MeteredBody::new(body, ticket, connection).paced(latency.bytes_per_second);
    if let Some(strike) = strike {
        body = body.struck_by(&strike.action);
    }
    Response::from_parts(head, body)
}
