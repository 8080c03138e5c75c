//! As whom, and tied to whose life, PostgreSQL's programs are started.
//!
//! PostgreSQL refuses to run as root, and would outlive a host that is killed. Both are settled by programs of util-linux
//! that run before it in the same process, so the process id stays that of the host's child:
//!
//! - `setpriv --pdeathsig INT` has the kernel send SIGINT (PostgreSQL's fast shutdown) when the *thread* that started it
//!   dies. That thread therefore lives as long as the cluster.
//! - As root, `unshare --user` makes a namespace in which root is called `nobody`. Files stay root's, and directories that
//!   only root may enter stay open to it.
//! - Where namespaces are forbidden, as in most containers, PostgreSQL runs as an account of its own, the cluster's files
//!   are given to that one, and a single capability takes it past directories that only root may enter.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::layout::Layout;
use super::{Binaries, ClusterError};

/// How a host that is root gives up being root for PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootMode {
    /// In a user namespace that calls root `nobody`.
    Namespace,
    /// As the account `postgres`, or `nobody` where there is none; the cluster's files become that one's.
    Account,
}

/// One way to start PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Way {
    /// What the way is called in errors.
    name: &'static str,
    /// The programs to go through, with their arguments.
    prefix: Vec<String>,
    /// The user and group that the files must belong to.
    owner: Option<(u32, u32)>,
}

/// Starts PostgreSQL's programs in the way that was found to work here.
#[derive(Debug)]
pub(super) struct Launcher {
    prefix: Vec<String>,
}

impl Launcher {
    /// Tries the ways to start PostgreSQL on these files, the best first.
    pub(super) fn find(
        layout: &Layout,
        binaries: &Binaries,
        root_mode: Option<RootMode>,
    ) -> Result<Self, ClusterError> {
        let ways = if rustix::process::geteuid().is_root() {
            let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
            ways_for_root(root_mode, layout.owner(), &passwd)
        } else {
            ways_for_user()
        };
        let mut attempts = Vec::new();
        for way in ways {
            match way.check(layout, binaries) {
                Ok(()) => {
                    if way.prefix.is_empty() {
                        tracing::warn!("no setpriv (util-linux) here: PostgreSQL would outlive a host that is killed");
                    }
                    tracing::debug!(way = way.name, "found a way to run PostgreSQL");
                    return Ok(Self { prefix: way.prefix });
                }
                Err(reason) => attempts.push(format!("  {}: {reason}", way.name)),
            }
        }
        Err(ClusterError::NoUser { dir: layout.root.clone(), attempts })
    }

    /// A command that runs one of PostgreSQL's programs, without input.
    pub(super) fn command(&self, program: &Path) -> Command {
        command(&self.prefix, program)
    }
}

impl Way {
    /// Whether PostgreSQL can run this way: as a user that has a name (it asks for it), with its programs and the
    /// cluster's folder in reach.
    fn check(&self, layout: &Layout, binaries: &Binaries) -> Result<(), String> {
        if let Some((uid, gid)) = self.owner {
            layout.give_to(uid, gid).map_err(|error| format!("can't hand over the files: {error}"))?;
        }
        let script = r#"id -un >/dev/null && "$1" --version >/dev/null && test -w "$2" && test -x "$2" && exit
            echo "can't run $1 and write to $2 as user $(id -u)" >&2; exit 1"#;
        let mut check = command(&self.prefix, Path::new("sh"));
        check.args(["-c", script, "sh"]).arg(binaries.bin_dir().join("postgres")).arg(&layout.root);
        let output = check.output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(said.trim().lines().collect::<Vec<_>>().join("; "))
    }
}

/// A program behind a way's prefix.
fn command(prefix: &[String], program: &Path) -> Command {
    let mut command = match prefix.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        None => Command::new(program),
    };
    // PGDATA, PGPORT and their like are meant for other servers, and messages are read by this code.
    for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C");
    // The host's working directory may be closed to the user that PostgreSQL runs as.
    command.current_dir("/");
    // Ctrl-C in a terminal goes to the whole group: the host must hear it alone, and stop PostgreSQL last.
    command.process_group(0);
    command.stdin(Stdio::null());
    command
}

/// The ways of a host that isn't root.
fn ways_for_user() -> Vec<Way> {
    vec![
        Way { name: "as this user, ending with the host", prefix: words("setpriv --pdeathsig INT --"), owner: None },
        Way { name: "as this user", prefix: Vec::new(), owner: None },
    ]
}

/// The ways of a host that is root. Data that belongs to an account already stays with it.
fn ways_for_root(mode: Option<RootMode>, data_owner: Option<(u32, u32)>, passwd: &str) -> Vec<Way> {
    let data_owner = data_owner.filter(|(uid, _)| *uid != 0);
    let mut ways = Vec::new();
    if mode == Some(RootMode::Namespace) || (mode.is_none() && data_owner.is_none()) {
        // 65534 is `nobody`: the user must have a name, and every system has this one.
        let prefix = words("unshare --user --map-user=65534 --map-group=65534 -- setpriv --pdeathsig INT --");
        ways.push(Way { name: "as root in a user namespace", prefix, owner: None });
    }
    if mode == Some(RootMode::Namespace) {
        return ways;
    }
    let named = || ["postgres", "nobody"].iter().find_map(|name| account(passwd, name));
    if let Some((uid, gid)) = data_owner.or_else(named) {
        let switch = format!("setpriv --pdeathsig INT --reuid {uid} --regid {gid} --clear-groups");
        let pass = "--inh-caps=+dac_override --ambient-caps=+dac_override";
        let owner = Some((uid, gid));
        let name = "as an account, past closed directories";
        ways.push(Way { name, prefix: words(&format!("{switch} {pass} --")), owner });
        ways.push(Way { name: "as an account", prefix: words(&format!("{switch} --")), owner });
    }
    ways
}

/// User and group of an account in the text of `/etc/passwd`.
fn account(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut ids = line.split(':').skip(2).map(str::parse);
    Some((ids.next()?.ok()?, ids.next()?.ok()?))
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
        nobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin\n\
        postgres:x:101:104:PostgreSQL:/var/lib/postgresql:/bin/bash\n";

    fn names(ways: &[Way]) -> Vec<&str> {
        ways.iter().map(|way| way.prefix[0].as_str()).collect()
    }

    #[test]
    fn accounts_are_read() {
        assert_eq!(account(PASSWD, "postgres"), Some((101, 104)));
        assert_eq!(account(PASSWD, "nobody"), Some((65534, 65533)));
        assert_eq!(account(PASSWD, "post"), None);
    }

    #[test]
    fn root_tries_a_namespace_first_and_accounts_after() {
        let ways = ways_for_root(None, None, PASSWD);
        assert_eq!(names(&ways), ["unshare", "setpriv", "setpriv"]);
        assert_eq!(ways[1].owner, Some((101, 104)));
        let without_postgres = PASSWD.replace("postgres:", "mysql:");
        assert_eq!(ways_for_root(None, None, &without_postgres)[1].owner, Some((65534, 65533)));
        assert_eq!(names(&ways_for_root(None, None, "")), ["unshare"]);
    }

    #[test]
    fn data_stays_with_the_account_that_owns_it() {
        let ways = ways_for_root(None, Some((1000, 1001)), PASSWD);
        assert_eq!(names(&ways), ["setpriv", "setpriv"]);
        assert!(ways.iter().all(|way| way.owner == Some((1000, 1001))));
        assert_eq!(names(&ways_for_root(None, Some((0, 0)), PASSWD))[0], "unshare");
    }
}
