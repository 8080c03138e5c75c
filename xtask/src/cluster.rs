//! A PostgreSQL cluster that lives as long as one command of xtask.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::process::output;

/// How long starting and stopping may take: seconds on a quiet machine, much more on one that compiles.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running cluster without passwords, reached by a unix socket in a private folder; dropping it removes it.
pub(crate) struct TemporaryCluster {
    folder: PathBuf,
    server: Child,
}

impl TemporaryCluster {
    /// Starts one with the binaries in `bin`, whose database these files of SQL have been applied to, in this order.
    pub(crate) fn start(bin: &Path, migrations: &[PathBuf]) -> Result<TemporaryCluster> {
        let folder = std::env::temp_dir().join(format!("everfold-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("can't make {}", folder.display()))?;
        match start_in(bin, &folder, migrations) {
            Ok(server) => {
                let mut cluster = TemporaryCluster { folder, server };
                cluster.wait_until_ready()?;
                Ok(cluster)
            }
            Err(error) => {
                // The first error is the one to tell.
                let _ = fs::remove_dir_all(&folder);
                Err(error)
            }
        }
    }

    /// What `DATABASE_URL` is set to.
    pub(crate) fn url(&self) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://postgres@localhost/postgres?host={folder}")
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let status_file = self.folder.join("data/postmaster.pid");
        while Instant::now() < deadline {
            // Its eighth line says how far the server is.
            let status = fs::read_to_string(&status_file).unwrap_or_default();
            if status.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
                return Ok(());
            }
            if let Some(ended) = self.server.try_wait()? {
                bail!("the temporary PostgreSQL ended with {ended}\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the temporary PostgreSQL wasn't ready within {} s\n{}", PATIENCE.as_secs(), self.log())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn stop(&mut self) -> Result<()> {
        let server = Pid::from_child(&self.server);
        // The fast shutdown: sessions end, nothing waits for them.
        kill_process(server, Signal::INT)?;
        let deadline = Instant::now() + PATIENCE;
        while self.server.try_wait()?.is_none() {
            if Instant::now() > deadline {
                self.server.kill()?;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for TemporaryCluster {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("can't stop the temporary PostgreSQL: {error}");
        }
        // A folder left in the temporary files does no harm.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn start_in(bin: &Path, folder: &Path, migrations: &[PathBuf]) -> Result<Child> {
    let user = unprivileged_user()?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    if let Some(user) = user {
        chown(folder, Some(user.id), Some(user.group))?;
    }
    let as_user = |tool: &str| {
        let mut command = Command::new(bin.join(tool));
        command.current_dir(folder);
        if let Some(user) = user {
            command.uid(user.id).gid(user.group);
        }
        command
    };
    let data = folder.join("data");
    let mut initdb = as_user("initdb");
    initdb.args(["--username=postgres", "--auth=trust", "--no-locale", "--encoding=UTF8", "--no-sync", "-D"]);
    output(initdb.arg(&data))?;
    for migration in migrations {
        apply(as_user("postgres"), &data, migration).with_context(|| format!("can't apply {}", migration.display()))?;
    }
    let log = File::create(folder.join("log"))?;
    let mut postgres = as_user("postgres");
    // Nothing in it outlives the command: it needn't be durable.
    postgres.args(["-F", "-h", "", "-k"]).arg(folder).arg("-D").arg(&data);
    postgres.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    postgres.spawn().context("can't start postgres")
}

/// Runs a file of SQL as one transaction by the server itself, in its mode without clients: a machine without `psql`,
/// and a host that doesn't compile before its queries are described, are no obstacle.
fn apply(mut postgres: Command, data: &Path, file: &Path) -> Result<()> {
    let sql = fs::read_to_string(file)?;
    postgres.args(["--single", "-j", "-F", "-c", "exit_on_error=on", "-c", "log_min_messages=error", "-D"]);
    postgres.arg(data).arg("postgres").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut server = postgres.spawn().context("can't start postgres")?;
    let mut input = server.stdin.take().context("postgres has no input")?;
    // A server that gives up early closes its end; what it says then is the better error.
    let _ = input.write_all(one_command(&sql).as_bytes());
    drop(input);
    let ended = server.wait_with_output()?;
    if !ended.status.success() {
        bail!("{}", String::from_utf8_lossy(&ended.stderr).trim_end());
    }
    Ok(())
}

/// In this mode a semicolon before an empty line ends a command, even within a function's body; the file is one.
fn one_command(sql: &str) -> String {
    let filled = sql.lines().map(|line| if line.is_empty() { " " } else { line });
    filled.collect::<Vec<_>>().join("\n")
}

/// Who PostgreSQL runs as.
#[derive(Clone, Copy)]
pub(crate) struct User {
    pub(crate) id: u32,
    pub(crate) group: u32,
}

/// Root starts PostgreSQL as somebody else, since it refuses to run as root; everybody else as themselves.
pub(crate) fn unprivileged_user() -> Result<Option<User>> {
    if !rustix::process::getuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").context("can't read the list of users")?;
    let user = ["postgres", "nobody"].iter().find_map(|name| find_user(&users, name));
    user.map(Some).context("PostgreSQL doesn't run as root, and there is no user postgres or nobody to run it as")
}

fn find_user(users: &str, name: &str) -> Option<User> {
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some(User { id: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_a_migration_is_empty() {
        let command = one_command("create table a ();\n\n\ncreate table b ();\n\n");
        assert_eq!(command, "create table a ();\n \n \ncreate table b ();\n ");
    }

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let users = "root:x:0:0:root:/:/bin/sh\nnobody2:x:7:7::/:\nnobody:x:65534:65533:nobody:/:/bin/false\n";
        let user = find_user(users, "nobody").unwrap();
        assert_eq!((user.id, user.group), (65534, 65533));
        assert!(find_user(users, "postgres").is_none());
    }
}
