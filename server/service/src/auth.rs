//! Who is calling: static tokens from a file, and session tokens that the handshake gives out.
//!
//! Answers are principals or faults; what a principal may do is decided elsewhere.

mod failures;
mod token_file;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use owlake_engine::Principal;
use owlake_fault::{Code, Fault};
use subtle::ConstantTimeEq;
use tonic::metadata::MetadataMap;

pub(crate) use failures::Failures;
use token_file::StaticToken;
pub use token_file::TokenFileError;

/// Start of every session token; tells them from static tokens, which may not begin so.
const SESSION_PREFIX: &str = "owlake-session-";

/// A session that is not used for this long ends.
const SESSION_IDLE: Duration = Duration::from_secs(60 * 60);

/// A session ends after this long however busy it is; the client's next handshake makes a new one.
const SESSION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Most session tokens at a time; the one used longest ago makes room.
const MAX_SESSIONS: usize = 10_000;

/// Decides who a caller is.
pub struct Authenticator {
    tokens: Vec<StaticToken>,
    allow_anonymous: bool,
    sessions: Mutex<HashMap<String, Session>>,
    max_sessions: usize,
}

#[derive(Debug)]
struct Session {
    principal: Principal,
    started: Instant,
    used: Instant,
}

/// A session token, given out by the handshake.
pub struct Bearer {
    token: String,
    principal: Principal,
}

impl Bearer {
    /// The text for `authorization: Bearer`.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Whose it is.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer")
            .field("principal", &self.principal)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("tokens", &self.tokens.len())
            .field("allow_anonymous", &self.allow_anonymous)
            .finish_non_exhaustive()
    }
}

/// What a caller shows.
enum Credentials<'a> {
    None,
    Bearer(&'a str),
    Basic(String, String),
    Unreadable,
}

impl Authenticator {
    /// Lets everybody in as `anonymous`, whatever they show.
    pub fn anonymous() -> Self {
        Self::new(Vec::new(), true)
    }

    /// Knows the tokens of `text`, one `name:token` a line; a line without a name is the principal `token`.
    /// With `allow_anonymous`, callers who show nothing are `anonymous`; who shows something wrong is refused.
    ///
    /// # Errors
    /// Lines that are no good tokens, named by number; no token at all.
    pub fn from_token_file(text: &str, allow_anonymous: bool) -> Result<Self, TokenFileError> {
        Ok(Self::new(
            token_file::parse(text, SESSION_PREFIX)?,
            allow_anonymous,
        ))
    }

    fn new(tokens: Vec<StaticToken>, allow_anonymous: bool) -> Self {
        Self {
            tokens,
            allow_anonymous,
            sessions: Mutex::default(),
            max_sessions: MAX_SESSIONS,
        }
    }

    /// The caller of a request.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`; the text is the same for an unknown name, a wrong token and an ended session.
    pub fn authenticate(&self, metadata: &MetadataMap) -> Result<Principal, Fault> {
        self.authenticate_at(metadata, Instant::now())
    }

    /// Whether a request shows something that could be guessed: a name or a static token, but no session token.
    pub fn is_guess(&self, metadata: &MetadataMap) -> bool {
        match credentials(metadata) {
            Credentials::None => false,
            Credentials::Bearer(token) => !self.is_open() && !token.starts_with(SESSION_PREFIX),
            Credentials::Basic(..) | Credentials::Unreadable => !self.is_open(),
        }
    }

    /// Gives a session token to a caller who shows user name and token as Basic credentials, a static token as
    /// bearer or, if that is allowed, nothing.
    ///
    /// # Errors
    /// As [`Authenticator::authenticate`].
    pub fn handshake(&self, metadata: &MetadataMap) -> Result<Bearer, Fault> {
        self.handshake_at(metadata, Instant::now())
    }

    /// Ends the session whose token a request shows, if it shows one.
    pub fn revoke(&self, metadata: &MetadataMap) {
        if let Some(token) = session_token(metadata) {
            self.lock().remove(token);
        }
    }

    fn authenticate_at(&self, metadata: &MetadataMap, now: Instant) -> Result<Principal, Fault> {
        match credentials(metadata) {
            Credentials::None if self.allow_anonymous => Ok(Principal::anonymous()),
            Credentials::None => Err(missing()),
            Credentials::Bearer(token) if token.starts_with(SESSION_PREFIX) => self.session(token, now),
            Credentials::Bearer(token) => self.login(None, token),
            Credentials::Basic(name, token) => self.login(Some(&name), &token),
            Credentials::Unreadable if self.is_open() => Ok(Principal::anonymous()),
            Credentials::Unreadable => Err(refused()),
        }
    }

    fn handshake_at(&self, metadata: &MetadataMap, now: Instant) -> Result<Bearer, Fault> {
        let principal = self.authenticate_at(metadata, now)?;
        let token = format!(
            "{SESSION_PREFIX}{:032x}{:032x}",
            rand::random::<u128>(),
            rand::random::<u128>()
        );
        let mut sessions = self.lock();
        if sessions.len() >= self.max_sessions {
            sessions.retain(|_, session| session.is_alive(now));
        }
        if sessions.len() >= self.max_sessions
            && let Some(oldest) = sessions
                .iter()
                .min_by_key(|(_, s)| s.used)
                .map(|(token, _)| token.clone())
        {
            sessions.remove(&oldest);
        }
        let session = Session {
            principal: principal.clone(),
            started: now,
            used: now,
        };
        sessions.insert(token.clone(), session);
        Ok(Bearer { token, principal })
    }

    /// No token is known: there is nothing that credentials could be compared with.
    fn is_open(&self) -> bool {
        self.tokens.is_empty() && self.allow_anonymous
    }

    /// Looked up by hash: guessing a random token of 256 bits by timing a hash table is hopeless.
    fn session(&self, token: &str, now: Instant) -> Result<Principal, Fault> {
        let mut sessions = self.lock();
        match sessions.get_mut(token) {
            Some(session) if session.is_alive(now) => {
                session.used = now;
                Ok(session.principal.clone())
            }
            Some(_) => {
                sessions.remove(token);
                Err(refused())
            }
            None => Err(refused()),
        }
    }

    /// Compares with every token, all of each: time tells neither which name exists nor how far a guess fits.
    fn login(&self, name: Option<&str>, token: &str) -> Result<Principal, Fault> {
        if self.is_open() {
            return Ok(Principal::anonymous());
        }
        let mut found = None;
        for known in &self.tokens {
            let named = name.is_none() || known.name.is_none() || known.name.as_deref() == name;
            let equal: bool = known.token.as_bytes().ct_eq(token.as_bytes()).into();
            if equal & named {
                found = Some(known);
            }
        }
        found.map(StaticToken::principal).ok_or_else(refused)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn is_alive(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) < SESSION_IDLE
            && now.saturating_duration_since(self.started) < SESSION_MAX
    }
}

/// The session token that a request shows as bearer. Static tokens are shared by clients and name no session.
pub fn session_token(metadata: &MetadataMap) -> Option<&str> {
    match credentials(metadata) {
        Credentials::Bearer(token) if token.starts_with(SESSION_PREFIX) => Some(token),
        _ => None,
    }
}

fn credentials(metadata: &MetadataMap) -> Credentials<'_> {
    let Some(header) = metadata.get("authorization") else {
        return Credentials::None;
    };
    let parts = header.to_str().ok().and_then(|text| text.split_once(' '));
    match parts {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Credentials::Bearer(token.trim()),
        Some((scheme, encoded)) if scheme.eq_ignore_ascii_case("basic") => basic(encoded.trim()),
        _ => Credentials::Unreadable,
    }
}

fn basic(encoded: &str) -> Credentials<'static> {
    let decoded = STANDARD
        .decode(encoded)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded.as_deref().and_then(|text| text.split_once(':')) {
        // Drivers send this when nobody gave a user.
        Some(("", "")) => Credentials::None,
        Some((name, token)) => Credentials::Basic(name.to_owned(), token.to_owned()),
        None => Credentials::Unreadable,
    }
}

fn missing() -> Fault {
    Fault::new(Code::Unauthenticated, "this server needs credentials")
        .with_hint("Send a token as bearer, or user name and token as user and password.")
}

fn refused() -> Fault {
    Fault::new(
        Code::Unauthenticated,
        "the credentials are not valid, or the session has ended",
    )
}

#[cfg(test)]
mod tests;
