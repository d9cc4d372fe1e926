//! The SQL shell of both binaries: one statement, a script or a REPL on any [`Client`], embedded or remote.
//!
//! Rows go to `out`; receipts, notices, progress and errors to `err`. Everything is written through [`Streams`].

mod args;
mod command;
mod completion;
mod format;
mod interrupt;
mod progress;
mod receipt;
mod repl;
mod shell;
mod size;
mod split;
mod streams;

use std::io::Write;
use std::process::ExitCode;

pub use args::{ArgsError, FileError, Secret, Setting, SettingError, SqlArgs};
pub use format::Format;
pub use receipt::receipt_text;
pub use size::ByteSize;
pub use split::{Statement, is_complete, split};
pub use streams::Streams;

use crate::client::Client;
use crate::error::ClientError;
use shell::Shell;

/// How a run of the shell ended; the number is the process's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything ran.
    Ok,
    /// A query failed.
    Failed,
    /// Flags or files that cannot be used.
    Usage,
    /// The server cannot be reached or does not let the caller in.
    NoConnection,
    /// A cap on bytes, or `--assert-max-scan`, was passed.
    Refused,
    /// Stopped by Ctrl-C.
    Interrupted,
}

impl Exit {
    /// Process exit code: 0, 1, 2, 3, 4 or 130.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NoConnection => 3,
            Self::Refused => 4,
            Self::Interrupted => 130,
        }
    }

    /// The exit code that an error of a statement asks for.
    ///
    /// A statement without rights is a failed query; one without a valid identity was not let in.
    pub fn of_error(error: &ClientError) -> Self {
        match error {
            ClientError::Options(_) => Self::Usage,
            ClientError::Connect { .. } => Self::NoConnection,
            ClientError::Denied(failure) if failure.grpc_code == tonic::Code::Unauthenticated => {
                Self::NoConnection
            }
            ClientError::Refused(_) => Self::Refused,
            ClientError::Denied(_)
            | ClientError::Cancelled(_)
            | ClientError::Query(_)
            | ClientError::Protocol { .. } => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Reports an error of [`Client::connect`] or [`Client::from_channel`]: whatever the server said, it let nobody in.
pub fn connection_failed(error: &ClientError, io: &mut Streams) -> Exit {
    shell::report_error(io, error, None);
    match error {
        ClientError::Options(_) => Exit::Usage,
        _ => Exit::NoConnection,
    }
}

/// Reports flags that cannot be used.
pub fn usage_failed(error: &dyn std::error::Error, io: &mut Streams) -> Exit {
    let _ = writeln!(io.err, "Error: {error}");
    Exit::Usage
}

/// An Arrow file is no text.
#[derive(Debug, thiserror::Error)]
#[error("an Arrow file cannot be shown on a terminal; use --output FILE or a pipe")]
struct BinaryOnTerminal;

/// Runs what the flags ask for: `-c`, else `-f`, else standard input as a script, else, at a terminal, the REPL.
///
/// One-shot and scripts stop at the first statement that fails. The client's session is closed at the end. Needs a
/// multi-thread runtime: the REPL reads the keyboard on the calling thread.
pub async fn run(args: &SqlArgs, client: Client, io: &mut Streams) -> Exit {
    if let Err(error) = io.redirect(args.output.as_deref()) {
        return usage_failed(&error, io);
    }
    if args.chosen_format() == Format::Arrow && io.out_is_terminal {
        return usage_failed(&BinaryOnTerminal, io);
    }
    let script = match args.script(io) {
        Ok(script) => script,
        Err(error) => return usage_failed(&error, io),
    };
    let mut shell = Shell::new(args, client.clone(), io);
    let exit = match script {
        Some(pieces) => run_script(&mut shell, &pieces).await,
        None => repl::run(&mut shell).await,
    };
    client.close().await;
    exit
}

async fn run_script(shell: &mut Shell<'_>, pieces: &[String]) -> Exit {
    for piece in pieces {
        for statement in split(piece) {
            let line = (statement.line > 1).then_some(statement.line);
            match shell.run(statement.text, line).await {
                Exit::Ok => {}
                exit => return exit,
            }
        }
    }
    Exit::Ok
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::{Code, Status};

    fn exit(code: Code, message: &str) -> u8 {
        Exit::of_error(&ClientError::from_status("h", Status::new(code, message))).code()
    }

    #[test]
    fn every_way_to_end_has_its_exit_code() {
        assert_eq!(exit(Code::InvalidArgument, "SYNTAX_ERROR: x"), 1);
        assert_eq!(exit(Code::PermissionDenied, "PERMISSION_DENIED: x"), 1);
        assert_eq!(exit(Code::Cancelled, "USER_CANCELED: x"), 1);
        assert_eq!(exit(Code::Unauthenticated, "UNAUTHENTICATED: x"), 3);
        assert_eq!(exit(Code::Unavailable, "connection refused"), 3);
        assert_eq!(exit(Code::ResourceExhausted, "EXCEEDED_SCAN_LIMIT: x"), 4);
        let codes = [
            Exit::Ok,
            Exit::Failed,
            Exit::Usage,
            Exit::NoConnection,
            Exit::Refused,
            Exit::Interrupted,
        ];
        assert_eq!(codes.map(Exit::code), [0, 1, 2, 3, 4, 130]);
    }

    #[test]
    fn a_connection_that_is_not_let_in_is_never_a_failed_query() {
        for code in [
            Code::PermissionDenied,
            Code::Unauthenticated,
            Code::Unavailable,
            Code::Internal,
        ] {
            let (mut io, captured) = Streams::captured("");
            let error = ClientError::from_status("h", Status::new(code, "no"));
            assert_eq!(connection_failed(&error, &mut io), Exit::NoConnection, "{code:?}");
            assert!(captured.err().starts_with("Error: "), "{}", captured.err());
        }
    }
}
