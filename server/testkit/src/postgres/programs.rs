//! Where PostgreSQL's server programs are, and as whom they run: initdb and postgres refuse root.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a server of a test needs.
const NEEDED: [&str; 4] = ["initdb", "pg_ctl", "postgres", "psql"];

/// One directory with all programs.
#[derive(Debug)]
pub(super) struct Programs(PathBuf);

/// Somebody other than root.
#[derive(Debug, Clone, Copy)]
pub(super) struct User {
    pub uid: u32,
    pub gid: u32,
}

impl Programs {
    /// The newest release that is installed; Debian keeps them side by side.
    pub(super) fn find() -> Self {
        let release = |path: &Path| path.parent()?.file_name()?.to_str()?.parse::<u32>().ok();
        let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path().join("bin"))
            .chain(["/usr/local/bin".into(), "/usr/bin".into()])
            .filter(|directory| NEEDED.iter().all(|name| directory.join(name).exists()))
            .collect();
        found.sort_by_key(|path| release(path));
        match found.pop() {
            Some(directory) => Self(directory),
            None => panic!(
                "this test needs PostgreSQL's server programs ({}); run dev/setup, or install the package postgresql",
                NEEDED.join(", ")
            ),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn command(&self, name: &str, user: Option<User>) -> Command {
        as_user(Command::new(self.path(name)), user)
    }

    /// Whom to run as, so that it is not root; `directory` is one that this process has made.
    pub(super) fn user_for(&self, directory: &Path) -> Option<User> {
        if fs::metadata(directory).unwrap().uid() != 0 {
            return None;
        }
        let accounts = fs::read_to_string("/etc/passwd").unwrap();
        let account = |wanted: &str| {
            let line = accounts
                .lines()
                .find(|line| line.split(':').next() == Some(wanted))?;
            let mut numbers = line.split(':').skip(2).map(str::parse);
            Some(User {
                uid: numbers.next()?.ok()?,
                gid: numbers.next()?.ok()?,
            })
        };
        let user = account("postgres").or_else(|| account("nobody"));
        assert!(
            user.is_some(),
            "PostgreSQL does not run as root, and there is no user `postgres`"
        );
        user
    }
}

pub(super) fn as_user(mut command: Command, user: Option<User>) -> Command {
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    command
}
