//! [`Streams`]: where the shell reads and writes. The library never touches the process's handles by itself.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use super::args::FileError;

/// Input, output and what is known about them.
pub struct Streams {
    /// Scripts are read from here.
    pub input: Box<dyn BufRead + Send>,
    /// Rows are written here.
    pub out: Box<dyn Write + Send>,
    /// Receipts, notices and errors are written here.
    pub err: Box<dyn Write + Send>,
    /// A person types the input.
    pub input_is_terminal: bool,
    /// A person reads the rows.
    pub out_is_terminal: bool,
    /// A person reads the messages; progress is shown on the process's standard error then.
    pub err_is_terminal: bool,
    /// Columns of the terminal, if there is one.
    pub width: Option<u16>,
    /// File that keeps the REPL's history; without it, history lasts for the session.
    pub history_file: Option<PathBuf>,
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams")
            .field("width", &self.width)
            .finish_non_exhaustive()
    }
}

impl Streams {
    /// Standard input, output and error of the process.
    pub fn process(history_file: Option<PathBuf>) -> Self {
        let out_is_terminal = io::stdout().is_terminal();
        Self {
            input: Box::new(BufReader::new(io::stdin())),
            out: Box::new(BufWriter::new(io::stdout())),
            err: Box::new(io::stderr()),
            input_is_terminal: io::stdin().is_terminal(),
            out_is_terminal,
            err_is_terminal: io::stderr().is_terminal(),
            width: if out_is_terminal { terminal_width() } else { None },
            history_file,
        }
    }

    /// Sends rows to a file from now on.
    pub(crate) fn redirect(&mut self, output: Option<&Path>) -> Result<(), FileError> {
        let Some(path) = output else { return Ok(()) };
        let file = File::create(path).map_err(|source| FileError {
            what: "cannot write",
            path: path.to_owned(),
            source,
        })?;
        self.out = Box::new(BufWriter::new(file));
        self.out_is_terminal = false;
        self.width = None;
        Ok(())
    }

    /// Follows a terminal that was resized.
    pub(crate) fn refresh_width(&mut self) {
        if self.out_is_terminal {
            self.width = terminal_width();
        }
    }
}

fn terminal_width() -> Option<u16> {
    crossterm::terminal::size()
        .ok()
        .map(|(columns, _)| columns)
        .filter(|columns| *columns > 0)
}

#[cfg(test)]
pub(crate) mod captured {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    pub(crate) struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What was written to [`Streams::captured`].
    pub(crate) struct Captured {
        out: Buffer,
        err: Buffer,
    }

    impl Captured {
        pub(crate) fn out(&self) -> String {
            String::from_utf8(self.out.0.lock().unwrap().clone()).unwrap()
        }

        pub(crate) fn err(&self) -> String {
            String::from_utf8(self.err.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Streams {
        /// Streams of a test: `input` to read, buffers to write to, no terminal.
        pub(crate) fn captured(input: &str) -> (Self, Captured) {
            let captured = Captured {
                out: Buffer::default(),
                err: Buffer::default(),
            };
            let streams = Self {
                input: Box::new(io::Cursor::new(input.to_owned().into_bytes())),
                out: Box::new(captured.out.clone()),
                err: Box::new(captured.err.clone()),
                input_is_terminal: false,
                out_is_terminal: false,
                err_is_terminal: false,
                width: None,
                history_file: None,
            };
            (streams, captured)
        }
    }

    #[test]
    fn rows_go_to_the_file_and_a_bad_path_is_named() {
        let (mut io, captured) = Streams::captured("");
        let path = std::env::temp_dir().join(format!("owlake-client-{}.csv", std::process::id()));
        io.out_is_terminal = true;
        io.redirect(Some(&path)).unwrap();
        io.out.write_all(b"a\n").unwrap();
        io.out.flush().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a\n");
        assert!(!io.out_is_terminal && captured.out().is_empty());
        std::fs::remove_file(&path).unwrap();
        let error = io.redirect(Some(Path::new("/no/such/dir/x.csv"))).unwrap_err();
        assert!(
            error.to_string().starts_with("cannot write /no/such/dir/x.csv: "),
            "{error}"
        );
    }
}
