//! A PostgreSQL of the bench's own, as durable as its disk: the same server, with the same settings, for all.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use tokio::process::Command;
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, Config, NoTls};

use super::child::{self, Last, Process};

/// How long the server may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(90);

/// Its port, which only names the socket: it listens on no network.
const PORT: u16 = 5432;

/// PostgreSQL's immediate shutdown: the server ends all its processes and then itself.
const ABORT: Last = Last::Quit;

/// What differs from a fresh server's settings: room for the peers' connections, and checkpoints far enough apart that
/// none falls into one subject's seconds by chance. Nothing that makes a commit less durable.
const SETTINGS: [&str; 4] =
    ["max_connections=300", "shared_buffers=1GB", "max_wal_size=16GB", "checkpoint_timeout=30min"];

/// The superuser, and the database that every cluster has.
pub(crate) const ADMIN: &str = "postgres";

/// The settings without which a commit isn't one.
const DURABLE: [&str; 3] = ["fsync", "synchronous_commit", "full_page_writes"];

/// Whom PostgreSQL runs as where the bench is root, which it refuses to run as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User {
    pub(super) id: u32,
    pub(super) group: u32,
}

impl FromStr for User {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (id, group) = text.split_once(':').context("a user is written UID:GID")?;
        Ok(Self { id: id.parse()?, group: group.parse()? })
    }
}

/// A running server.
pub(crate) struct Postgres {
    folder: PathBuf,
    server: Process,
}

impl Postgres {
    /// Makes a cluster in `folder`, starts its server, and makes sure that its commits are durable.
    pub(crate) async fn create(bin: &Path, folder: &Path, user: Option<User>) -> Result<Self> {
        fs::create_dir(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        let disk = rustix::fs::statfs(folder)?;
        // The number by which the kernel names tmpfs.
        ensure!(
            disk.f_type != 0x0102_1994,
            "{} is in memory, where nothing is durable: name another folder by --folder",
            folder.display(),
        );
        if let Some(user) = user {
            chown(folder, Some(user.id), Some(user.group))?;
        }
        let tool = |name: &str| {
            let mut command = child::command(&bin.join(name), user, ABORT);
            command.current_dir(folder);
            command
        };
        let data = folder.join("data");
        let mut initdb = tool("initdb");
        initdb.args(["--username=postgres", "--auth=trust", "--no-locale", "--encoding=UTF8", "-D"]);
        let made = initdb.arg(&data).kill_on_drop(true).output().await.context("can't run initdb")?;
        ensure!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        let mut postgres = Self { folder: folder.to_owned(), server: spawn(tool("postgres"), folder, &data)? };
        postgres.until_ready().await?;
        postgres.check_durable().await?;
        Ok(postgres)
    }

    /// Makes a login that is no superuser.
    pub(crate) async fn create_role(&self, name: &str) -> Result<()> {
        let admin = self.connect(ADMIN, ADMIN).await?;
        Ok(admin.batch_execute(&format!("CREATE ROLE {name} LOGIN CREATEROLE")).await?)
    }

    /// Makes a database.
    pub(crate) async fn create_database(&self, name: &str, owner: &str) -> Result<()> {
        let admin = self.connect(ADMIN, ADMIN).await?;
        Ok(admin.batch_execute(&format!("CREATE DATABASE {name} OWNER {owner}")).await?)
    }

    /// A connection to a database, as this user.
    pub(crate) async fn connect(&self, user: &str, database: &str) -> Result<Client> {
        let mut config = Config::new();
        config.host_path(&self.folder).port(PORT).user(user).dbname(database);
        let (client, connection) = config.connect(NoTls).await?;
        // It ends with the client; what went wrong is what the client's next call says.
        tokio::spawn(connection);
        Ok(client)
    }

    /// The address of a database, for this user.
    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://{user}@localhost/{database}?host={folder}&port={PORT}")
    }

    /// The folder of its socket.
    pub(crate) fn socket(&self) -> (&Path, u16) {
        (&self.folder, PORT)
    }

    /// Its first process.
    pub(crate) fn process(&self) -> Option<u32> {
        self.server.id()
    }

    /// Writes what is dirty, so that one subject doesn't pay for another's pages.
    pub(crate) async fn checkpoint(&self) -> Result<()> {
        Ok(self.connect(ADMIN, ADMIN).await?.batch_execute("CHECKPOINT").await?)
    }

    /// What it says of its version.
    pub(crate) async fn version(&self) -> Result<String> {
        let row = self.connect(ADMIN, ADMIN).await?.query_one("SHOW server_version", &[]).await?;
        Ok(row.get(0))
    }

    /// Stops it; sessions are ended.
    pub(crate) async fn stop(self) -> Result<()> {
        self.server.stop(Signal::INT, PATIENCE).await.context("PostgreSQL")
    }

    async fn until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.connect(ADMIN, ADMIN).await.is_err() {
            if Instant::now() > deadline || self.server.has_ended()? {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                bail!("PostgreSQL doesn't start:\n{log}");
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn check_durable(&self) -> Result<()> {
        let admin = self.connect(ADMIN, ADMIN).await?;
        for setting in DURABLE {
            let value: String = admin.query_one(&format!("SHOW {setting}"), &[]).await?.get(0);
            ensure!(value == "on", "{setting} is {value}: commits wouldn't be durable");
        }
        Ok(())
    }
}

fn spawn(mut postgres: Command, folder: &Path, data: &Path) -> Result<Process> {
    let log = File::create(folder.join("log"))?;
    for setting in SETTINGS {
        postgres.args(["-c", setting]);
    }
    postgres.args(["-h", "", "-p", &PORT.to_string(), "-k"]).arg(folder).arg("-D").arg(data);
    postgres.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Process::start(postgres, ABORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_two_numbers() {
        let user: User = "117:118".parse().unwrap();
        assert_eq!((user.id, user.group), (117, 118));
        assert!("postgres".parse::<User>().is_err());
    }
}
