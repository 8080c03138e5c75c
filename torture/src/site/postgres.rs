//! The PostgreSQL server under torture: started, stopped, killed, started again.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

/// How long the server may take to start or stop. Recovery after a kill is a matter of seconds.
const PATIENCE: Duration = Duration::from_secs(240);

/// Its port, which only names the socket: it listens on no network.
const PORT: u16 = 5432;

/// The database, and the role that owns it: the hosts' login is no superuser, as in production.
const NAME: &str = "everfold";

/// Whom PostgreSQL runs as where the driver is root, which it refuses to run as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User {
    id: u32,
    group: u32,
}

impl FromStr for User {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (id, group) = text.split_once(':').context("a user is written UID:GID")?;
        Ok(Self { id: id.parse()?, group: group.parse()? })
    }
}

/// A server with a database of its own in `folder`.
pub(crate) struct Postgres {
    bin: PathBuf,
    folder: PathBuf,
    user: Option<User>,
    server: Mutex<Option<Child>>,
}

impl Postgres {
    /// Makes the cluster, starts the server and makes the database. Its files are as durable as its disk is.
    pub(crate) async fn create(bin: &Path, folder: &Path, user: Option<User>) -> Result<Self> {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        if let Some(user) = user {
            chown(folder, Some(user.id), Some(user.group))?;
        }
        let postgres = Self { bin: bin.to_owned(), folder: folder.to_owned(), user, server: Mutex::new(None) };
        let mut initdb = postgres.tool("initdb");
        initdb.args(["--username=postgres", "--auth=trust", "--no-locale", "--encoding=UTF8", "--no-sync", "-D"]);
        let made = initdb.arg(postgres.data()).output().await.context("can't run initdb")?;
        ensure!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        postgres.start().await?;
        let mut admin = postgres.options("postgres", "postgres").connect().await?;
        admin.execute("CREATE ROLE everfold LOGIN CREATEROLE").await?;
        admin.execute("CREATE DATABASE everfold OWNER everfold").await?;
        admin.close().await?;
        Ok(postgres)
    }

    /// The server's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join(format!(".s.PGSQL.{PORT}"))
    }

    /// What a host is given to reach the server by a proxy on this port.
    pub(crate) fn url_through(port: u16) -> String {
        format!("postgres://{NAME}@127.0.0.1:{port}/{NAME}?sslmode=disable")
    }

    /// A connection past all proxies, as the owner of the log.
    pub(crate) async fn connect(&self) -> sqlx::Result<PgConnection> {
        self.options(NAME, NAME).connect().await
    }

    /// Starts the server where it isn't running, and waits until it answers.
    pub(crate) async fn start(&self) -> Result<()> {
        let mut server = self.server.lock().await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let has_ended = match server.as_mut() {
                Some(child) => child.try_wait()?.is_some(),
                None => true,
            };
            if has_ended {
                // Backends of a killed server may still hold its memory; it refuses to start until they are gone.
                *server = Some(self.spawn()?);
            }
            if let Ok(connection) = self.options("postgres", "postgres").connect().await {
                // A server that recovers from a killed process may end this session too: then it isn't there yet.
                if connection.close().await.is_ok() {
                    return Ok(());
                }
            }
            if Instant::now() > deadline {
                bail!("PostgreSQL didn't start within {} s:\n{}", PATIENCE.as_secs(), self.last_log_lines());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Stops the server in order: sessions are ended, what they had under way is rolled back.
    pub(crate) async fn stop(&self) -> Result<()> {
        self.end(Signal::INT).await
    }

    /// Kills the server and every process of it, as a machine does that loses its power, but for the disk's cache.
    pub(crate) async fn kill(&self) -> Result<()> {
        self.end(Signal::KILL).await
    }

    /// Freezes the server and every process of it.
    pub(crate) async fn freeze(&self) {
        self.signal_all(Signal::STOP).await;
    }

    /// Lets it go on.
    pub(crate) async fn thaw(&self) {
        self.signal_all(Signal::CONT).await;
    }

    async fn signal_all(&self, signal: Signal) {
        if let Some(postmaster) = self.server.lock().await.as_ref().and_then(Child::id) {
            // The parent first: a frozen one makes no more children.
            kill(postmaster, signal);
            children(postmaster).into_iter().for_each(|process| kill(process, signal));
        }
    }

    async fn end(&self, signal: Signal) -> Result<()> {
        let mut server = self.server.lock().await;
        let Some(mut child) = server.take() else { return Ok(()) };
        if let Some(postmaster) = child.id() {
            let backends = if signal == Signal::KILL { children(postmaster) } else { Vec::new() };
            for process in std::iter::once(postmaster).chain(backends) {
                kill(process, signal);
            }
        }
        let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
        if ended.is_err() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Kills one process of the server, if it has one that serves a client; the server then ends all the others.
    pub(crate) async fn kill_backend(&self) -> Result<()> {
        let mut admin = self.options("postgres", "postgres").connect().await?;
        // A session that is there whether or not a host has one just now.
        let victim =
            "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'
                      ORDER BY application_name = 'everfold-writer' DESC LIMIT 1";
        if let Some(process) = sqlx::query_scalar::<_, i32>(victim).fetch_optional(&mut admin).await? {
            kill(process.unsigned_abs(), Signal::KILL);
        }
        // The server ends this session as well.
        drop(admin);
        Ok(())
    }

    fn spawn(&self) -> Result<Child> {
        let log = self.log()?;
        let mut postgres = self.tool("postgres");
        // Small enough that checkpoints and their recycling happen within a run.
        postgres.args([
            "-h",
            "",
            "-c",
            "max_wal_size=128MB",
            "-c",
            "checkpoint_timeout=30s",
            "-c",
            "max_connections=100",
        ]);
        postgres.args(["-p", &PORT.to_string(), "-k"]).arg(&self.folder).arg("-D").arg(self.data());
        postgres.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0).kill_on_drop(true);
        postgres.spawn().context("can't start postgres")
    }

    fn log(&self) -> Result<File> {
        Ok(OpenOptions::new().create(true).append(true).open(self.log_file())?)
    }

    /// Beside the disk that may be full.
    fn log_file(&self) -> PathBuf {
        self.folder.with_extension("log")
    }

    fn last_log_lines(&self) -> String {
        let log = fs::read_to_string(self.log_file()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        command.current_dir(&self.folder);
        if let Some(user) = self.user {
            command.uid(user.id).gid(user.group);
        }
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn options(&self, user: &str, database: &str) -> PgConnectOptions {
        PgConnectOptions::new().socket(&self.folder).port(PORT).username(user).database(database)
    }
}

impl Drop for Postgres {
    /// Whatever ends the run: frozen processes don't notice that their parent is gone.
    fn drop(&mut self) {
        if let Some(postmaster) = self.server.get_mut().as_ref().and_then(Child::id) {
            let processes = children(postmaster);
            kill(postmaster, Signal::KILL);
            processes.into_iter().for_each(|process| kill(process, Signal::KILL));
        }
    }
}

/// The processes whose parent this is.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter(|process| parent_of(*process) == Some(parent)).collect()
}

fn parent_of(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may hold anything: what follows it is `STATE PARENT …`.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Sends a signal; a process that is gone already needs none.
pub(super) fn kill(process: u32, signal: Signal) {
    if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        let _ = kill_process(process, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_found_by_its_parent() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(children(std::process::id()).contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_user_is_two_numbers() {
        let user: User = "117:118".parse().unwrap();
        assert_eq!((user.id, user.group), (117, 118));
        assert!("postgres".parse::<User>().is_err());
    }
}
