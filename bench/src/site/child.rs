//! Processes that never outlive the bench: not a run that is broken off or panics, and not a bench that is killed.

use std::path::Path;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::User;

/// How long a process may take to end that wasn't asked in order.
const PATIENCE: Duration = Duration::from_secs(15);

/// How a process is ended where nobody stops it in order: so that nothing is left of what it has started itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    /// It has started nothing.
    Kill,
    /// It ends what it has started when it is told to quit.
    Quit,
}

impl Last {
    fn signal(self) -> Signal {
        match self {
            Self::Kill => Signal::KILL,
            Self::Quit => Signal::QUIT,
        }
    }

    /// The signal's name.
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Quit => "QUIT",
        }
    }
}

/// A process that ends with this value.
pub(super) struct Process {
    child: Child,
    last: Last,
}

impl Process {
    /// Starts it.
    pub(super) fn start(mut command: Command, last: Last) -> Result<Self> {
        // A terminal's Ctrl-C goes to the whole group: the bench hears it alone, and ends the others.
        let child = command.process_group(0).spawn().with_context(|| format!("can't start {command:?}"))?;
        Ok(Self { child, last })
    }

    /// Its number; `None` once it has ended.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub(super) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Asks it to end, and waits until it has.
    pub(super) async fn stop(mut self, signal: Signal, patience: Duration) -> Result<()> {
        self.signal(signal).context("it has ended already")?;
        let ended = tokio::time::timeout(patience, self.child.wait()).await.context("it doesn't stop")??;
        ensure!(ended.success(), "it stopped with {ended}");
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Option<()> {
        let process = Pid::from_raw(i32::try_from(self.id()?).ok()?)?;
        kill_process(process, signal).ok()
    }
}

impl Drop for Process {
    /// Ends it, and waits: its folder can only be removed when nothing writes to it any more.
    fn drop(&mut self) {
        if self.signal(self.last.signal()).is_none() {
            return;
        }
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begun.elapsed() > PATIENCE {
                // Nothing reports an error from here; what is left to do is what can't be refused.
                let _ = self.child.start_kill();
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A command whose process the kernel sends `last` when the bench is gone, however that came: `setpriv` asks for it, and
/// becomes the program. Where there is no `setpriv`, a bench that is killed by force leaves its processes behind.
///
/// The kernel means the thread that starts it: that must be the bench's first, which lives to its end.
pub(super) fn command(program: &Path, user: Option<User>, last: Last) -> Command {
    let mut command = if has_setpriv() {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", last.name(), "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    if let Some(user) = user {
        command.uid(user.id).gid(user.group);
    }
    command
}

fn has_setpriv() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let tried = std::process::Command::new("setpriv").args(["--pdeathsig", "KILL", "--", "true"]).output();
        tried.is_ok_and(|output| output.status.success())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_ends_when_it_is_dropped() {
        let mut sleep = command(Path::new("sleep"), None, Last::Quit);
        sleep.arg("600");
        let process = Process::start(sleep, Last::Quit).unwrap();
        let folder = format!("/proc/{}", process.id().unwrap());
        assert!(Path::new(&folder).exists());
        drop(process);
        assert!(!Path::new(&folder).exists(), "it has ended, and was waited for");
    }

    #[tokio::test]
    async fn a_process_that_is_stopped_says_how_it_ended() {
        let mut shell = command(Path::new("sh"), None, Last::Kill);
        shell.args(["-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done"]);
        shell.stdout(std::process::Stdio::piped());
        let mut process = Process::start(shell, Last::Kill).unwrap();
        let mut said = [0; 5];
        tokio::io::AsyncReadExt::read_exact(process.child.stdout.as_mut().unwrap(), &mut said).await.unwrap();
        let ended = process.stop(Signal::TERM, Duration::from_secs(60)).await;
        assert!(ended.unwrap_err().to_string().contains('3'));
    }
}
