//! A real PostgreSQL server of a test's own: temporary directory, free port, user of its own where the test is root.
//!
//! It ends with its handle, and with the test process however that ends: a small shell waits at a pipe that only
//! the process holds open, stops the server when it closes, and removes the directory.

mod certificates;
mod programs;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use certificates::Certificates;
use programs::Programs;

/// The superuser of every server.
pub const SUPERUSER: &str = "owner";
/// Its password over TCP.
pub const PASSWORD: &str = "owner's secret";

/// Starts the server as `$2 -D $3 -o $4`, says so, waits until nobody holds its input, stops it, removes `$1`.
const KEEPER: &str = r#"
start() { "$2" -D "$3" -o "$4" -l "$1/log" -w -s start >&2 && echo started || echo failed; }
start "$@"
while read -r order; do
    case $order in
        stop) "$2" -D "$3" -m immediate -w -s stop >&2; echo stopped ;;
        start) start "$@" ;;
    esac
done
"$2" -D "$3" -m immediate -w -s stop
rm -rf "$1"
"#;

/// How a server is to be.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    tls: bool,
    settings: Vec<(String, String)>,
}

/// A running server. Dropping it stops it and removes its files.
#[derive(Debug)]
pub struct Postgres {
    programs: Programs,
    directory: PathBuf,
    port: u16,
    certificates: Option<Certificates>,
    keeper: Mutex<Keeper>,
}

#[derive(Debug)]
struct Keeper {
    process: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Keeper {
    /// Sends an order and waits for its answer.
    fn order(&mut self, order: &str, answer: &str) {
        writeln!(self.process.stdin.as_ref().unwrap(), "{order}").unwrap();
        self.expect(answer).unwrap();
    }

    fn expect(&mut self, answer: &str) -> Result<(), String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        (line.trim() == answer)
            .then_some(())
            .ok_or_else(|| line.trim().to_owned())
    }
}

impl Builder {
    /// With TLS, and without plain connections over TCP.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// With a setting of `postgresql.conf`.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes the server and starts it. Fails the test where the server's programs are missing.
    pub fn start(self) -> Postgres {
        let programs = Programs::find();
        let directory = tempfile::Builder::new()
            .prefix("owlake-pg-")
            .tempdir()
            .unwrap()
            .keep();
        let user = programs.user_for(&directory);
        let own = |path: &Path| {
            if let Some(user) = user {
                chown(path, Some(user.uid), Some(user.gid)).unwrap();
            }
        };
        own(&directory);
        let data = directory.join("data");
        self.initialise(&programs, user, &directory, &data);
        let certificates = self.tls.then(|| Certificates::make(&data, own));
        write_access(&data, self.tls);
        // Somebody else may take the port before the server does.
        for attempt in 1.. {
            let port = free_port();
            let options = self.options(&directory, port);
            let mut keeper = keep(&programs, user, &directory, &data, &options);
            match keeper.expect("started") {
                Ok(()) => {
                    return Postgres {
                        programs,
                        directory,
                        port,
                        certificates,
                        keeper: Mutex::new(keeper),
                    };
                }
                Err(_) if attempt < 5 => {}
                Err(answer) => {
                    let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
                    panic!("PostgreSQL did not start ({answer}):\n{log}");
                }
            }
        }
        unreachable!("the loop returns or fails")
    }

    fn initialise(&self, programs: &Programs, user: Option<programs::User>, directory: &Path, data: &Path) {
        let mut command = programs.command("initdb", user);
        command
            .current_dir(directory)
            .args([
                "--no-sync",
                "--no-instructions",
                "--encoding=UTF8",
                "--locale=C",
                "--auth=trust",
            ])
            .arg(format!("--username={SUPERUSER}"))
            .arg("-D")
            .arg(data);
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "initdb failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// The server's command line: nothing is flushed to disk, since nothing has to outlive the test.
    fn options(&self, directory: &Path, port: u16) -> String {
        let fixed = [
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("port", port.to_string()),
            ("unix_socket_directories", directory.display().to_string()),
            ("fsync", "off".to_owned()),
            ("full_page_writes", "off".to_owned()),
            ("shared_buffers", "32MB".to_owned()),
            ("ssl", if self.tls { "on" } else { "off" }.to_owned()),
        ];
        let fixed = fixed.iter().map(|(name, value)| (*name, value.as_str()));
        let chosen = self
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let options = fixed
            .chain(chosen)
            .map(|(name, value)| format!("-c {name}='{value}'"));
        options.collect::<Vec<_>>().join(" ")
    }
}

/// Passwords over TCP, and TLS where it is on; everybody over the socket.
fn write_access(data: &Path, tls: bool) {
    let host = if tls { "hostssl" } else { "host" };
    let text = format!("local all all trust\n{host} all all 127.0.0.1/32 scram-sha-256\n");
    fs::write(data.join("pg_hba.conf"), text).unwrap();
}

fn keep(
    programs: &Programs,
    user: Option<programs::User>,
    directory: &Path,
    data: &Path,
    options: &str,
) -> Keeper {
    let mut command = programs::as_user(Command::new("sh"), user);
    command
        .args(["-c", KEEPER, "keeper"])
        .args([directory, &programs.path("pg_ctl"), data])
        .arg(options)
        .current_dir(directory)
        // An interrupt at the terminal is for the tests; this shell sees their end.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut process = command.spawn().unwrap();
    let answers = BufReader::new(process.stdout.take().unwrap());
    Keeper { process, answers }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

impl Postgres {
    /// A server with trust over its socket, passwords over TCP, no TLS.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// For settings and TLS.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// PEM of the authority that signed the server's certificate, which is for `localhost`; where TLS is on.
    pub fn authority(&self) -> Option<&str> {
        self.certificates.as_ref().map(Certificates::authority)
    }

    /// Runs statements as the superuser in `database`, outside of a transaction block where there is one statement a
    /// call; what they print, unaligned. Fails the test where one fails.
    pub fn sql_in(&self, database: &str, sql: &str) -> String {
        let mut command = Command::new(self.programs.path("psql"));
        let port = self.port.to_string();
        command
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"])
            .args(["-U", SUPERUSER, "-d", database, "-p", &port, "-h"])
            .arg(&self.directory)
            .env("PGCLIENTENCODING", "UTF8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut input = process.stdin.take().unwrap();
        let text = sql.to_owned();
        let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
        let output = process.wait_with_output().unwrap();
        // psql that stopped at an error reads no further.
        let _broken_pipe = writer.join().unwrap();
        assert!(
            output.status.success(),
            "{sql}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// As [`Postgres::sql_in`], in the database `postgres`.
    pub fn sql(&self, sql: &str) -> String {
        self.sql_in("postgres", sql)
    }

    /// Sends `password` along when the superuser comes over TCP.
    pub fn with_password(self) -> Self {
        self.sql(&format!(
            "ALTER ROLE {SUPERUSER} PASSWORD '{}'",
            PASSWORD.replace('\'', "''")
        ));
        self
    }

    /// Stops the server at once, connections and all, as a crash would.
    pub fn stop(&self) {
        self.keeper.lock().unwrap().order("stop", "stopped");
    }

    /// Starts it again on the same port.
    pub fn start_again(&self) {
        self.keeper.lock().unwrap().order("start", "started");
    }

    /// What the server wrote to its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Ok(keeper) = self.keeper.get_mut() {
            drop(keeper.process.stdin.take());
            // Nothing can be done about a shell that fails to end.
            let _status = keeper.process.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_server_answers_stops_starts_and_leaves_nothing_behind() {
        let server = Postgres::builder().setting("max_connections", "7").start();
        assert_eq!(
            server.sql("SELECT 'naïve', 1; SHOW max_connections"),
            "naïve|1\n7\n"
        );
        server.sql("CREATE TABLE kept AS SELECT 1 AS n");
        server.stop();
        assert!(TcpStream::connect(("127.0.0.1", server.port())).is_err());
        server.start_again();
        assert_eq!(server.sql("SELECT * FROM kept"), "1\n");
        assert!(server.log().contains("ready to accept connections"));
        let (directory, port) = (server.directory.clone(), server.port());
        drop(server);
        assert!(!directory.exists());
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }

    #[test]
    fn a_server_ends_with_the_panic_of_its_test() {
        let server = Postgres::builder().tls().start();
        assert!(server.authority().unwrap().contains("BEGIN CERTIFICATE"));
        let directory = server.directory.clone();
        let test = std::thread::spawn(move || panic!("a test fails while port {} answers", server.port()));
        assert!(test.join().is_err());
        assert!(!directory.exists());
    }
}
