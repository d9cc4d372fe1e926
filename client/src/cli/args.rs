//! [`SqlArgs`]: the flags that both binaries share, and how they become connect options and a script.

use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::format::Format;
use super::size::ByteSize;
use super::streams::Streams;
use crate::options::{ConnectOptions, OptionsError, ServerUrl, header};

/// Flags of the SQL shell (`owlake sql`, `owlake-sql`).
#[derive(Debug, Clone, Default, Args)]
pub struct SqlArgs {
    /// Run these statements and exit; can be given several times
    #[arg(short = 'c', long = "command", value_name = "SQL", conflicts_with = "file")]
    pub commands: Vec<String>,
    /// Run the statements of a file and exit; - is standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Write rows to a file; its ending picks the format if --format is not given
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// How rows are written [default: by the ending of --output, else table]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Default database
    #[arg(short, long)]
    pub database: Option<String>,
    /// Default catalog
    #[arg(long)]
    pub catalog: Option<String>,
    /// Workgroup that the queries run in
    #[arg(long)]
    pub workgroup: Option<String>,
    /// Session setting, such as max_data_scanned_bytes=1000000000; can be given several times
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub settings: Vec<Setting>,
    /// Exit with 4 if a statement scans more than this, such as 12MB
    #[arg(long, value_name = "SIZE")]
    pub assert_max_scan: Option<ByteSize>,
    /// Print what each statement would read and cost instead of running it
    #[arg(long)]
    pub dry_run: bool,
    /// Print each row as a block, a column a line (tables only; wide results are at a terminal)
    #[arg(short = 'x', long)]
    pub expanded: bool,
    /// No receipts, notices and progress
    #[arg(short, long)]
    pub quiet: bool,
    // Text, not a ServerUrl: clap would quote a password in its message about a URL that does not parse.
    /// Server to connect to: grpc://HOST:PORT, or grpc+tls:// and flightsql:// for TLS
    #[arg(long, env = "OWLAKE_URL", hide_env_values = true)]
    pub url: Option<String>,
    /// Bearer token
    #[arg(long, env = "OWLAKE_TOKEN", hide_env_values = true)]
    pub token: Option<Secret>,
    /// Log in with this name and a password; wins over a token
    #[arg(long)]
    pub user: Option<String>,
    /// Password of the user; asked for at a terminal if it is not given
    #[arg(long, env = "OWLAKE_PASSWORD", hide_env_values = true)]
    pub password: Option<Secret>,
    /// PEM file with the authorities that sign the server's certificate [default: those of the system]
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// Show at most this many rows as a table; 0 is all [default: 40 at a terminal, else all]
    #[arg(long, value_name = "N")]
    pub max_rows: Option<usize>,
}

/// A value that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// `name=value` of `--set`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Name as the server knows it; a header name.
    pub name: String,
    /// Value as text.
    pub value: String,
}

impl FromStr for Setting {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or(SettingError::Shape)?;
        let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
        header(&name, &value)?;
        Ok(Self { name, value })
    }
}

/// A `--set` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// No `=`.
    #[error("expected NAME=VALUE")]
    Shape,
    /// The name or value cannot be sent.
    #[error(transparent)]
    Header(#[from] OptionsError),
}

/// A file of the flags that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{what} {}: {source}", path.display())]
pub struct FileError {
    pub(crate) what: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

/// Flags that do not make connect options.
#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    /// The CA file or the password cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The URL cannot be used.
    #[error(transparent)]
    Options(#[from] OptionsError),
}

impl SqlArgs {
    /// Options to connect with. Reads the CA file and, at a terminal, asks for a password that is missing.
    ///
    /// # Errors
    /// [`ArgsError`] when the URL does not parse, or the CA file or password cannot be read.
    pub fn connect_options(&self, io: &mut Streams) -> Result<ConnectOptions, ArgsError> {
        let url: Option<ServerUrl> = self.url.as_deref().map(str::parse).transpose()?;
        let tls_ca_pem = match &self.tls_ca {
            None => None,
            Some(path) => Some(std::fs::read(path).map_err(|source| FileError {
                what: "cannot read",
                path: path.clone(),
                source,
            })?),
        };
        let of_url = url.as_ref();
        let user = self.user.clone().or_else(|| of_url?.user().map(str::to_owned));
        let mut password = self.password.as_ref().map(|secret| secret.expose().to_owned());
        password = password.or_else(|| of_url?.password().map(str::to_owned));
        if let (Some(user), None, true) = (&user, &password, io.input_is_terminal) {
            password = super::interrupt::ask_password(io, user).map_err(|source| FileError {
                what: "cannot read the password from",
                path: PathBuf::from("the terminal"),
                source,
            })?;
        }
        // A token usually comes from the environment, a user never does: the user is the more deliberate one.
        let token = self
            .token
            .as_ref()
            .filter(|_| user.is_none())
            .map(|secret| secret.expose().to_owned());
        Ok(ConnectOptions {
            url,
            token,
            user,
            password,
            database: self.database.clone(),
            catalog: self.catalog.clone(),
            workgroup: self.workgroup.clone(),
            headers: self
                .settings
                .iter()
                .map(|set| (set.name.clone(), set.value.clone()))
                .chain(self.dry_run.then(|| ("dry_run".to_owned(), "true".to_owned())))
                .collect(),
            tls_ca_pem,
        })
    }

    /// The texts to run, or `None` for the REPL.
    pub(crate) fn script(&self, io: &mut Streams) -> Result<Option<Vec<String>>, FileError> {
        if !self.commands.is_empty() {
            return Ok(Some(self.commands.clone()));
        }
        let from_input = |io: &mut Streams| {
            let mut text = String::new();
            io.input
                .read_to_string(&mut text)
                .map(|_| Some(vec![text]))
                .map_err(|source| FileError {
                    what: "cannot read",
                    path: PathBuf::from("standard input"),
                    source,
                })
        };
        match &self.file {
            Some(path) if path.as_os_str() == "-" => from_input(io),
            Some(path) => match std::fs::read_to_string(path) {
                Ok(text) => Ok(Some(vec![text])),
                Err(source) => Err(FileError {
                    what: "cannot read",
                    path: path.clone(),
                    source,
                }),
            },
            None if io.input_is_terminal => Ok(None),
            None => from_input(io),
        }
    }

    /// The format that the flags ask for.
    pub(crate) fn chosen_format(&self) -> Format {
        let of_output = || Format::of_extension(self.output.as_ref()?.extension()?.to_str()?);
        self.format.or_else(of_output).unwrap_or(Format::Table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        sql: SqlArgs,
    }

    fn parse(args: &[&str]) -> Result<SqlArgs, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"owlake-sql").chain(args)).map(|cli| cli.sql)
    }

    #[test]
    fn flags_become_connect_options() {
        let args = parse(&[
            "-d",
            "sales",
            "--workgroup",
            "bi",
            "--set",
            "source = nightly",
            "--set",
            "tags=a=1,b=2",
            "--token",
            "t",
            "--url",
            "grpc://h:1",
        ])
        .unwrap();
        let (mut io, _) = Streams::captured("");
        let options = args.connect_options(&mut io).unwrap();
        assert_eq!(options.database.as_deref(), Some("sales"));
        assert_eq!(options.token.as_deref(), Some("t"));
        let headers = [("source", "nightly"), ("tags", "a=1,b=2")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(options.headers, headers);
        assert!(!format!("{:?}", parse(&["--token", "hunter2"]).unwrap()).contains("hunter2"));
    }

    #[test]
    fn a_user_wins_over_a_token() {
        let args = parse(&["--token", "t", "--user", "ann", "--password", "p"]).unwrap();
        let (mut io, _) = Streams::captured("");
        let options = args.connect_options(&mut io).unwrap();
        assert_eq!((options.token, options.user.as_deref()), (None, Some("ann")));
        assert_eq!(options.password.as_deref(), Some("p"));
    }

    #[test]
    fn what_cannot_be_used_is_refused_before_a_connection() {
        for bad in [
            &["--set", "novalue"][..],
            &["--set", "authorization=x"],
            &["--assert-max-scan", "many"],
            &["--format", "xml"],
            &["-c", "SELECT 1", "-f", "x.sql"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?} was accepted");
        }
        let (mut io, _) = Streams::captured("");
        assert!(parse(&["-f", "/no/such/file"]).unwrap().script(&mut io).is_err());
        assert!(
            parse(&["--tls-ca", "/no/such/file"])
                .unwrap()
                .connect_options(&mut io)
                .is_err()
        );
    }

    #[test]
    fn the_script_comes_from_commands_else_file_else_input() {
        let (mut io, _) = Streams::captured("SELECT 3");
        let script = |args: &[&str], io: &mut Streams| parse(args).unwrap().script(io).unwrap();
        assert_eq!(
            script(&["-c", "SELECT 1", "-c", "SELECT 2"], &mut io).unwrap(),
            ["SELECT 1", "SELECT 2"]
        );
        assert_eq!(script(&["-f", "-"], &mut io).unwrap(), ["SELECT 3"]);
        let (mut io, _) = Streams::captured("SELECT 4");
        assert_eq!(script(&[], &mut io).unwrap(), ["SELECT 4"]);
        io.input_is_terminal = true;
        assert_eq!(script(&[], &mut io), None);
    }

    #[test]
    fn the_output_ending_picks_the_format_unless_one_is_given() {
        assert_eq!(parse(&[]).unwrap().chosen_format(), Format::Table);
        assert_eq!(parse(&["-o", "x.CSV"]).unwrap().chosen_format(), Format::Csv);
        assert_eq!(
            parse(&["-o", "x.csv", "--format", "json"])
                .unwrap()
                .chosen_format(),
            Format::Json
        );
        assert_eq!(parse(&["-o", "x.dat"]).unwrap().chosen_format(), Format::Table);
    }
}
