//! A host as a process: started, stopped, killed, frozen, and started again when it ends by itself.

use std::fs::{self, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::postgres::kill;
use super::proxy::Proxy;

/// How long an orderly stop may take: commands under way have 10 seconds, and what is out 5 more.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// What makes the host forget, fold again and answer late more often than it would in production.
const SETTINGS: [&str; 8] = [
    "residents=8",
    "shards=2",
    "database_connections=8",
    "command_timeout_ms=4000",
    "quarantine_ms=1500",
    "modules_poll_ms=300",
    "writer_max_events=200",
    "shutdown_grace_seconds=10",
];

/// The module's file in each host's modules directory.
const MODULE_FILE: &str = "vault.wasm";

/// One host, its folder, its modules and its way to PostgreSQL.
pub(crate) struct Host {
    /// Where its API is.
    pub(crate) url: String,
    /// Its way to PostgreSQL.
    pub(crate) proxy: Proxy,
    binary: PathBuf,
    folder: PathBuf,
    listen: SocketAddr,
    database_url: String,
    process: Mutex<Process>,
}

struct Process {
    child: Option<Child>,
    /// Whether it is meant to run.
    is_wanted: bool,
    /// How long the log was when it was started.
    said_before: u64,
    /// Ends that nobody asked for, of a host that had been ready.
    crashes: Vec<String>,
    /// Orderly stops that weren't.
    bad_stops: Vec<String>,
}

impl Host {
    /// Prepares a host that keeps what it has in `folder`; it isn't started yet.
    pub(crate) async fn new(binary: &Path, folder: PathBuf, proxy: Proxy, module: &[u8]) -> Result<Self> {
        fs::create_dir_all(folder.join("modules"))?;
        let listen = TcpListener::bind((own_loopback(), 0)).await?.local_addr()?;
        let process =
            Process { child: None, is_wanted: false, said_before: 0, crashes: Vec::new(), bad_stops: Vec::new() };
        let host = Self {
            url: format!("http://{listen}"),
            binary: binary.to_owned(),
            folder,
            listen,
            database_url: super::postgres::Postgres::url_through(proxy.port),
            proxy,
            process: Mutex::new(process),
        };
        host.put_module(module)?;
        Ok(host)
    }

    /// Puts a module in the place of the present one, in one step as a careful tool does.
    pub(crate) fn put_module(&self, content: &[u8]) -> Result<()> {
        let modules = self.folder.join("modules");
        let hidden = modules.join(format!(".{MODULE_FILE}.part"));
        fs::write(&hidden, content)?;
        Ok(fs::rename(hidden, modules.join(MODULE_FILE))?)
    }

    /// Starts it where it isn't running.
    pub(crate) async fn start(&self) -> Result<()> {
        let mut process = self.process.lock().await;
        process.is_wanted = true;
        if process.child.is_none() {
            self.launch(&mut process)?;
        }
        Ok(())
    }

    /// Ends it as an operator does.
    pub(crate) async fn stop(&self) -> Result<()> {
        let mut process = self.process.lock().await;
        process.is_wanted = false;
        let Some(mut child) = process.child.take() else { return Ok(()) };
        // One that can't reach its database when it starts may give up at any moment.
        let was_ready = self.said_since(process.said_before).contains("ready: http");
        signal(&child, Signal::TERM);
        match timeout(STOP_PATIENCE, child.wait()).await {
            Ok(status) => {
                let status = status?;
                if was_ready && !status.success() {
                    process.bad_stops.push(format!("it stopped with {status}"));
                }
            }
            Err(_) => {
                process.bad_stops.push(format!("it didn't stop within {} s", STOP_PATIENCE.as_secs()));
                child.kill().await?;
            }
        }
        Ok(())
    }

    /// Ends it as a power cut does.
    pub(crate) async fn kill(&self) -> Result<()> {
        let mut process = self.process.lock().await;
        process.is_wanted = false;
        if let Some(mut child) = process.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Freezes it: it holds what it holds, and neither says nor hears anything.
    pub(crate) async fn freeze(&self) {
        self.signal(Signal::STOP).await;
    }

    /// Lets it go on.
    pub(crate) async fn thaw(&self) {
        self.signal(Signal::CONT).await;
    }

    async fn signal(&self, what: Signal) {
        if let Some(child) = &self.process.lock().await.child {
            signal(child, what);
        }
    }

    /// Looks after the host as a service manager does: starts it again where it ended by itself. Comes back only
    /// where it can't be started at all.
    pub(crate) async fn supervise(&self) {
        loop {
            sleep(Duration::from_millis(200)).await;
            let mut process = self.process.lock().await;
            let Some(Ok(Some(status))) = process.child.as_mut().map(Child::try_wait) else { continue };
            process.child = None;
            // One that can't reach its database when it starts may give up; one that served may not.
            if self.said_since(process.said_before).contains("ready: http") {
                process.crashes.push(self.told(status));
            }
            if process.is_wanted && self.launch(&mut process).is_err() {
                return;
            }
        }
    }

    /// Waits until it takes requests.
    pub(crate) async fn until_ready(&self, http: &reqwest::Client, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let asked = http.get(format!("{}/readyz", self.url)).timeout(Duration::from_secs(5)).send().await;
            if asked.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "it isn't ready after {} s:\n{}", patience.as_secs(), self.last_lines());
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// What it did that a host must not do: ends that nobody asked for, stops out of order, panics.
    pub(crate) async fn misdeeds(&self) -> Vec<String> {
        let process = self.process.lock().await;
        let log = fs::read(self.log_file()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        // A guest that panics says so in the same log, as a message of its own.
        let is_panic = |line: &&str| line.starts_with("thread '") && line.contains("panicked at");
        let panics = log.lines().filter(is_panic).map(|line| format!("a panic: {line}"));
        process.crashes.iter().chain(&process.bad_stops).cloned().chain(panics).collect()
    }

    fn launch(&self, process: &mut Process) -> Result<()> {
        process.said_before = fs::metadata(self.log_file()).map_or(0, |log| log.len());
        process.child = Some(self.spawn()?);
        Ok(())
    }

    fn spawn(&self) -> Result<Child> {
        let log = OpenOptions::new().create(true).append(true).open(self.log_file())?;
        let mut command = Command::new(&self.binary);
        command.args(["serve", "--listen", &self.listen.to_string()]);
        command.args(["--data-dir", "data", "--modules-dir", "modules"]);
        for setting in SETTINGS {
            command.args(["--set", setting]);
        }
        for (name, _) in std::env::vars_os() {
            // What is set around the driver isn't meant for its hosts.
            if name.to_string_lossy().starts_with("EVERFOLD_") {
                command.env_remove(name);
            }
        }
        command.env("DATABASE_URL", &self.database_url).env("NO_COLOR", "1").current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0).kill_on_drop(true);
        command.spawn().context("can't start the host")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("host.log")
    }

    /// What the log says behind this place.
    fn said_since(&self, place: u64) -> String {
        let log = fs::read(self.log_file()).unwrap_or_default();
        let new = log.get(usize::try_from(place).unwrap_or(usize::MAX)..).unwrap_or_default();
        String::from_utf8_lossy(new).into_owned()
    }

    fn told(&self, status: ExitStatus) -> String {
        format!("it ended by itself with {status}; its last words:\n{}", self.last_lines())
    }

    fn last_lines(&self) -> String {
        let log = fs::read_to_string(self.log_file()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }
}

/// An address of this run alone: a host's port is nobody's while the host is down, and on 127.0.0.1 another program could
/// take it.
fn own_loopback() -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 100 + high % 100, middle, low)
}

fn signal(child: &Child, what: Signal) {
    if let Some(process) = child.id() {
        kill(process, what);
    }
}
