//! What every call carries: settings, bearer token, cookies; and what answers change about that.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};

use crate::error::ClientError;
use crate::options::{ConnectOptions, OptionsError, header};

const AUTHORIZATION: &str = "authorization";

/// Shared by all clones of one client: they are one session to the server.
pub(crate) struct Session {
    state: Mutex<State>,
}

struct State {
    headers: Vec<(AsciiMetadataKey, AsciiMetadataValue)>,
    authorization: Option<AsciiMetadataValue>,
    /// The server opened a session for us, by a token or cookie of its own.
    opened: bool,
    cookies: BTreeMap<String, String>,
}

impl Session {
    pub(crate) fn new(options: &ConnectOptions) -> Result<Self, OptionsError> {
        let authorization = match &options.token {
            None => None,
            Some(token) => {
                let value = AsciiMetadataValue::try_from(format!("Bearer {token}")).map_err(|_| {
                    OptionsError::HeaderValue {
                        name: "token".to_owned(),
                    }
                })?;
                Some(secret(value))
            }
        };
        let state = State {
            headers: options.header_list()?,
            authorization,
            opened: false,
            cookies: BTreeMap::new(),
        };
        Ok(Self {
            state: Mutex::new(state),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change below is a single assignment, so a panic of another holder leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the session to a call.
    pub(crate) fn apply(&self, metadata: &mut MetadataMap) {
        let state = self.lock();
        for (name, value) in &state.headers {
            metadata.insert(name.clone(), value.clone());
        }
        if let Some(value) = &state.authorization {
            metadata.insert(AUTHORIZATION, value.clone());
        }
        if !state.cookies.is_empty() {
            let pairs: Vec<_> = state
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            if let Ok(value) = AsciiMetadataValue::try_from(pairs.join("; ")) {
                metadata.insert("cookie", secret(value));
            }
        }
    }

    /// Keeps the token and cookies of an answer; a later one replaces an earlier one.
    pub(crate) fn learn(&self, metadata: &MetadataMap) {
        let mut state = self.lock();
        if let Some(value) = metadata.get(AUTHORIZATION) {
            state.authorization = Some(secret(value.clone()));
            state.opened = true;
        }
        for cookie in metadata.get_all("set-cookie") {
            let Some((name, value, expired)) = cookie.to_str().ok().and_then(parse_cookie) else {
                continue;
            };
            if expired {
                state.cookies.remove(name);
            } else {
                state.cookies.insert(name.to_owned(), value.to_owned());
                state.opened = true;
            }
        }
    }

    /// Sets or, with `None`, removes one setting for the calls that follow.
    pub(crate) fn set(&self, name: &str, value: Option<&str>) -> Result<(), ClientError> {
        let (key, value) = match value {
            Some(value) => header(name, value).map(|(key, value)| (key, Some(value)))?,
            None => (header(name, "")?.0, None),
        };
        let mut state = self.lock();
        state.headers.retain(|(name, _)| *name != key);
        state.headers.extend(value.map(|value| (key, value)));
        Ok(())
    }

    /// Text of one setting.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let state = self.lock();
        let (_, value) = state.headers.iter().find(|(key, _)| key.as_str() == name)?;
        value.to_str().ok().map(str::to_owned)
    }

    /// Whether there is a session on the server that [`Client::close`](crate::Client::close) has to end.
    pub(crate) fn is_opened(&self) -> bool {
        self.lock().opened
    }

    pub(crate) fn has_authorization(&self) -> bool {
        self.lock().authorization.is_some()
    }

    /// Forgets the token before a new handshake.
    pub(crate) fn forget_authorization(&self) {
        self.lock().authorization = None;
    }
}

/// Marks a value so that HTTP/2 neither indexes nor logs it.
pub(crate) fn secret(mut value: AsciiMetadataValue) -> AsciiMetadataValue {
    value.set_sensitive(true);
    value
}

/// Name, value and whether the server wants it gone. `Expires` is not read: servers that end a cookie say `Max-Age=0`
/// or send an empty value as well.
fn parse_cookie(text: &str) -> Option<(&str, &str, bool)> {
    let mut parts = text.split(';').map(str::trim);
    let (name, value) = parts.next()?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let ended = parts.any(|part| {
        part.split_once('=').is_some_and(|(key, age)| {
            key.trim().eq_ignore_ascii_case("max-age") && age.trim().parse::<i64>().is_ok_and(|age| age <= 0)
        })
    });
    (!name.is_empty()).then_some((name, value, ended || value.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(session: &Session, name: &str) -> Option<String> {
        let mut metadata = MetadataMap::new();
        session.apply(&mut metadata);
        Some(metadata.get(name)?.to_str().unwrap().to_owned())
    }

    fn answer(session: &Session, headers: &[(&'static str, &'static str)]) {
        let mut metadata = MetadataMap::new();
        for (name, value) in headers {
            metadata.append(*name, AsciiMetadataValue::from_static(value));
        }
        session.learn(&metadata);
    }

    #[test]
    fn a_token_of_the_server_replaces_the_one_before() {
        let options = ConnectOptions {
            token: Some("one".into()),
            ..ConnectOptions::default()
        };
        let session = Session::new(&options).unwrap();
        assert_eq!(sent(&session, "authorization").as_deref(), Some("Bearer one"));
        assert!(!session.is_opened());
        answer(&session, &[("authorization", "Bearer two")]);
        assert_eq!(sent(&session, "authorization").as_deref(), Some("Bearer two"));
        assert!(session.is_opened());
    }

    #[test]
    fn cookies_are_kept_sent_back_and_dropped_when_they_end() {
        let session = Session::new(&ConnectOptions::default()).unwrap();
        assert_eq!(sent(&session, "cookie"), None);
        answer(
            &session,
            &[
                ("set-cookie", "sid=a=b; Path=/; HttpOnly"),
                ("set-cookie", "lb = n1"),
            ],
        );
        assert_eq!(sent(&session, "cookie").as_deref(), Some("lb=n1; sid=a=b"));
        answer(
            &session,
            &[
                ("set-cookie", "lb=; Max-Age=0"),
                ("set-cookie", "sid=c; Max-Age=60"),
                ("set-cookie", "junk"),
            ],
        );
        assert_eq!(sent(&session, "cookie").as_deref(), Some("sid=c"));
        answer(&session, &[("set-cookie", "sid=c; max-age=-1")]);
        assert_eq!(sent(&session, "cookie"), None);
    }

    #[test]
    fn settings_can_be_changed_and_removed() {
        let options = ConnectOptions {
            database: Some("a".into()),
            ..ConnectOptions::default()
        };
        let session = Session::new(&options).unwrap();
        session.set("database", Some("b")).unwrap();
        assert_eq!(sent(&session, "database").as_deref(), Some("b"));
        assert_eq!(session.get("database").as_deref(), Some("b"));
        session.set("database", None).unwrap();
        assert_eq!(sent(&session, "database"), None);
        assert!(session.set("authorization", Some("x")).is_err());
    }
}
