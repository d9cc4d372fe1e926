//! The command line of `owlake`, and how flags go over the configuration.
//!
//! Runs nothing. Reads no variable: those come in with [`Environment`].

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use owlake_client::cli::SqlArgs;

use crate::config::{AwsEnvironment, ByteSize, Config, ConfigError, Environment, HumanDuration, LogFormat};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "owlake",
    version,
    about = "Athena-like SQL over Arrow Flight SQL, with an exact receipt for every query",
    after_help = "Examples:\n  owlake demo                                   a lake in memory and a shell on it\n  \
                  owlake sql -c \"SELECT 1\"                      one statement, no server\n  \
                  owlake serve --data-dir ./lake                serve Flight SQL on 127.0.0.1:31337\n  \
                  owlake sql --url grpc://127.0.0.1:31337       a shell on that server",
    arg_required_else_help = true
)]
pub struct OwlakeArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve Arrow Flight SQL
    Serve(Box<ServeArgs>),
    /// Run SQL: on a server with --url, else on an engine inside this process
    Sql(Box<SqlCommand>),
    /// Try it: a generated lake on an S3 server in memory, with a shell
    Demo(DemoArgs),
    /// Bring table definitions into the catalog
    Import(ImportArgs),
    /// Copy the catalog into a file, also while a server runs
    Backup(BackupArgs),
    /// Make a backup the catalog of a data directory that no server holds
    Restore(RestoreArgs),
    /// Show or check the configuration
    Config(ConfigArgs),
}

/// Flags of everything that starts an engine.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Engine")]
pub struct EngineArgs {
    /// Configuration file [default: $OWLAKE_CONFIG, ./owlake.toml, /etc/owlake/owlake.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of the catalog and the query history [default: $XDG_DATA_HOME/owlake]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where table data may lie, such as s3://acme-lake/ or /data/lake/; can be given several times
    #[arg(long = "allow-location", value_name = "PREFIX")]
    pub allow_locations: Vec<String>,
    /// Most bytes one query may scan, such as 1TB
    #[arg(long, value_name = "SIZE")]
    pub max_data_scanned: Option<ByteSize>,
    /// Longest run of a query, such as 30m
    #[arg(long, value_name = "DURATION")]
    pub query_timeout: Option<HumanDuration>,
    /// Longest planning of a query, such as 60s
    #[arg(long, value_name = "DURATION")]
    pub planning_timeout: Option<HumanDuration>,
    /// Memory of all queries together, such as 8GB
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<ByteSize>,
    /// Disk space for spilling, such as 20GB
    #[arg(long, value_name = "SIZE")]
    pub spill: Option<ByteSize>,
    /// Queries that run at once
    #[arg(long, value_name = "N")]
    pub max_running: Option<u32>,
    /// Queries that may wait
    #[arg(long, value_name = "N")]
    pub max_queued: Option<u32>,
}

/// `owlake serve`
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "Examples:\n  owlake serve --allow-location s3://acme-lake/\n  \
                  owlake serve --listen 0.0.0.0:31337 --tls-cert tls.crt --tls-key tls.key --token-file tokens\n  \
                  owlake serve --listen 0.0.0.0:31337 --allow-plaintext --token-file tokens   (TLS ends at the ingress)")]
pub struct ServeArgs {
    /// Engine flags, shared with `owlake sql`.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Address of Flight SQL [default: 127.0.0.1:31337]
    #[arg(long, value_name = "ADDRESS:PORT", help_heading = "Server")]
    pub listen: Option<SocketAddr>,
    /// Address of /healthz and /metrics [default: 127.0.0.1:31338]
    #[arg(long, value_name = "ADDRESS:PORT", help_heading = "Server")]
    pub http_listen: Option<SocketAddr>,
    /// Certificate chain, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = "Server")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "Server")]
    pub tls_key: Option<PathBuf>,
    /// Demand client certificates of this authority, PEM
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    pub tls_client_ca: Option<PathBuf>,
    /// File with one name:token a line
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    pub token_file: Option<PathBuf>,
    /// Listen off loopback without TLS, because something in front of the server does it
    #[arg(long, help_heading = "Server")]
    pub allow_plaintext: bool,
    /// Let clients in without credentials
    #[arg(long, help_heading = "Server")]
    pub allow_anonymous: bool,
    /// Form of log lines [default: text]
    #[arg(long, value_enum, help_heading = "Server")]
    pub log_format: Option<LogFormat>,
    /// error, warn, info, debug, trace, or directives such as info,owlake=debug [default: info]
    #[arg(long, value_name = "LEVEL", help_heading = "Server")]
    pub log_level: Option<String>,
}

/// `owlake sql`
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "Examples:\n  owlake sql --url grpc://127.0.0.1:31337\n  \
                  owlake sql -c \"SELECT count(*) FROM events WHERE dt = '2024-03-01'\" --format csv\n  \
                  owlake sql --allow-location /data/lake/ -f setup.sql")]
pub struct SqlCommand {
    /// Flags of the shell.
    #[command(flatten)]
    pub sql: SqlArgs,
    /// Engine flags; of no use with --url.
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// `owlake demo`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  owlake demo                        generate, query, then a shell on it\n  \
                  owlake demo < /dev/null            the same without the shell\n  \
                  owlake demo --dir ./demo-data      keep the catalog and the query history"
)]
pub struct DemoArgs {
    /// Keep the catalog and the query history here [default: in memory]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Size of the TPC-H tables; 1 is 6 million line items
    #[arg(long, value_name = "FACTOR", default_value_t = 0.01)]
    pub scale_factor: f64,
}

/// Which data directory a command about the catalog works on.
#[derive(Debug, Clone, Default, Args)]
pub struct DataDirArgs {
    /// Configuration file [default: $OWLAKE_CONFIG, ./owlake.toml, /etc/owlake/owlake.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of the catalog and the query history [default: $XDG_DATA_HOME/owlake]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// `owlake import`
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// Where the definitions come from.
    #[command(subcommand)]
    pub source: ImportSource,
}

/// The forms of definitions that can be imported.
#[derive(Debug, Clone, Subcommand)]
pub enum ImportSource {
    /// Answers of `aws glue get-databases`, `get-tables` and `get-partitions`, as JSON
    #[command(
        after_help = "Example:\n  aws glue get-tables --database-name sales > sales.json\n  owlake import glue-json sales.json"
    )]
    GlueJson {
        /// Files with the answers
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The catalog to import into.
        #[command(flatten)]
        place: DataDirArgs,
    },
}

/// `owlake backup`
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  owlake backup --data-dir /var/lib/owlake catalog-backup.db")]
pub struct BackupArgs {
    /// File to write; replaced whole or not at all
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What to copy.
    #[command(flatten)]
    pub place: DataDirArgs,
}

/// `owlake restore`
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  owlake restore --data-dir /var/lib/owlake catalog-backup.db")]
pub struct RestoreArgs {
    /// File that `owlake backup` wrote
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Where to put it.
    #[command(flatten)]
    pub place: DataDirArgs,
}

/// `owlake config`
#[derive(Debug, Clone, Args)]
pub struct ConfigArgs {
    /// Show or check.
    #[command(subcommand)]
    pub action: ConfigAction,
}

/// What to do with the configuration.
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigAction {
    /// Print the defaults as a commented file
    #[command(after_help = "Example:\n  owlake config default > owlake.toml")]
    Default,
    /// Read the file and the variables as `owlake serve` would, and say what is wrong
    Check {
        /// Configuration file [default: $OWLAKE_CONFIG, ./owlake.toml, /etc/owlake/owlake.toml]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// Flags that do not go together with each other or with the configuration. Texts name the flag to use.
#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    /// The configuration itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A public address without TLS.
    #[error(
        "{0} is not a loopback address and there is no TLS: give --tls-cert and --tls-key, or --allow-plaintext \
         if something in front of the server does TLS"
    )]
    Plaintext(SocketAddr),
    /// A public address without authentication.
    #[error(
        "{0} is not a loopback address and clients need no credentials: give --token-file, or --allow-anonymous \
         if everyone who reaches the server may query"
    )]
    Anonymous(SocketAddr),
    /// A location that is neither a URL nor an absolute path.
    #[error("--allow-location `{0}` is neither a URL such as s3://bucket/prefix/ nor an absolute path")]
    Location(String),
    /// The data directory's path cannot be made absolute.
    #[error("data directory `{}` has no absolute path", path.display())]
    DataDir {
        /// As given.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Everything an engine needs to know: file, variables and flags put together.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The merged configuration.
    pub config: Config,
    /// Directory of catalog and ledger, absolute.
    pub data_dir: PathBuf,
    /// Roots that table data may lie under.
    pub allowed_locations: Vec<String>,
    /// AWS's own variables.
    pub aws: AwsEnvironment,
}

/// Everything a server needs to know.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// What the engine needs; `engine.config` holds addresses, TLS files and log settings after the merge.
    pub engine: EngineConfig,
    /// Whether clients without credentials are let in.
    pub allow_anonymous: bool,
}

impl ServeArgs {
    /// Reads the configuration file and variables, and puts the flags over them.
    ///
    /// # Errors
    /// See [`ArgsError`].
    pub fn load(&self, environment: &Environment) -> Result<ServerConfig, ArgsError> {
        let (config, _) = Config::load(self.engine.config.as_deref(), environment)?;
        self.merge(config, environment)
    }

    /// Puts the flags over `config`. Off loopback, plain text and anonymous clients have to be asked for.
    ///
    /// # Errors
    /// See [`ArgsError`].
    pub fn merge(&self, mut config: Config, environment: &Environment) -> Result<ServerConfig, ArgsError> {
        set(&mut config.server.listen, self.listen);
        set(&mut config.server.http_listen, self.http_listen);
        set_some(&mut config.tls.cert_file, self.tls_cert.clone());
        set_some(&mut config.tls.key_file, self.tls_key.clone());
        set_some(&mut config.tls.client_ca_file, self.tls_client_ca.clone());
        set_some(&mut config.auth.token_file, self.token_file.clone());
        set(&mut config.log.format, self.log_format);
        set(&mut config.log.level, self.log_level.clone());
        config.check()?;
        let listen = config.server.listen;
        let on_loopback = listen.ip().is_loopback();
        if !on_loopback && config.tls.cert_file.is_none() && !self.allow_plaintext {
            return Err(ArgsError::Plaintext(listen));
        }
        // A client certificate only shows that someone may connect; it names no principal yet.
        let open = config.auth.token_file.is_none();
        if !on_loopback && open && !self.allow_anonymous {
            return Err(ArgsError::Anonymous(listen));
        }
        let engine = self.engine.merge(config, environment, on_loopback)?;
        Ok(ServerConfig {
            engine,
            allow_anonymous: self.allow_anonymous || open,
        })
    }
}

impl EngineArgs {
    /// Reads the configuration for an engine that nobody else can reach (`owlake sql`).
    ///
    /// # Errors
    /// See [`ArgsError`].
    pub fn load(&self, environment: &Environment) -> Result<EngineConfig, ArgsError> {
        let (config, _) = Config::load(self.config.as_deref(), environment)?;
        self.merge(config, environment, true)
    }

    /// Puts the flags over `config`.
    ///
    /// Allowed are the locations of the flags and of `[[location]]`; if there are none, DATA_DIR/lake and, when
    /// only this machine can reach the engine, all of `s3://`.
    ///
    /// # Errors
    /// See [`ArgsError`].
    pub fn merge(
        &self,
        mut config: Config,
        environment: &Environment,
        on_loopback: bool,
    ) -> Result<EngineConfig, ArgsError> {
        let limits = &mut config.limits;
        set_some(&mut limits.max_data_scanned, self.max_data_scanned);
        set(&mut limits.query_timeout, self.query_timeout);
        set(&mut limits.planning_timeout, self.planning_timeout);
        set_some(&mut limits.memory, self.memory);
        set(&mut limits.spill, self.spill);
        set(&mut limits.max_running, self.max_running);
        set(&mut limits.max_queued, self.max_queued);
        config.check()?;
        let data_dir = data_dir(self.data_dir.as_deref(), &config, environment)?;
        let flags = self.allow_locations.iter().map(|text| location_url(text));
        let mut allowed_locations = flags.collect::<Result<Vec<_>, _>>()?;
        for location in &config.location {
            allowed_locations.push(location_url(&location.prefix)?);
        }
        if allowed_locations.is_empty() {
            allowed_locations.push(format!("file://{}/", data_dir.join("lake").display()));
            if on_loopback {
                allowed_locations.push("s3://".to_owned());
            }
        }
        Ok(EngineConfig {
            config,
            data_dir,
            allowed_locations,
            aws: environment.aws(),
        })
    }
}

impl DataDirArgs {
    /// The data directory that flag, file and variables name; absolute.
    ///
    /// # Errors
    /// See [`ArgsError`].
    pub fn resolve(&self, environment: &Environment) -> Result<PathBuf, ArgsError> {
        let (config, _) = Config::load(self.config.as_deref(), environment)?;
        data_dir(self.data_dir.as_deref(), &config, environment)
    }
}

fn data_dir(flag: Option<&Path>, config: &Config, environment: &Environment) -> Result<PathBuf, ArgsError> {
    let path = flag
        .map(Path::to_owned)
        .or_else(|| config.server.data_dir.clone());
    let path = path.unwrap_or_else(|| environment.default_data_dir());
    std::path::absolute(&path).map_err(|source| ArgsError::DataDir { path, source })
}

/// A path is a convenience for `file://`.
fn location_url(text: &str) -> Result<String, ArgsError> {
    match text {
        path if Path::new(path).is_absolute() => Ok(format!("file://{path}")),
        url if url.contains("://") => Ok(url.to_owned()),
        _ => Err(ArgsError::Location(text.to_owned())),
    }
}

fn set<T>(place: &mut T, flag: Option<T>) {
    if let Some(value) = flag {
        *place = value;
    }
}

fn set_some<T>(place: &mut Option<T>, flag: Option<T>) {
    if flag.is_some() {
        *place = flag;
    }
}

#[cfg(test)]
mod tests;
