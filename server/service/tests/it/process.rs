//! The binary as a child process: started, asked over HTTP and Flight, ended by a signal. Killed on drop.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use owlake_mems3::MemS3;

use crate::harness::PATIENCE;

/// `owlake` with the test's own home and working directory, and none of the caller's variables.
pub fn owlake(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_owlake"));
    command
        .env_clear()
        .env("HOME", home)
        .current_dir(home)
        .stdin(Stdio::null());
    command
}

/// Runs `owlake` to its end.
pub fn run(home: &Path, args: &[&str]) -> Output {
    owlake(home).args(args).output().unwrap()
}

/// Runs `owlake` to its end, which must be good; its stdout.
pub fn succeed(home: &Path, args: &[&str]) -> String {
    let output = run(home, args);
    assert!(output.status.success(), "{args:?}\n{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A served data directory.
pub struct Served {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// `grpc://ADDRESS`.
    pub url: String,
    /// `ADDRESS` of health and metrics.
    pub http: String,
}

impl Served {
    /// Starts `owlake serve` on free ports; its log goes to a file in `home`.
    pub fn start(home: &Path, data_dir: &Path, args: &[&str]) -> Self {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(home.join("serve.log"))
            .unwrap();
        let mut child = owlake(home)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--http-listen",
                "127.0.0.1:0",
                "--data-dir",
            ])
            .arg(data_dir)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        stdout.read_line(&mut ready).unwrap();
        let words: Vec<&str> = ready.split_whitespace().collect();
        let ["owlake", "ready", url, http] = words[..] else {
            let log = std::fs::read_to_string(home.join("serve.log")).unwrap();
            panic!("no ready line: {ready:?}\n{log}");
        };
        let http = http.strip_prefix("http://").expect("an HTTP address").to_owned();
        Self {
            url: url.to_owned(),
            http,
            child,
            stdout,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal such as `TERM`.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.pid());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for the end: exit code (`None` after a signal) and what stdout had beside the ready line.
    pub fn wait(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }

    /// SIGTERM, which must end it well.
    pub fn stop(self) {
        self.signal("TERM");
        assert_eq!(self.wait(), (Some(0), String::new()));
    }

    /// `GET path` of the HTTP port: status line and body.
    pub fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.http
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Ended already where the test went well.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Writes a configuration that reaches `store`, and gives its path.
pub fn config_for(home: &Path, store: &MemS3, bucket: &str) -> String {
    let path = home.join("store.toml");
    let text = format!(
        "[[location]]\nprefix = \"s3://{bucket}/\"\nendpoint_url = \"{}\"\nallow_http = true\n\
         access_key_id = \"{}\"\nsecret_access_key = \"{}\"\n",
        store.endpoint(),
        store.access_key(),
        store.secret_key()
    );
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}
