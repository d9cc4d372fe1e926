//! The properties of a catalog: `CREATE CATALOG ... WITH (...)` and `[[catalog]]` have the same.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;

use super::error::PostgresError;
use crate::secret::SecretText;

const DEFAULT_PORT: u16 = 5432;
/// A pool that is larger than most servers' `max_connections` is a mistake.
const MOST_CONNECTIONS: usize = 1_000;

/// How one database is reached and shown.
#[derive(Clone)]
pub struct PostgresConfig {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// Role to log in as.
    pub user: SecretText,
    /// Its password; none where the server asks for none.
    pub password: Option<SecretText>,
    /// Encryption.
    pub tls: TlsMode,
    /// What connections may cost.
    pub limits: Limits,
    /// Schemas that exist here; `None` for all but the system's.
    pub schemas: Option<Vec<String>>,
    /// What `numeric` without a precision, or with more than 38 digits, is here.
    pub numeric: NumericMapping,
    /// How long names, columns and statistics are believed.
    pub metadata_ttl: Duration,
    /// Whether `system.query` may send statements as they are.
    pub passthrough: bool,
    /// The properties as given, secrets masked.
    shown: Vec<(String, String)>,
}

/// Encryption of connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsMode {
    /// Encrypted; the server's certificate must be of a known authority and for this host. A file of authorities
    /// (PEM) takes the place of the system's.
    VerifyFull {
        /// `sslrootcert`.
        authorities: Option<String>,
    },
    /// Plain.
    Disable,
}

/// Limits of a catalog's connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; a query that wants another waits.
    pub connections: usize,
    /// Longest wait for a connection of the pool, and for making one.
    pub connect_timeout: Duration,
    /// Longest remote statement, where it is shorter than the query's own limit.
    pub statement_timeout: Option<Duration>,
}

/// What becomes of numbers that no `decimal` is declared for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumericMapping {
    /// `decimal(p, s)`; a value that does not fit exactly is an error.
    Decimal {
        /// Digits.
        precision: u8,
        /// Of these behind the point.
        scale: i8,
    },
    /// The nearest double.
    Double,
    /// As PostgreSQL writes it.
    Varchar,
}

/// Names of all properties, in the order of the manual.
const PROPERTIES: [&str; 10] = [
    "connection_url",
    "user",
    "password",
    "max_connections",
    "connect_timeout",
    "statement_timeout",
    "schemas",
    "numeric_mapping",
    "metadata_ttl",
    "enable_query_passthrough",
];

impl PostgresConfig {
    /// Reads properties. Nothing is connected, no reference is followed.
    ///
    /// # Errors
    /// A property that is missing, unknown or wrong, by name. No error text holds a value that may be secret.
    pub fn from_properties(properties: &BTreeMap<String, String>) -> Result<Self, PostgresError> {
        if let Some(unknown) = properties
            .keys()
            .find(|name| !PROPERTIES.contains(&name.as_str()))
        {
            let known = format!("is unknown; known are {}", PROPERTIES.join(", "));
            return Err(wrong(unknown, &known));
        }
        let text = |name: &str| properties.get(name).map(String::as_str);
        let url = text("connection_url").ok_or_else(|| wrong("connection_url", "is missing"))?;
        let target = Target::parse(url)?;
        let secret = |name: &'static str, value: &str| {
            SecretText::new(value).map_err(|source| PostgresError::Secret { name, source })
        };
        let user = text("user").map(str::to_owned).or(target.user);
        let user = user.ok_or_else(|| wrong("user", "is missing"))?;
        let password = text("password").map(str::to_owned).or(target.password);
        let limits = Limits {
            connections: match text("max_connections") {
                None => 10,
                Some(text) => (text.parse().ok())
                    .filter(|n| (1..=MOST_CONNECTIONS).contains(n))
                    .ok_or_else(|| wrong("max_connections", "is a number from 1 to 1000"))?,
            },
            connect_timeout: duration(text("connect_timeout"), "connect_timeout")?
                .unwrap_or(Duration::from_secs(10)),
            statement_timeout: duration(text("statement_timeout"), "statement_timeout")?,
        };
        let schemas =
            text("schemas").map(|list| list.split(',').map(|name| name.trim().to_owned()).collect());
        Ok(Self {
            host: target.host,
            port: target.port,
            database: target.database,
            user: secret("user", &user)?,
            password: password.map(|text| secret("password", &text)).transpose()?,
            tls: target.tls,
            limits,
            schemas,
            numeric: text("numeric_mapping").map_or(Ok(NumericMapping::default()), NumericMapping::parse)?,
            metadata_ttl: duration(text("metadata_ttl"), "metadata_ttl")?.unwrap_or(Duration::from_secs(60)),
            passthrough: match text("enable_query_passthrough") {
                None | Some("false") => false,
                Some("true") => true,
                Some(_) => return Err(wrong("enable_query_passthrough", "is true or false")),
            },
            shown: shown(properties, &target.shown),
        })
    }

    /// The properties as anybody may see them: secrets masked unless they are references.
    pub fn shown(&self) -> &[(String, String)] {
        &self.shown
    }
}

/// The address without its password; names that are references as written.
fn shown(properties: &BTreeMap<String, String>, url: &str) -> Vec<(String, String)> {
    let mask = |name: &str, value: &str| match name {
        "connection_url" => url.to_owned(),
        "password" => SecretText::new(value).map_or("***".to_owned(), |text| text.masked().to_owned()),
        _ => value.to_owned(),
    };
    properties
        .iter()
        .map(|(name, value)| (name.clone(), mask(name, value)))
        .collect()
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.shown.iter().map(|(k, v)| (k, v)))
            .finish()
    }
}

fn wrong(name: &str, message: &str) -> PostgresError {
    PostgresError::Property {
        name: name.to_owned(),
        message: message.to_owned(),
    }
}

/// What `connection_url` says.
struct Target {
    host: String,
    port: u16,
    database: String,
    user: Option<String>,
    password: Option<String>,
    tls: TlsMode,
    shown: String,
}

impl Target {
    /// `[jdbc:]postgresql://[user[:password]@]host[:port]/database[?sslmode=...&sslrootcert=...]`
    fn parse(text: &str) -> Result<Self, PostgresError> {
        let refused = |message: &str| wrong("connection_url", message);
        let form = "is not of the form postgresql://host[:port]/database[?sslmode=verify-full]";
        let text = text.strip_prefix("jdbc:").unwrap_or(text);
        let mut url = Url::parse(text).map_err(|_| refused(form))?;
        if !matches!(url.scheme(), "postgresql" | "postgres") {
            return Err(refused(form));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = decoded(host.ok_or_else(|| refused("names no host"))?)?;
        let database = decoded(url.path().trim_start_matches('/'))?;
        if database.is_empty() || database.contains('/') {
            return Err(refused("names no database"));
        }
        let (mut authorities, mut encrypted) = (None, true);
        for (name, value) in url.query_pairs() {
            match (name.as_ref(), value.as_ref()) {
                ("sslmode", "verify-full") => encrypted = true,
                ("sslmode", "disable") => encrypted = false,
                ("sslmode", _) => {
                    return Err(refused(
                        "has an sslmode other than verify-full and disable, which would not keep \
                                        out whoever stands in between",
                    ));
                }
                ("sslrootcert", path) => authorities = Some(path.to_owned()),
                _ => return Err(refused("has a parameter other than sslmode and sslrootcert")),
            }
        }
        let user = Some(url.username()).filter(|user| !user.is_empty());
        let user = user.map(decoded).transpose()?;
        let password = url.password().map(decoded).transpose()?;
        let port = url.port().unwrap_or(DEFAULT_PORT);
        // Neither can fail for an address with a host.
        let _infallible = (url.set_username(""), url.set_password(None));
        Ok(Self {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
            database,
            user,
            password,
            tls: if encrypted {
                TlsMode::VerifyFull { authorities }
            } else {
                TlsMode::Disable
            },
            shown: url.into(),
        })
    }
}

/// `%20` and the like; a `%` that begins no escape is refused.
fn decoded(text: &str) -> Result<String, PostgresError> {
    let refused = || wrong("connection_url", "has a malformed `%` escape");
    let escapes = text.split('%').skip(1).map(|rest| rest.as_bytes().get(..2));
    for digits in escapes {
        let whole = digits.is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit));
        whole.then_some(()).ok_or_else(refused)?;
    }
    let decoded = percent_decode_str(text).decode_utf8();
    Ok(decoded.map_err(|_| refused())?.into_owned())
}

/// `500ms`, `30s`, `5m`, `2h`; more than nothing, less than a day.
fn duration(text: Option<&str>, name: &str) -> Result<Option<Duration>, PostgresError> {
    let Some(text) = text else { return Ok(None) };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let day = 86_400_000;
    let ms = unit.and_then(|unit| digits.parse::<u64>().ok()?.checked_mul(unit));
    ms.filter(|ms| (1..=day).contains(ms))
        .map(|ms| Some(Duration::from_millis(ms)))
        .ok_or_else(|| wrong(name, "is a time such as 500ms, 30s, 5m or 2h, of a day at most"))
}

impl Default for NumericMapping {
    fn default() -> Self {
        Self::Decimal {
            precision: 38,
            scale: 18,
        }
    }
}

impl NumericMapping {
    fn parse(text: &str) -> Result<Self, PostgresError> {
        let text = text.to_ascii_lowercase();
        let decimal = || {
            let inner = text.strip_prefix("decimal(")?.strip_suffix(')')?;
            let (precision, scale) = inner.split_once(',')?;
            let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
            ((1..=38).contains(&precision) && (0..=precision as i8).contains(&scale))
                .then_some(Self::Decimal { precision, scale })
        };
        match text.as_str() {
            "double" => Ok(Self::Double),
            "varchar" => Ok(Self::Varchar),
            _ => decimal().ok_or_else(|| wrong("numeric_mapping", "is decimal(p, s), double or varchar")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(properties: &[(&str, &str)]) -> Result<PostgresConfig, PostgresError> {
        let pairs = properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        PostgresConfig::from_properties(&pairs.collect())
    }

    const URL: (&str, &str) = (
        "connection_url",
        "jdbc:postgresql://db.example.org/sales?sslmode=verify-full",
    );

    #[test]
    fn defaults_are_safe() {
        let config = config(&[URL, ("user", "reader"), ("password", "${ENV:PGPASSWORD}")]).unwrap();
        assert_eq!(
            (config.host.as_str(), config.port, config.database.as_str()),
            ("db.example.org", 5432, "sales")
        );
        assert_eq!(config.tls, TlsMode::VerifyFull { authorities: None });
        assert_eq!(
            config.numeric,
            NumericMapping::Decimal {
                precision: 38,
                scale: 18
            }
        );
        let plain = super::PostgresConfig::from_properties(&BTreeMap::from([(
            "connection_url".to_owned(),
            "postgres://u%40x:p%2Fw@[::1]:6543/a%20b?sslmode=disable".to_owned(),
        )]))
        .unwrap();
        assert_eq!(
            (plain.host.as_str(), plain.port, plain.database.as_str()),
            ("::1", 6543, "a b")
        );
        assert_eq!(plain.tls, TlsMode::Disable);
        assert_eq!(plain.shown()[0].1, "postgres://[::1]:6543/a%20b?sslmode=disable");
    }

    #[test]
    fn nothing_shows_a_password() {
        for properties in [
            vec![URL, ("user", "reader"), ("password", "hunter2")],
            vec![("connection_url", "postgresql://reader:hunter2@db/sales")],
        ] {
            let config = config(&properties).unwrap();
            let shown = format!("{config:?} {:?}", config.shown());
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        let reference = config(&[URL, ("user", "r"), ("password", "${FILE:/run/secrets/pw}")]).unwrap();
        assert!(format!("{reference:?}").contains("${FILE:/run/secrets/pw}"));
    }

    #[test]
    fn what_is_wrong_is_named_without_its_value() {
        for (properties, error) in [
            (vec![], "property `connection_url`: is missing"),
            (vec![URL], "property `user`: is missing"),
            (
                vec![URL, ("pasword", "hunter2")],
                "property `pasword`: is unknown; known are connection_url, user,",
            ),
            (
                vec![("connection_url", "mysql://hunter2@db/x")],
                "property `connection_url`: is not of the form",
            ),
            (
                vec![("connection_url", "postgresql://db/")],
                "property `connection_url`: names no database",
            ),
            (
                vec![("connection_url", "postgresql://u:hunter2%+5@db/x")],
                "property `connection_url`: has a malformed",
            ),
            (
                vec![("connection_url", "postgresql://u:hunter2%C3@db/x")],
                "property `connection_url`: has a malformed",
            ),
            (
                vec![("connection_url", "postgresql://db/x%4")],
                "property `connection_url`: has a malformed",
            ),
            (
                vec![("connection_url", "postgresql://db/x?sslmode=require")],
                "property `connection_url`: has an sslmode",
            ),
            (
                vec![("connection_url", "postgresql://db/x?hunter2=1")],
                "property `connection_url`: has a parameter",
            ),
            (
                vec![URL, ("user", "u"), ("max_connections", "0")],
                "property `max_connections`: is a number",
            ),
            (
                vec![URL, ("user", "u"), ("connect_timeout", "5")],
                "property `connect_timeout`: is a time",
            ),
            (
                vec![URL, ("user", "u"), ("numeric_mapping", "decimal(39,0)")],
                "property `numeric_mapping`: is",
            ),
            (
                vec![URL, ("user", "${ENV:"), ("password", "x")],
                "property `user`: a reference is",
            ),
        ] {
            let failed = config(&properties).unwrap_err().to_string();
            assert!(
                failed.starts_with(error) && !failed.contains("hunter2"),
                "{failed}"
            );
        }
    }
}
