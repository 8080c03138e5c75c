//! One postmaster: started, waited for until it takes connections, stopped.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio_util::sync::CancellationToken;

use super::launcher::Launcher;
use super::layout::Layout;
use super::{ClusterError, Options, init, pidfile};

/// How often a file or a child is looked at while something is waited for.
const POLL: Duration = Duration::from_millis(20);
/// How often a running postmaster is looked at.
const WATCH: Duration = Duration::from_millis(100);
/// How long a start waits for an earlier postmaster to go. One whose host was killed is still writing its last checkpoint.
const LOCK_WAIT: Duration = Duration::from_secs(60);
/// How long PostgreSQL may take to stop at once, before it's killed.
const QUIT_WAIT: Duration = Duration::from_secs(5);
/// Lines of the log that errors carry.
const TAIL_LINES: usize = 15;

/// A cluster's files, together with the way to run PostgreSQL on them.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) layout: Layout,
    launcher: Launcher,
    options: Options,
}

/// A postmaster that takes connections, or took them.
#[derive(Debug)]
pub(super) struct Postmaster {
    child: Child,
}

/// What came of one attempt to start.
enum Attempt {
    Ready(Postmaster),
    /// An earlier postmaster, or one of its processes, isn't gone yet.
    Held(String),
}

impl Site {
    /// Takes the data directory and makes the cluster when there is none.
    pub(super) fn prepare(options: Options) -> Result<Self, ClusterError> {
        let layout = Layout::open(&options.data_dir)?;
        let launcher = Launcher::find(&layout, &options.binaries, options.root_mode)?;
        init::ensure(&layout, &launcher, &options.binaries, options.fsync)?;
        Ok(Self { layout, launcher, options })
    }

    /// Starts a postmaster and waits until it takes connections.
    pub(super) fn start(&self, stop: &CancellationToken) -> Result<Postmaster, ClusterError> {
        let begun = Instant::now();
        loop {
            match self.attempt(stop)? {
                Attempt::Ready(postmaster) => return Ok(postmaster),
                Attempt::Held(tail) if begun.elapsed() > LOCK_WAIT => {
                    return Err(ClusterError::Held { data: self.layout.data.clone(), waited: LOCK_WAIT, tail });
                }
                Attempt::Held(_) => {
                    if pidfile::remove_stale(&self.layout) {
                        tracing::warn!("removed the postmaster.pid of a postmaster that is gone");
                    }
                    pause(10 * POLL, stop);
                }
            }
        }
    }

    fn attempt(&self, stop: &CancellationToken) -> Result<Attempt, ClusterError> {
        let begun = Instant::now();
        let log = self.layout.open_log()?;
        let from = log.metadata().map_or(0, |log| log.len());
        let mut postmaster = self.spawn(log)?;
        let tail = || tail_of(&self.layout.log, from);
        let log = || self.layout.log.clone();
        loop {
            if let Some(status) = postmaster.ended() {
                let tail = tail();
                if is_held(&tail) {
                    return Ok(Attempt::Held(tail));
                }
                return Err(ClusterError::Ended { status: status.to_string(), log: log(), tail });
            }
            if pidfile::is_ready(&self.layout, postmaster.pid()) {
                return Ok(Attempt::Ready(postmaster));
            }
            let waited = begun.elapsed();
            if stop.is_cancelled() {
                postmaster.stop(self.options.stop_timeout);
                return Err(ClusterError::Cancelled);
            }
            if waited > self.options.start_timeout {
                postmaster.stop(self.options.stop_timeout);
                return Err(ClusterError::Timeout { waited, log: log(), tail: tail() });
            }
            thread::sleep(POLL);
        }
    }

    fn spawn(&self, log: File) -> Result<Postmaster, ClusterError> {
        let program = self.options.binaries.bin_dir().join("postgres");
        let mut command = self.launcher.command(&program);
        command.arg("-D").arg(&self.layout.data);
        for setting in self.settings() {
            command.arg("-c").arg(setting);
        }
        let also_log = log.try_clone().map_err(ClusterError::file("open", &self.layout.log))?;
        let child = command.stdout(log).stderr(also_log).spawn().map_err(ClusterError::file("run", &program))?;
        Ok(Postmaster { child })
    }

    /// What must hold whatever `postgresql.conf` says.
    fn settings(&self) -> Vec<OsString> {
        let fixed = ["listen_addresses=", "port=5432", "unix_socket_permissions=0700", "logging_collector=off"];
        let mut settings: Vec<OsString> = fixed.iter().map(OsString::from).collect();
        settings.push(format!("unix_socket_directories={}", quoted(&self.layout.socket_dir)).into());
        if !self.options.fsync {
            settings.extend(["fsync=off", "full_page_writes=off", "synchronous_commit=off"].map(OsString::from));
        }
        settings
    }
}

impl Postmaster {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the postmaster ends, which is answered, or `stop` is asked for.
    pub(super) fn watch(&mut self, stop: &CancellationToken) -> Option<ExitStatus> {
        while !stop.is_cancelled() {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            thread::sleep(WATCH);
        }
        None
    }

    /// Stops the postmaster: in order, then at once, then by force. When this returns, it's gone.
    pub(super) fn stop(mut self, timeout: Duration) {
        for (signal, patience) in [(Signal::INT, timeout), (Signal::QUIT, QUIT_WAIT), (Signal::KILL, QUIT_WAIT)] {
            // An error says that it's gone already, which is looked at next.
            let _ = kill_process(Pid::from_child(&self.child), signal);
            let begun = Instant::now();
            while begun.elapsed() < patience {
                if self.ended().is_some() {
                    return;
                }
                thread::sleep(POLL);
            }
            tracing::warn!(?signal, seconds = patience.as_secs(), "PostgreSQL didn't stop in time");
        }
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the child is this process's own, and waited for here alone")
    }
}

/// Sleeps, but not on when `stop` is asked for.
pub(super) fn pause(time: Duration, stop: &CancellationToken) {
    let begun = Instant::now();
    while begun.elapsed() < time && !stop.is_cancelled() {
        thread::sleep(POLL);
    }
}

/// A directory as an element of a list, as PostgreSQL's settings quote it.
fn quoted(dir: &Path) -> String {
    format!("\"{}\"", dir.to_string_lossy().replace('"', "\"\""))
}

/// Whether a log ends with PostgreSQL's refusal to run beside another: by its lock file, or by the memory that the
/// processes of a killed postmaster still share.
fn is_held(tail: &str) -> bool {
    let lock_file = tail.contains("lock file \"") && tail.contains("\" already exists");
    lock_file || tail.contains("pre-existing shared memory block")
}

/// The last lines of a log from a place on.
fn tail_of(log: &Path, from: u64) -> String {
    let read = || {
        let mut bytes = Vec::new();
        let mut file = fs::File::open(log)?;
        file.seek(SeekFrom::Start(from))?;
        file.read_to_end(&mut bytes)?;
        std::io::Result::Ok(bytes)
    };
    let text = read().map_or_else(|error| error.to_string(), |bytes| String::from_utf8_lossy(&bytes).into_owned());
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_directory_is_told_from_other_failures() {
        assert!(is_held("FATAL:  lock file \"postmaster.pid\" already exists\nHINT:  Is another postmaster …"));
        assert!(is_held("FATAL:  lock file \"/d/run/.s.PGSQL.5432.lock\" already exists"));
        assert!(is_held("FATAL:  pre-existing shared memory block (key 10, ID 9) is still in use"));
        assert!(!is_held("FATAL:  could not create lock file \"postmaster.pid\": No space left on device"));
    }

    #[test]
    fn a_directory_with_a_comma_is_one_directory() {
        assert_eq!(quoted(Path::new("/a,b/\"c\"")), "\"/a,b/\"\"c\"\"\"");
    }

    #[test]
    fn the_tail_begins_where_this_start_began() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let lines: Vec<String> = (0..40).map(|n| format!("line {n:02}")).collect();
        fs::write(&log, lines.join("\n")).unwrap();
        assert_eq!(tail_of(&log, 38 * 8), "line 38\nline 39");
        assert_eq!(tail_of(&log, 0).lines().count(), TAIL_LINES);
    }
}
