//! Why a managed cluster couldn't be started, cut by what an operator can do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A managed cluster couldn't be started.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Another host holds the data directory.
    #[error("the data directory {} is in use by another Everfold host{holder}: stop that one, or give this one another data directory", data_dir.display())]
    InUse {
        /// The directory that both want.
        data_dir: PathBuf,
        /// ` (process N)`, or nothing when it isn't known.
        holder: String,
    },
    /// The data was written by another major version of PostgreSQL.
    #[error(
        "{} holds data of PostgreSQL {found}, but the server at {} is version {server}: point EVERFOLD_PG_BIN to the \
         programs of version {found}, or bring the data over with pg_upgrade or pg_dump",
        data.display(), bin_dir.display()
    )]
    OtherVersion {
        /// PostgreSQL's data directory.
        data: PathBuf,
        /// Its major version.
        found: String,
        /// Where the server's programs are.
        bin_dir: PathBuf,
        /// The server's major version.
        server: u32,
    },
    /// No user was found as whom PostgreSQL runs and reaches its files.
    #[error(
        "PostgreSQL can't run on {}:\n{}\nstart the host as a user that isn't root and has an account, in a directory \
         that it may write to; or set DATABASE_URL to a server that runs elsewhere",
        dir.display(), attempts.join("\n")
    )]
    NoUser {
        /// The directory that it has to reach.
        dir: PathBuf,
        /// Each way that was tried, and what came of it.
        attempts: Vec<String>,
    },
    /// A file or directory that the cluster needs.
    #[error("can't {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No directory is left for the socket.
    #[error("{} can't hold the socket: {reason}; a data directory with a shorter path needs no other place for the socket", dir.display())]
    SocketDir {
        /// The directory that was tried.
        dir: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The cluster couldn't be initialised.
    #[error("the cluster couldn't be initialised: {program} failed ({status}):\n{output}")]
    Init {
        /// The program that failed.
        program: &'static str,
        /// How it ended.
        status: String,
        /// What it said.
        output: String,
    },
    /// PostgreSQL ended instead of starting.
    #[error("PostgreSQL ended during its start ({status}). The end of {}:\n{tail}", log.display())]
    Ended {
        /// How it ended.
        status: String,
        /// Where its log is.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// A postmaster that isn't ours holds PostgreSQL's data directory.
    #[error(
        "another PostgreSQL still runs on {} after {} seconds: stop it with `pg_ctl stop -m fast -D` and that directory. \
         The log's end:\n{tail}",
        data.display(), waited.as_secs()
    )]
    Held {
        /// PostgreSQL's data directory.
        data: PathBuf,
        /// How long the start waited for it to go.
        waited: Duration,
        /// The last lines of the log.
        tail: String,
    },
    /// PostgreSQL took too long to start.
    #[error("PostgreSQL wasn't ready after {} seconds. The end of {}:\n{tail}", waited.as_secs(), log.display())]
    Timeout {
        /// How long the start waited.
        waited: Duration,
        /// Where its log is.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// The start was given up because the host shuts down.
    #[error("the start of PostgreSQL was given up")]
    Cancelled,
    /// The system gave no thread to keep the cluster with.
    #[error("no thread could be started to keep PostgreSQL with")]
    NoThread(#[source] io::Error),
    /// The thread that keeps the cluster is gone: a bug.
    #[error("the thread that keeps PostgreSQL died during its start")]
    KeeperDied,
}

impl ClusterError {
    /// Wraps an I/O error with what was tried on which path.
    pub(super) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { action, path: path.to_owned(), source }
    }
}
