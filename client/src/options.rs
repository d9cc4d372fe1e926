//! Where to connect and as whom: [`ConnectOptions`] and the URL forms. Nothing is opened here.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::transport::Uri;

/// Port of a URL that names none.
pub const DEFAULT_PORT: u16 = 31337;

/// Headers that belong to the protocol and cannot be set by name.
const RESERVED_HEADERS: &[&str] = &[
    "authorization",
    "connection",
    "content-type",
    "cookie",
    "host",
    "te",
    "user-agent",
];

/// An option that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The text is not one of the URL forms.
    #[error("URL {url:?} cannot be used: {reason}")]
    Url {
        /// The text, without its password.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A name that is no gRPC header name, or one that the protocol owns.
    #[error("{name:?} cannot be sent as a setting: {reason}")]
    HeaderName {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A value with characters that a header cannot hold. The value itself may be secret and is not shown.
    #[error("the value of {name:?} has characters that cannot be sent; printable ASCII is allowed")]
    HeaderValue {
        /// The name as given.
        name: String,
    },
    /// Two ways to say who calls.
    #[error("a token and a user cannot both be given")]
    TokenAndUser,
    /// A user without a password.
    #[error("user {user:?} needs a password")]
    NoPassword {
        /// The name as given.
        user: String,
    },
}

/// Address of a server.
///
/// Forms: `grpc://host[:port]` and `grpc+tcp://` (plaintext), `grpc+tls://` and `flightsql://` (TLS). `user:password@`
/// may stand before the host. Without a port, [`DEFAULT_PORT`].
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    tls: bool,
    host: String,
    port: u16,
    user: Option<String>,
    password: Option<String>,
}

impl ServerUrl {
    /// Plaintext to this machine on [`DEFAULT_PORT`].
    pub fn local() -> Self {
        Self {
            tls: false,
            host: "127.0.0.1".to_owned(),
            port: DEFAULT_PORT,
            user: None,
            password: None,
        }
    }

    /// Whether the connection is encrypted.
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// Host name or address; IPv6 in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// User name of the URL, decoded.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Password of the URL, decoded.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// `http://host:port` or `https://host:port`, as the transport wants it.
    pub(crate) fn endpoint_uri(&self) -> String {
        format!(
            "{}://{}:{}",
            if self.tls { "https" } else { "http" },
            self.host,
            self.port
        )
    }
}

impl FromStr for ServerUrl {
    type Err = OptionsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |reason| OptionsError::Url {
            url: without_password(text),
            reason,
        };
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| wrong("a scheme is missing, as in grpc://"))?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "grpc" | "grpc+tcp" => false,
            "grpc+tls" | "flightsql" => true,
            _ => return Err(wrong("the scheme is not grpc, grpc+tcp, grpc+tls or flightsql")),
        };
        if rest.contains(['?', '#']) {
            return Err(wrong("parameters are not part of the URL; use flags or --set"));
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains('/') {
            return Err(wrong("a path is not part of the URL; use --database"));
        }
        let (userinfo, address) = match authority.rsplit_once('@') {
            Some((userinfo, address)) => (Some(userinfo), address),
            None => (None, authority),
        };
        let uri: Uri = format!("http://{address}")
            .parse()
            .map_err(|_| wrong("the host is not valid"))?;
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| wrong("the host is missing"))?;
        let port = match uri.port() {
            Some(port) if port.as_u16() != 0 => port.as_u16(),
            Some(_) => return Err(wrong("port 0 cannot be connected to")),
            None if address.len() > host.len() => return Err(wrong("the port is not a number up to 65535")),
            None => DEFAULT_PORT,
        };
        let (user, password) = match userinfo {
            None | Some("") => (None, None),
            Some(info) => {
                let (user, password) = match info.split_once(':') {
                    Some((user, password)) => (user, Some(password)),
                    None => (info, None),
                };
                let decode = |part| {
                    percent_decode(part).ok_or_else(|| wrong("user or password is not percent-encoded UTF-8"))
                };
                (Some(decode(user)?), password.map(decode).transpose()?)
            }
        };
        Ok(Self {
            tls,
            host: host.to_owned(),
            port,
            user,
            password,
        })
    }
}

impl fmt::Display for ServerUrl {
    /// Scheme, host and port; never the user or password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}:{}",
            if self.tls { "grpc+tls" } else { "grpc" },
            self.host,
            self.port
        )
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerUrl({self})")
    }
}

fn without_password(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, address))) => format!("{scheme}://***@{address}"),
        (None, Some((_, address))) => format!("***@{address}"),
        _ => text.to_owned(),
    }
}

/// `None` where a `%` is not followed by two digits, or where bytes are no UTF-8.
fn percent_decode(text: &str) -> Option<String> {
    let mut escapes = text.split('%').skip(1);
    let complete = escapes.all(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    complete.then(|| decoded.into_owned())
}

/// Who connects, where, and with which session settings.
///
/// `Debug` shows neither token, password nor header values.
#[derive(Clone, Default)]
pub struct ConnectOptions {
    /// Server address. Not used by [`Client::from_channel`](crate::Client::from_channel).
    pub url: Option<ServerUrl>,
    /// Bearer token, sent on every call.
    pub token: Option<String>,
    /// User for the Basic handshake; the server answers with a bearer token. Wins over the user of the URL.
    pub user: Option<String>,
    /// Password of the user. Wins over the password of the URL.
    pub password: Option<String>,
    /// Default database (header `database`).
    pub database: Option<String>,
    /// Default catalog (header `catalog`).
    pub catalog: Option<String>,
    /// Workgroup (header `workgroup`).
    pub workgroup: Option<String>,
    /// Further settings, sent as headers on every call; names that the server does not know are ignored there.
    pub headers: Vec<(String, String)>,
    /// Certificate authorities in PEM that sign the server's certificate; without it, those of the system.
    pub tls_ca_pem: Option<Vec<u8>>,
}

/// User name and password of the Basic handshake.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl ConnectOptions {
    /// Options for the server at `url`.
    pub fn new(url: ServerUrl) -> Self {
        Self {
            url: Some(url),
            ..Self::default()
        }
    }

    /// The credentials of the handshake, if one is wanted.
    pub(crate) fn login(&self) -> Result<Option<Login>, OptionsError> {
        let url = self.url.as_ref();
        let Some(user) = self.user.clone().or_else(|| url?.user().map(str::to_owned)) else {
            return Ok(None);
        };
        if self.token.is_some() {
            return Err(OptionsError::TokenAndUser);
        }
        let password = self
            .password
            .clone()
            .or_else(|| url?.password().map(str::to_owned));
        match password {
            Some(password) => Ok(Some(Login { user, password })),
            None => Err(OptionsError::NoPassword { user }),
        }
    }

    /// All headers that every call carries.
    pub(crate) fn header_list(&self) -> Result<Vec<(AsciiMetadataKey, AsciiMetadataValue)>, OptionsError> {
        let named = [
            ("database", &self.database),
            ("catalog", &self.catalog),
            ("workgroup", &self.workgroup),
        ];
        let named = named
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let given = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        given
            .chain(named)
            .map(|(name, value)| header(name, value))
            .collect()
    }
}

/// Checks and converts one header.
pub(crate) fn header(
    name: &str,
    value: &str,
) -> Result<(AsciiMetadataKey, AsciiMetadataValue), OptionsError> {
    let wrong = |reason| OptionsError::HeaderName {
        name: name.to_owned(),
        reason,
    };
    let lower = name.to_ascii_lowercase();
    if RESERVED_HEADERS.contains(&lower.as_str()) || lower.starts_with("grpc-") || lower.starts_with(':') {
        return Err(wrong("the protocol owns this name"));
    }
    if lower.ends_with("-bin") {
        return Err(wrong("names that end in -bin hold binary values"));
    }
    let key = AsciiMetadataKey::from_bytes(lower.as_bytes())
        .map_err(|_| wrong("letters, digits, '_', '-' and '.' are allowed"))?;
    let value = AsciiMetadataValue::try_from(value)
        .ok()
        .filter(|value| value.to_str().is_ok())
        .ok_or_else(|| OptionsError::HeaderValue {
            name: name.to_owned(),
        })?;
    Ok((key, value))
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("ConnectOptions")
            .field("url", &self.url)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("database", &self.database)
            .field("catalog", &self.catalog)
            .field("workgroup", &self.workgroup)
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> ServerUrl {
        text.parse().unwrap()
    }

    #[test]
    fn schemes_decide_encryption() {
        for (text, tls) in [
            ("grpc://h:1", false),
            ("grpc+tcp://h:1", false),
            ("GRPC+TLS://h:1", true),
            ("flightsql://h:1", true),
        ] {
            assert_eq!(url(text).tls(), tls, "{text}");
        }
        assert_eq!(url("flightsql://h:1").endpoint_uri(), "https://h:1");
        assert_eq!(url("grpc://h:1/").endpoint_uri(), "http://h:1");
    }

    #[test]
    fn a_missing_port_is_the_default_one_and_ipv6_keeps_its_brackets() {
        assert_eq!(url("grpc://lake.example").port(), DEFAULT_PORT);
        assert_eq!(url("grpc://[::1]:4000").endpoint_uri(), "http://[::1]:4000");
        assert_eq!(url("grpc://[::1]").port(), DEFAULT_PORT);
    }

    #[test]
    fn user_and_password_are_decoded_and_never_shown() {
        let url = url("grpc+tls://ann%40x:p%3Aw%2F1@h:1");
        assert_eq!((url.user(), url.password()), (Some("ann@x"), Some("p:w/1")));
        assert_eq!(url.to_string(), "grpc+tls://h:1");
        assert!(!format!("{url:?}").contains("p:w"));
        let error = "http://ann:secret@h"
            .parse::<ServerUrl>()
            .unwrap_err()
            .to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "h:1",
            "http://h:1",
            "grpc://",
            "grpc://:1",
            "grpc://h:0",
            "grpc://h:99999",
            "grpc://h:x",
            "grpc://h:",
            "grpc://h/db",
            "grpc://h?database=x",
            "grpc://a%zz@h",
            "grpc://a%+1@h",
            "grpc://h h",
        ] {
            assert!(text.parse::<ServerUrl>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn settings_become_headers_and_protocol_names_are_refused() {
        let options = ConnectOptions {
            database: Some("sales".into()),
            headers: vec![("Source".into(), "nightly".into())],
            ..ConnectOptions::default()
        };
        let list = options.header_list().unwrap();
        let list: Vec<_> = list
            .iter()
            .map(|(k, v)| (k.as_str(), v.to_str().unwrap()))
            .collect();
        assert_eq!(list, [("source", "nightly"), ("database", "sales")]);
        for name in ["authorization", "Cookie", "grpc-timeout", "x-bin", "a b", "", "é"] {
            assert!(header(name, "v").is_err(), "{name:?} was accepted");
        }
        for value in ["a\nb", "é", "\0"] {
            assert!(header("source", value).is_err(), "{value:?} was accepted");
        }
    }

    #[test]
    fn one_identity_is_used_and_the_explicit_one_wins() {
        let mut options = ConnectOptions::new(url("grpc://ann:one@h"));
        options.password = Some("two".into());
        let login = options.login().unwrap().unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("ann", "two"));
        options.token = Some("t".into());
        assert!(matches!(options.login(), Err(OptionsError::TokenAndUser)));
        let options = ConnectOptions::new(url("grpc://ann@h"));
        assert!(matches!(options.login(), Err(OptionsError::NoPassword { .. })));
        assert!(ConnectOptions::default().login().unwrap().is_none());
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut options = ConnectOptions {
            token: Some("hunter2".into()),
            ..ConnectOptions::default()
        };
        options.headers.push(("tags".into(), "hunter3".into()));
        let text = format!("{options:?}");
        assert!(!text.contains("hunter"), "{text}");
    }
}
