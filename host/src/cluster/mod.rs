//! Managed PostgreSQL: a private cluster in the host's data directory, for hosts that weren't given a `DATABASE_URL`.
//!
//! The cluster is the host's own: initialised on the first start, reached over a Unix socket in a directory that only its
//! owner may enter, without TCP. It's watched and restarted when it dies, and it ends with the host, even when the host is
//! killed. Everything lies in `<data_dir>/postgres`:
//!
//! | | |
//! |---|---|
//! | `data/` | PostgreSQL's data directory; its `postgresql.conf` may be edited |
//! | `run/` | the socket, unless the path is too long for one (then a directory under `/tmp`) |
//! | `postgres.log` | what PostgreSQL says |
//! | `lock` | held by the host that runs the cluster |

mod error;
mod init;
mod keeper;
mod launcher;
mod layout;
mod locate;
mod pidfile;
mod postmaster;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use error::ClusterError;
pub use launcher::RootMode;
pub use locate::{Binaries, LocateError, locate};

/// The superuser of a managed cluster.
const USER: &str = "postgres";
/// The database that a managed cluster is made with.
const DATABASE: &str = "everfold";

/// What a managed cluster is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The host's data directory, made when absent. The cluster takes the folder `postgres` in it.
    pub data_dir: PathBuf,
    /// The server to run, as found by [`locate`].
    pub binaries: Binaries,
    /// Whether commits reach the disk before they are acknowledged. `false` is for tests alone: it loses the cluster
    /// with the machine's power.
    pub fsync: bool,
    /// How a host that is root gives up being root, which PostgreSQL asks for. `None`: the first way that works here.
    pub root_mode: Option<RootMode>,
    /// How long a start may take. Recovery after a crash is part of it.
    pub start_timeout: Duration,
    /// How long PostgreSQL may take to shut down in order, its last checkpoint included, before it's stopped by force.
    /// Nothing that was acknowledged is lost by force either; the next start takes longer.
    pub stop_timeout: Duration,
}

impl Options {
    /// The defaults of a host in production: `fsync` on, 5 minutes to start, 30 seconds to stop.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>, binaries: Binaries) -> Self {
        Self {
            data_dir: data_dir.into(),
            binaries,
            fsync: true,
            root_mode: None,
            start_timeout: Duration::from_secs(300),
            stop_timeout: Duration::from_secs(30),
        }
    }
}

/// What a managed cluster is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It's being started, for the first time or after it died; connections are refused meanwhile.
    Starting,
    /// It takes connections.
    Running {
        /// The process id of the postmaster.
        pid: u32,
    },
    /// It was shut down.
    Stopped,
}

/// A running private cluster. Dropping it shuts PostgreSQL down too, without waiting for the end of it.
#[derive(Debug)]
pub struct Cluster {
    socket_dir: PathBuf,
    state: watch::Receiver<State>,
    stop: DropGuard,
}

impl Cluster {
    /// Starts the cluster in `options.data_dir`, initialising it when there is none, and answers once it takes
    /// connections. The start is given up when the future is dropped.
    ///
    /// # Errors
    /// Says what stands in the way: another host on the data directory, another major version's data, no user that
    /// PostgreSQL could run as, or PostgreSQL's own reason with the end of its log.
    pub async fn start(options: Options) -> Result<Self, ClusterError> {
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let (state_in, state) = watch::channel(State::Starting);
        let (started_in, started) = oneshot::channel();
        keeper::spawn(options, stop, state_in, started_in)?;
        let socket_dir = started.await.unwrap_or(Err(ClusterError::KeeperDied))?;
        Ok(Self { socket_dir, state, stop: guard })
    }

    /// The connection URL of the database `everfold`, as its superuser.
    #[must_use]
    pub fn url(&self) -> String {
        url_of(&self.socket_dir)
    }

    /// The directory of the socket: `psql -h <socket_dir> -U postgres everfold` opens a shell.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// What the cluster is doing now, and from now on.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Shuts PostgreSQL down in order, by force after `stop_timeout`, and answers when it's gone.
    pub async fn shutdown(self) {
        let Self { stop, mut state, .. } = self;
        drop(stop);
        // An error says that the keeper is gone, and it goes last.
        let _ = state.wait_for(|state| *state == State::Stopped).await;
    }
}

/// Whether there is a managed cluster in a host's data directory, running or not.
#[must_use]
pub fn exists(data_dir: &Path) -> bool {
    data_dir.join("postgres/data").exists()
}

/// The URL of the managed cluster in a host's data directory, where a host runs it now.
#[must_use]
pub fn running(data_dir: &Path) -> Option<String> {
    layout::running_socket_dir(data_dir).map(|dir| url_of(&dir))
}

/// A URL that names a socket's directory the way libpq and sqlx read it. The directory is UTF-8: the layout sees to it.
/// What it leaves open, clients take from `PGPORT` and `PGSSLMODE`, which are meant for other servers.
fn url_of(socket_dir: &Path) -> String {
    let base = format!("postgres://{USER}@localhost:5432/{DATABASE}");
    let mut url = url::Url::parse(&base).expect("a constant, valid URL");
    url.query_pairs_mut().append_pair("host", &socket_dir.to_string_lossy()).append_pair("sslmode", "disable");
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_survives_any_path() {
        let url = url::Url::parse(&url_of(Path::new("/data dir/ü&=?#%/run"))).unwrap();
        let host = url.query_pairs().find(|(key, _)| key == "host").unwrap();
        assert_eq!(host.1, "/data dir/ü&=?#%/run");
        assert_eq!(url.path(), "/everfold");
    }
}
