//! The HTTP port for probes and scrapers: `/`, `/healthz`, `/metrics`. Tells nothing about data or callers.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::telemetry::Metrics;

/// What the port shows. Clones share one state.
#[derive(Debug, Clone)]
pub(crate) struct HttpState {
    metrics: Arc<Metrics>,
    draining: Arc<AtomicBool>,
}

impl HttpState {
    /// A server that is ready.
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            draining: Arc::default(),
        }
    }

    /// From now on `/healthz` says 503, so that balancers send no new clients; for good.
    pub(crate) fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}

/// The routes.
pub(crate) fn router(state: HttpState) -> Router {
    Router::new()
        .route("/", get(hello))
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .with_state(state)
}

/// Serves the routes on `listener` until `shutdown`, and answers requests in flight before it returns.
///
/// # Errors
/// When the listener fails for good.
pub(crate) async fn serve(
    listener: TcpListener,
    state: HttpState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router(state))
        .with_graceful_shutdown(shutdown)
        .await
}

async fn hello() -> &'static str {
    "Owlake: Arrow Flight SQL server. See /healthz and /metrics.\n"
}

async fn health(State(state): State<HttpState>) -> (StatusCode, &'static str) {
    if state.draining.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

async fn metrics(State(state): State<HttpState>) -> Response {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        state.metrics.render(),
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn ask(address: SocketAddr, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    #[tokio::test]
    async fn probes_and_scrapers_get_answers_until_the_shutdown() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = HttpState::new(Metrics::new("1.2.3"));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = serve(listener, state.clone(), async { drop(stopped.await) });
        let client = async {
            let (head, body) = ask(address, "/healthz").await;
            assert!(head.starts_with("HTTP/1.1 200") && body == "ok\n", "{head}");
            let (head, body) = ask(address, "/metrics").await;
            assert!(head.contains("text/plain; version=0.0.4"), "{head}");
            assert!(body.contains("owlake_build_info{version=\"1.2.3\"} 1"));
            assert!(ask(address, "/").await.1.starts_with("Owlake"));
            assert!(ask(address, "/debug").await.0.starts_with("HTTP/1.1 404"));
            state.start_draining();
            let (head, body) = ask(address, "/healthz").await;
            assert!(head.starts_with("HTTP/1.1 503") && body == "draining\n", "{head}");
            stop.send(()).unwrap();
        };
        let (served, ()) = tokio::join!(server, client);
        served.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
