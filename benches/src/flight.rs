//! The `owlake` binary as a child process, and clients on it over Flight SQL.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use futures::TryStreamExt;
use owlake::arrow::array::RecordBatch;
use owlake_client::{Client, ConnectOptions};
use owlake_mems3::MemS3;

use crate::Failure;
use crate::store::BUCKET;

/// A served data directory. Killed on drop.
pub(crate) struct Server {
    process: Child,
    _home: tempfile::TempDir,
    /// `grpc://ADDRESS`.
    pub(crate) url: String,
    /// From the start of the process to its word that it is ready.
    pub(crate) startup_seconds: f64,
}

impl Server {
    /// Starts `owlake serve` with an empty data directory, on free ports.
    pub(crate) fn start(binary: &Path, store: &MemS3, local_root: Option<&Path>) -> Result<Self, Failure> {
        let home = tempfile::tempdir()?;
        let config = home.path().join("owlake.toml");
        std::fs::write(&config, access(store))?;
        let mut command = Command::new(binary);
        command
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--http-listen",
                "127.0.0.1:0",
                "--log-level",
                "warn",
            ])
            .arg("--config")
            .arg(&config)
            .arg("--data-dir")
            .arg(home.path().join("data"))
            .args(["--allow-location", &format!("s3://{BUCKET}/")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if let Some(root) = local_root {
            command.args(["--allow-location", &format!("file://{}/", root.display())]);
        }
        let begun = Instant::now();
        let mut process = command.spawn().map_err(|e| {
            format!(
                "{} cannot be started: {e}. Build it, or give --owlake.",
                binary.display()
            )
        })?;
        let stdout = process.stdout.take().ok_or("a server without stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let startup_seconds = begun.elapsed().as_secs_f64();
        let url = line
            .split_whitespace()
            .find(|word| word.starts_with("grpc://"))
            .ok_or_else(|| format!("{} did not get ready: {line:?}", binary.display()))?;
        Ok(Self {
            url: url.to_owned(),
            process,
            _home: home,
            startup_seconds,
        })
    }

    /// Resident memory, bytes; none where the system does not tell.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kilobytes * 1024)
    }

    /// A client with a connection and a session of its own.
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        Ok(Client::connect(ConnectOptions::new(self.url.parse()?)).await?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// Configuration of the store's endpoint and keys.
fn access(store: &MemS3) -> String {
    format!(
        "[[location]]\nprefix = \"s3://{BUCKET}/\"\nregion = \"{}\"\nendpoint_url = \"{}\"\nallow_http = true\n\
         access_key_id = \"{}\"\nsecret_access_key = \"{}\"\n",
        store.region(),
        store.endpoint(),
        store.access_key(),
        store.secret_key()
    )
}

/// `owlake` beside this program, which one build makes together.
pub(crate) fn binary(given: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    match given {
        Some(path) => Ok(path.clone()),
        None => Ok(std::env::current_exe()?.with_file_name("owlake")),
    }
}

/// All rows of a statement.
pub(crate) async fn rows(client: &Client, sql: &str) -> Result<Vec<RecordBatch>, Failure> {
    Ok(client.query(sql).await?.try_collect().await?)
}

/// Runs a statement; seconds until its last row and receipt are here.
pub(crate) async fn timed(client: &Client, sql: &str) -> Result<f64, Failure> {
    let begun = Instant::now();
    let mut stream = client.query(sql).await?;
    while stream.try_next().await?.is_some() {}
    Ok(begun.elapsed().as_secs_f64())
}
