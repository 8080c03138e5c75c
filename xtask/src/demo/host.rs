//! A host as a process of its own, stopped when the command that started it ends, however it ends.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::client::{Client, Request};
use crate::postgres;
use crate::workspace::Workspace;

/// The port that the host takes, if it is free.
const PORT: u16 = 7400;

/// How long the host may take to be ready (it makes a PostgreSQL cluster and compiles the module), and to stop.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running host.
pub(crate) struct Host {
    process: Child,
    base: String,
    log: PathBuf,
}

impl Host {
    /// Starts the host that was just built, with its data and modules below `folder`.
    pub(crate) fn start(workspace: &Workspace, folder: &Path, postgres_bin: &Path) -> Result<Host> {
        let listen = format!("127.0.0.1:{}", free_port()?);
        let log = folder.join("host.log");
        let log_file = File::create(&log)?;
        let mut host = Command::new(workspace.target.join("debug/everfold"));
        host.arg("serve").args(["--listen", &listen]);
        host.arg("--data-dir").arg(folder.join("data")).arg("--modules-dir").arg(folder.join("modules"));
        // It is the same whatever the user has set, and never writes into the user's database.
        host.env_remove("DATABASE_URL");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("EVERFOLD_")) {
            host.env_remove(name);
        }
        host.env(postgres::SETTING, postgres_bin);
        host.stdin(Stdio::null()).stdout(log_file.try_clone()?).stderr(log_file);
        // In a group of its own, so that Ctrl-C reaches only xtask, which then stops the host once and in order.
        let process = host.process_group(0).spawn().context("can't start the host")?;
        Ok(Host { process, base: format!("http://{listen}"), log })
    }

    /// Where it answers, such as `http://127.0.0.1:7400`.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// The file with its log.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// The end of its log.
    pub(crate) fn last_log_lines(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Its exit status, if it has ended.
    pub(super) fn has_ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.process.try_wait()?)
    }

    /// Waits until the host takes commands.
    pub(crate) fn wait_until_ready(&mut self, interrupted: &Arc<AtomicBool>) -> Result<()> {
        let client = Client::new(&self.base, Arc::clone(interrupted));
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if client.send(&Request::get("/readyz")).is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            if let Some(ended) = self.has_ended()? {
                bail!("the host ended with {ended}; its log ends with:\n{}", self.last_log_lines());
            }
            if interrupted.load(std::sync::atomic::Ordering::Relaxed) {
                bail!("interrupted");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("the host wasn't ready within {} s; its log ends with:\n{}", PATIENCE.as_secs(), self.last_log_lines())
    }

    /// Asks the host to stop, and waits until it has; fails if it didn't end well.
    pub(crate) fn stop(mut self) -> Result<()> {
        match self.end()? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("the host stopped with {status}; its log ends with:\n{}", self.last_log_lines()),
            None => bail!("the host didn't stop within {} s and was killed", PATIENCE.as_secs()),
        }
    }

    /// Ends the process; `None` if it had to be killed.
    fn end(&mut self) -> Result<Option<ExitStatus>> {
        if let Some(status) = self.has_ended()? {
            return Ok(Some(status));
        }
        kill_process(Pid::from_child(&self.process), Signal::TERM)?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.has_ended()? {
                return Ok(Some(status));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.process.kill()?;
        self.process.wait()?;
        Ok(None)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("can't stop the host: {error}");
        }
    }
}

/// The usual port, or another where that one is taken.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", PORT)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)))?;
    Ok(listener.local_addr()?.port())
}
