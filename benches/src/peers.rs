//! Other engines as child processes: `benches/peers/*.py` in the Python environment that `benches/peers-setup` makes.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::Failure;

/// A peer that answers. Ends with this value.
pub(crate) struct Peer {
    /// With its version.
    pub(crate) name: String,
    process: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

/// What a peer says of one query.
pub(crate) struct PeerRun {
    pub(crate) seconds: f64,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Peer {
    /// Starts `benches/peers/<script>_peer.py`. Peers go straight to the store, past any proxy.
    pub(crate) fn start(python: &Path, name: &str, script: &str, config: &Value) -> Result<Self, Failure> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("peers")
            .join(format!("{script}_peer.py"));
        let mut command = Command::new(python);
        // -B: no compiled files beside the scripts.
        command
            .arg("-B")
            .arg(file)
            .arg(config.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        for proxy in ["http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(proxy).env_remove(proxy.to_uppercase());
        }
        let mut process = command.spawn().map_err(|e| {
            format!(
                "{} cannot be started: {e}. Run benches/peers-setup.",
                python.display()
            )
        })?;
        let stdin = process.stdin.take();
        let stdout = process.stdout.take().ok_or("a peer without stdout")?;
        let mut peer = Self {
            name: name.to_owned(),
            process,
            stdin,
            stdout: BufReader::new(stdout),
        };
        let greeting = peer.answer()?;
        peer.name = format!("{name} {}", greeting["version"].as_str().unwrap_or_default());
        Ok(peer)
    }

    /// A session with nothing in its caches.
    pub(crate) fn open(&mut self) -> Result<(), Failure> {
        self.ask(&json!({"do": "open"}))?;
        Ok(())
    }

    /// Runs a query in the open session.
    pub(crate) fn run(&mut self, sql: &str) -> Result<PeerRun, Failure> {
        let answer = self.ask(&json!({"do": "run", "sql": sql}))?;
        Ok(PeerRun {
            seconds: answer["seconds"].as_f64().ok_or("a peer without seconds")?,
            rows: serde_json::from_value(answer["rows"].clone())?,
        })
    }

    fn ask(&mut self, request: &Value) -> Result<Value, Failure> {
        let stdin = self.stdin.as_mut().ok_or("a peer without stdin")?;
        writeln!(stdin, "{request}")?;
        stdin.flush()?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Value, Failure> {
        let mut line = String::new();
        if self.stdout.read_line(&mut line)? == 0 {
            return Err(format!("{} ended without an answer; stderr says why", self.name).into());
        }
        let answer: Value = serde_json::from_str(&line)?;
        match answer["error"].as_str() {
            Some(error) => Err(format!("{}: {error}", self.name).into()),
            None => Ok(answer),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The end of its stdin ends a peer, and its own child with it.
        self.stdin = None;
        let _reaped = self.process.wait();
    }
}
