//! What an operator sets: the TOML file, the environment over it, defaults below it.
//!
//! The only place that reads environment variables. Flags come on top in `args.rs`. Keys of features that are
//! not built yet are unknown here, and unknown keys are refused with their place.

mod access;
mod catalog;
mod environment;
mod file;
mod ledger;
mod scan;
mod shown;
mod units;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use owlake_metering::Usd;
use serde::{Deserialize, Serialize};

pub use access::{AuthSection, TlsSection};
pub use catalog::CatalogConfig;
use catalog::first_twice;
pub use environment::{AwsEnvironment, Environment};
pub use ledger::{LedgerSection, QuotaSection, WorkgroupConfig};
pub use scan::ScanSection;
pub use units::{ByteSize, HumanDuration, UnitError};

/// The default configuration as a commented file: what `owlake config default` prints.
pub const DEFAULT_TOML: &str = include_str!("config/default.toml");

/// Port of Flight SQL, as other servers of its kind use.
pub const DEFAULT_PORT: u16 = 31337;

/// Port of health and metrics.
pub const DEFAULT_HTTP_PORT: u16 = 31338;

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Addresses and the data directory.
    pub server: ServerSection,
    /// Certificates.
    pub tls: TlsSection,
    /// Who may connect.
    pub auth: AuthSection,
    /// Other databases beside the lake.
    pub catalog: Vec<CatalogConfig>,
    /// Object stores, by prefix; the longest matching prefix decides.
    pub location: Vec<LocationConfig>,
    /// Limits of the process and defaults for queries.
    pub limits: LimitsSection,
    /// Caches.
    pub cache: CacheSection,
    /// Scans.
    pub scan: ScanSection,
    /// The history of queries.
    pub ledger: LedgerSection,
    /// What a query costs here.
    pub price: PriceSection,
    /// What happens when a quota is nearly used up.
    pub quota: QuotaSection,
    /// Groups of queries with limits of their own.
    pub workgroup: Vec<WorkgroupConfig>,
    /// The log.
    pub log: LogSection,
}

/// `[server]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSection {
    /// Address of Flight SQL.
    pub listen: SocketAddr,
    /// Address of `/healthz` and `/metrics`.
    pub http_listen: SocketAddr,
    /// Where the catalog and the ledger live; `None` for [`Environment::default_data_dir`].
    pub data_dir: Option<PathBuf>,
    /// Secrets that `CREATE CATALOG` may refer to, by commas; `None` for the default.
    pub sql_catalog_references: Option<String>,
}

impl Default for ServerSection {
    fn default() -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            listen: SocketAddr::new(loopback, DEFAULT_PORT),
            http_listen: SocketAddr::new(loopback, DEFAULT_HTTP_PORT),
            data_dir: None,
            sql_catalog_references: None,
        }
    }
}

/// `[[location]]`: how one prefix of an object store is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocationConfig {
    /// `s3://bucket/` or longer, or `file:///directory/`.
    pub prefix: String,
    /// Region of the bucket.
    pub region: Option<String>,
    /// Another S3 server than AWS.
    pub endpoint_url: Option<String>,
    /// Role to assume for this prefix.
    pub role_arn: Option<String>,
    /// External id of that role's trust policy.
    pub external_id: Option<String>,
    /// Pay for requests to a requester-pays bucket.
    #[serde(deserialize_with = "file::boolean")]
    pub requester_pays: bool,
    /// Send unsigned requests.
    #[serde(deserialize_with = "file::boolean")]
    pub anonymous: bool,
    /// Accept an `http://` endpoint.
    #[serde(deserialize_with = "file::boolean")]
    pub allow_http: bool,
    /// Static credentials; better by role or environment.
    pub access_key_id: Option<Secret>,
    /// The other half of them.
    pub secret_access_key: Option<Secret>,
}

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsSection {
    /// Most bytes one query may scan.
    pub max_data_scanned: Option<ByteSize>,
    /// Most one query may cost by the price plan, USD as text.
    pub max_cost_usd: Option<Usd>,
    /// Files of one scan whose footers an estimate reads.
    #[serde(deserialize_with = "file::count")]
    pub estimate_files: u32,
    /// Longest run of a query, queue excluded.
    pub query_timeout: HumanDuration,
    /// Longest planning of a query.
    pub planning_timeout: HumanDuration,
    /// Memory for all queries together; `None` lets the engine decide from the machine's.
    pub memory: Option<ByteSize>,
    /// Queries that run at once.
    #[serde(deserialize_with = "file::count")]
    pub max_running: u32,
    /// Queries that may wait.
    #[serde(deserialize_with = "file::count")]
    pub max_queued: u32,
    /// Disk space for spilling, all queries together.
    pub spill: ByteSize,
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            max_data_scanned: None,
            max_cost_usd: None,
            estimate_files: 1_000,
            query_timeout: HumanDuration::from_secs(30 * 60),
            planning_timeout: HumanDuration::from_secs(60),
            memory: None,
            max_running: 8,
            max_queued: 100,
            spill: ByteSize::from_bytes(20_000_000_000),
        }
    }
}

/// `[cache]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheSection {
    /// Memory for Parquet footers and page indexes.
    pub footer_memory: ByteSize,
    /// How long a listing is believed: a file added meanwhile is seen after that. 0 lists for every query.
    pub listing_ttl: HumanDuration,
    /// Memory for results that are kept for sessions with `result_reuse_max_age`; 0 keeps none.
    pub result_memory: ByteSize,
    /// A larger result is not kept.
    pub max_kept_result: ByteSize,
    /// Memory for data of remote files; 0 caches none.
    pub block_memory: ByteSize,
    /// Directory for data of remote files; `None` for memory alone.
    pub block_disk_dir: Option<PathBuf>,
    /// Disk space of it.
    pub block_disk: ByteSize,
    /// Directory for footers, so that a restart finds them; `None` for memory alone.
    pub footer_disk_dir: Option<PathBuf>,
    /// Disk space of it.
    pub footer_disk: ByteSize,
}

impl Default for CacheSection {
    fn default() -> Self {
        Self {
            footer_memory: ByteSize::from_bytes(256 << 20),
            listing_ttl: HumanDuration::from_secs(30),
            result_memory: ByteSize::from_bytes(64 << 20),
            max_kept_result: ByteSize::from_bytes(8 << 20),
            block_memory: ByteSize::from_bytes(256 << 20),
            block_disk_dir: None,
            block_disk: ByteSize::from_bytes(20_000_000_000),
            footer_disk_dir: None,
            footer_disk: ByteSize::from_bytes(1_000_000_000),
        }
    }
}

/// `[price]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PriceSection {
    /// Name of a built-in price plan.
    pub plan: PlanName,
}

impl Default for PriceSection {
    fn default() -> Self {
        Self {
            plan: PlanName::AwsS3,
        }
    }
}

/// The built-in price plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlanName {
    /// Requests and transfer of S3.
    AwsS3,
    /// Bytes scanned, as Athena bills.
    Athena,
}

impl PlanName {
    /// The name in files and receipts.
    pub const fn as_str(self) -> &'static str {
        match self {
            PlanName::AwsS3 => "aws-s3",
            PlanName::Athena => "athena",
        }
    }
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// Form of a line.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,owlake=debug`.
    pub level: String,
    /// Whether the log line of a query holds its text.
    #[serde(deserialize_with = "file::boolean")]
    pub sql: bool,
}

impl Default for LogSection {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".to_owned(),
            sql: false,
        }
    }
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "server", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A text that no log and no error shows.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one who sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why a configuration cannot be used. Texts name the file and place, or the variable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration file `{}` cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong kind.
    #[error("{place}:{line}:{column}: {message}")]
    File {
        /// The file, as it was named.
        place: String,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// A variable `OWLAKE_<SECTION>__<KEY>` that sets nothing or sets nonsense.
    #[error("environment variable {name}: {message}")]
    Variable {
        /// Its name.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// Values that are fine each but not together.
    #[error("[{section}] {message}")]
    Invalid {
        /// The section.
        section: &'static str,
        /// What is wrong and what to do.
        message: String,
    },
}

impl Config {
    /// Reads the first configuration file there is and the variables over it.
    ///
    /// Order: `explicit` (the flag), `$OWLAKE_CONFIG`, `./owlake.toml`, `/etc/owlake/owlake.toml`, none. A file
    /// that was named has to exist. The second part of the answer is the file that was read.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(
        explicit: Option<&Path>,
        environment: &Environment,
    ) -> Result<(Self, Option<PathBuf>), ConfigError> {
        let named = explicit.or_else(|| environment.get("OWLAKE_CONFIG").map(Path::new));
        let path = match named {
            Some(path) => Some(path.to_owned()),
            None => ["owlake.toml", "/etc/owlake/owlake.toml"]
                .iter()
                .map(PathBuf::from)
                .find(|p| p.is_file()),
        };
        let (text, place) = match &path {
            Some(path) => {
                let read = std::fs::read_to_string(path);
                let text = read.map_err(|source| ConfigError::Read {
                    path: path.clone(),
                    source,
                })?;
                (text, path.display().to_string())
            }
            None => (String::new(), String::new()),
        };
        Ok((Self::parse(&text, &place, environment)?, path))
    }

    /// Reads a configuration from `text`, which error texts call `place`, and the variables over it.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn parse(text: &str, place: &str, environment: &Environment) -> Result<Self, ConfigError> {
        let config = file::parse(text, place, environment)?;
        config.check()?;
        Ok(config)
    }

    /// What no single value shows; flags are put over a configuration and it is asked again.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let invalid = |section, message: String| Err(ConfigError::Invalid { section, message });
        if self.tls.cert_file.is_some() != self.tls.key_file.is_some() {
            return invalid("tls", "cert_file and key_file are set together".to_owned());
        }
        if self.tls.client_ca_file.is_some() && self.tls.cert_file.is_none() {
            return invalid("tls", "client_ca_file needs cert_file and key_file".to_owned());
        }
        for location in &self.location {
            let prefix = &location.prefix;
            if prefix.is_empty() {
                return invalid("location", "an entry has no prefix".to_owned());
            }
            if location.access_key_id.is_some() != location.secret_access_key.is_some() {
                let message = format!("`{prefix}`: access_key_id and secret_access_key are set together");
                return invalid("location", message);
            }
            if location.anonymous && (location.access_key_id.is_some() || location.role_arn.is_some()) {
                return invalid(
                    "location",
                    format!("`{prefix}`: anonymous excludes keys and roles"),
                );
            }
            if location.external_id.is_some() && location.role_arn.is_none() {
                return invalid("location", format!("`{prefix}`: external_id needs role_arn"));
            }
        }
        if let Some(twice) = first_twice(self.location.iter().map(|location| location.prefix.as_str())) {
            return invalid("location", format!("prefix `{twice}` is there twice"));
        }
        catalog::check(&self.catalog)?;
        if self.workgroup.iter().any(|group| group.name.is_empty()) {
            return invalid("workgroup", "an entry has no name".to_owned());
        }
        if let Some(twice) = first_twice(self.workgroup.iter().map(|group| group.name.as_str())) {
            return invalid("workgroup", format!("name `{twice}` is there twice"));
        }
        self.scan.check()?;
        if self.limits.max_running == 0 || self.workgroup.iter().any(|group| group.max_running == Some(0)) {
            return invalid("limits", "max_running has to be at least 1".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
