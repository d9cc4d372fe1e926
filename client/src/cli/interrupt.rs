//! Ctrl-C while something runs, and the password prompt: what needs the terminal outside the line editor.

use std::io::{self, Write};

use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers, read};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};

use super::streams::Streams;

/// Completes at the next Ctrl-C. Where the signal cannot be watched, never.
pub(crate) async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Reads a password without showing it. `None` if the person gave up with Ctrl-C or Ctrl-D.
pub(crate) fn ask_password(io: &mut Streams, user: &str) -> io::Result<Option<String>> {
    write!(io.err, "Password of {user}: ")?;
    io.err.flush()?;
    enable_raw_mode()?;
    let password = read_password();
    disable_raw_mode()?;
    writeln!(io.err)?;
    password
}

fn read_password() -> io::Result<Option<String>> {
    let mut password = String::new();
    loop {
        let Event::Key(key) = read()? else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => return Ok(Some(password)),
            KeyCode::Char('c' | 'd') if control => return Ok(None),
            KeyCode::Char('u') if control => password.clear(),
            KeyCode::Char(letter) if !control => password.push(letter),
            KeyCode::Backspace => {
                password.pop();
            }
            _ => {}
        }
    }
}
