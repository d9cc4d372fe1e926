//! Who asks, and in which session: bearer token, else cookie, else the transport connection.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use owlake_engine::{Principal, QueryContext, SessionSettings};
use owlake_fault::{Code, Fault};
use tokio::time::Instant;
use tonic::Extensions;
use tonic::metadata::MetadataMap;

use crate::auth::{Authenticator, Failures};
use crate::flight::connection::{ConnectionId, Peer};

/// Sessions that may exist at the same time; the longest unused goes first.
const MAX_SESSIONS: usize = 10_000;
/// A session unused for this long is forgotten.
const SESSION_IDLE: Duration = Duration::from_secs(3600);
/// Cookie that names a session, for balancers that keep a client on one server by it.
pub(crate) const SESSION_COOKIE: &str = "owlake-session";
/// Headers that set a session property for one call.
const SETTING_HEADERS: [&str; 11] = [
    "catalog",
    "database",
    "schema",
    "workgroup",
    "tags",
    "source",
    "max_cost_usd",
    "max_data_scanned_bytes",
    "query_timeout",
    "result_reuse_max_age",
    "verify_pushdown",
];

/// All sessions of a server.
#[derive(Debug)]
pub(crate) struct Sessions {
    authenticator: Authenticator,
    failures: Failures,
    sessions: Mutex<HashMap<String, SessionState>>,
}

#[derive(Debug, Clone)]
struct SessionState {
    settings: SessionSettings,
    used: Instant,
}

/// The caller of one request.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Who.
    pub principal: Principal,
    /// Key of the session; also the owner of handles.
    pub session: String,
    /// Session settings with this call's headers on top.
    pub settings: SessionSettings,
    /// Statements are answered by their estimates.
    pub dry_run: bool,
    /// The client's own deadline.
    pub timeout: Option<Duration>,
    /// W3C trace id.
    pub trace_id: Option<String>,
}

impl Caller {
    /// A context for a query of this caller.
    pub(crate) fn context(&self, now: chrono::DateTime<chrono::Utc>) -> QueryContext {
        let mut context = QueryContext::new(self.principal.clone(), self.settings.clone(), now);
        context.dry_run = self.dry_run;
        context.client_timeout = self.timeout;
        context.trace_id.clone_from(&self.trace_id);
        context
    }
}

impl Sessions {
    /// No session yet.
    pub(crate) fn new(authenticator: Authenticator) -> Self {
        Self {
            authenticator,
            failures: Failures::default(),
            sessions: Mutex::default(),
        }
    }

    /// The authenticator, for the handshake.
    pub(crate) fn authenticator(&self) -> &Authenticator {
        &self.authenticator
    }

    /// Refuses a request without an identity, before any of it is decoded. Who shows wrong credentials again and
    /// again waits for the refusal; nobody else does. Cancel safe.
    pub(crate) async fn admit(&self, metadata: &MetadataMap, extensions: &Extensions) -> Result<(), Fault> {
        let address = Peer::address_of(extensions).filter(|_| self.authenticator.is_guess(metadata));
        let Some(address) = address else {
            return self.authenticator.authenticate(metadata).map(drop);
        };
        self.failures.may_try(address)?;
        let Err(fault) = self.authenticator.authenticate(metadata) else {
            return Ok(());
        };
        tracing::info!(%address, "credentials refused");
        let penalty = self.failures.failed(address, std::time::Instant::now());
        tokio::time::sleep(penalty.wait).await;
        Err(fault)
    }

    /// Identifies the caller of a request.
    pub(crate) fn caller(&self, metadata: &MetadataMap, extensions: &Extensions) -> Result<Caller, Fault> {
        let principal = self.authenticator.authenticate(metadata)?;
        let key = session_key(metadata, extensions);
        let mut settings = self.settings(&key);
        for name in SETTING_HEADERS {
            if let Some(value) = metadata.get(name) {
                let value = value.to_str().map_err(|_not_ascii| {
                    Fault::new(
                        Code::InvalidSessionProperty,
                        format!("header `{name}` is not plain text"),
                    )
                })?;
                settings.set_text(name, value)?;
            }
        }
        let session = format!("{principal}/{key}");
        Ok(Caller {
            principal,
            session,
            settings,
            dry_run: dry_run(metadata)?,
            timeout: timeout(metadata),
            trace_id: trace_id(metadata),
        })
    }

    fn settings(&self, key: &str) -> SessionSettings {
        let mut sessions = self.lock();
        let now = Instant::now();
        if let Some(session) = sessions.get_mut(key) {
            session.used = now;
            return session.settings.clone();
        }
        SessionSettings::default()
    }

    /// Takes over changed settings into the session of a request.
    pub(crate) fn store(&self, metadata: &MetadataMap, extensions: &Extensions, settings: SessionSettings) {
        let key = session_key(metadata, extensions);
        let mut sessions = self.lock();
        let now = Instant::now();
        if sessions.len() >= MAX_SESSIONS {
            sessions.retain(|_, s| now.duration_since(s.used) < SESSION_IDLE);
        }
        if sessions.len() >= MAX_SESSIONS
            && let Some(oldest) = sessions
                .iter()
                .min_by_key(|(_, s)| s.used)
                .map(|(k, _)| k.clone())
        {
            sessions.remove(&oldest);
        }
        sessions.insert(key, SessionState { settings, used: now });
    }

    /// Settings of the session without this call's headers.
    pub(crate) fn stored(&self, metadata: &MetadataMap, extensions: &Extensions) -> SessionSettings {
        self.settings(&session_key(metadata, extensions))
    }

    /// Forgets a session.
    pub(crate) fn close(&self, metadata: &MetadataMap, extensions: &Extensions) {
        self.lock().remove(&session_key(metadata, extensions));
        self.authenticator.revoke(metadata);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, SessionState>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token names a session only where it was minted for one by the handshake; shared static tokens do not.
fn session_key(metadata: &MetadataMap, extensions: &Extensions) -> String {
    if let Some(token) = crate::auth::session_token(metadata) {
        return format!("token:{token}");
    }
    if let Some(cookie) = cookie(metadata) {
        return format!("cookie:{cookie}");
    }
    match extensions.get::<Peer>() {
        Some(Peer {
            id: ConnectionId(id), ..
        }) => format!("connection:{id}"),
        None => "connection:unknown".to_owned(),
    }
}

fn cookie(metadata: &MetadataMap) -> Option<String> {
    metadata
        .get_all("cookie")
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == SESSION_COOKIE && (16..=64).contains(&value.len()))
        .map(|(_, value)| value.to_owned())
}

/// Header `dry_run`: `true` or `false`.
fn dry_run(metadata: &MetadataMap) -> Result<bool, Fault> {
    match metadata.get("dry_run").map(|v| v.to_str()) {
        None | Some(Ok("false" | "")) => Ok(false),
        Some(Ok("true")) => Ok(true),
        Some(_) => Err(Fault::new(
            Code::InvalidSessionProperty,
            "header `dry_run` is neither true nor false",
        )),
    }
}

/// `grpc-timeout`: at most eight digits and a unit.
fn timeout(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// The trace id of `traceparent` (`00-<32 hex>-<16 hex>-<2 hex>`).
fn trace_id(metadata: &MetadataMap) -> Option<String> {
    let text = metadata.get("traceparent")?.to_str().ok()?;
    let id = text.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())).then(|| id.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_deadline_is_read_in_every_unit() {
        let mut metadata = MetadataMap::new();
        for (text, wanted) in [
            ("5S", Some(5_000)),
            ("250m", Some(250)),
            ("2M", Some(120_000)),
            ("x", None),
            ("5é", None),
        ] {
            if let Ok(value) = text.parse() {
                metadata.insert("grpc-timeout", value);
                assert_eq!(timeout(&metadata), wanted.map(Duration::from_millis), "{text}");
            }
        }
    }

    #[test]
    fn only_a_well_formed_trace_id_is_kept() {
        let mut metadata = MetadataMap::new();
        metadata.insert(
            "traceparent",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"
                .parse()
                .unwrap(),
        );
        assert_eq!(
            trace_id(&metadata).as_deref(),
            Some("4bf92f3577b34da6a3ce929d0e0e4736")
        );
        metadata.insert("traceparent", "00-nonsense".parse().unwrap());
        assert_eq!(trace_id(&metadata), None);
    }
}
