//! The host as a process, as an operator starts it.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::child::{self, Last, Process};
use super::metrics::Metrics;
use crate::wire::Wire;

/// How long it may take to start or stop. A loaded machine compiles modules slowly.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running host.
pub(crate) struct Host {
    /// Where its API is.
    pub(crate) address: SocketAddr,
    /// Where it looks for modules.
    modules: PathBuf,
    process: Process,
}

impl Host {
    /// Starts one that keeps what it has in `folder`, and waits until it is ready. All settings are the
    /// defaults: what is measured is what users get.
    pub(crate) async fn start(program: &Path, folder: &Path, database_url: &str, module: &[u8]) -> Result<Self> {
        let modules = folder.join("modules");
        fs::create_dir_all(&modules)?;
        let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        let log = File::create(folder.join("log"))?;
        let mut command = child::command(program, None, Last::Kill);
        command.args(["serve", "--listen", &address.to_string()]);
        command.args(["--data-dir", "data", "--modules-dir", "modules"]);
        for (name, _) in std::env::vars_os() {
            // What is set around the bench isn't meant for its host.
            if name.to_string_lossy().starts_with("EVERFOLD_") {
                command.env_remove(name);
            }
        }
        command.env("DATABASE_URL", database_url).env("NO_COLOR", "1").current_dir(folder);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process = Process::start(command, Last::Kill)?;
        let mut host = Self { address, modules, process };
        host.put_module("bank-account", module)?;
        host.until_ready(folder).await?;
        Ok(host)
    }

    /// Puts a module into the place of the present one, in one step as a careful tool does.
    pub(crate) fn put_module(&self, name: &str, content: &[u8]) -> Result<()> {
        let hidden = self.modules.join(format!(".{name}.part"));
        fs::write(&hidden, content)?;
        Ok(fs::rename(hidden, self.modules.join(format!("{name}.wasm")))?)
    }

    /// Its number.
    pub(crate) fn process(&self) -> Option<u32> {
        self.process.id()
    }

    /// The memory that it has, in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        let process = self.process.id().context("the host has ended")?;
        resident(&fs::read_to_string(format!("/proc/{process}/status"))?).context("the kernel doesn't tell memory")
    }

    /// What it counts and measures itself.
    pub(crate) async fn metrics(&self) -> Result<Metrics> {
        let mut wire = Wire::connect(self.address).await?;
        let status = wire.get("/metrics").await?;
        anyhow::ensure!(status == 200, "the host tells no metrics: {status}");
        Ok(Metrics::read(std::str::from_utf8(wire.body())?))
    }

    /// Ends it as an operator does.
    pub(crate) async fn stop(self) -> Result<()> {
        self.process.stop(Signal::TERM, PATIENCE).await.context("the host")
    }

    async fn until_ready(&mut self, folder: &Path) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(mut wire) = Wire::connect(self.address).await
                && wire.get("/readyz").await.is_ok_and(|status| status == 200)
            {
                return Ok(());
            }
            if Instant::now() > deadline || self.process.has_ended()? {
                bail!("the host doesn't start:\n{}", fs::read_to_string(folder.join("log")).unwrap_or_default());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(resident("Name:\ta\nVmHWM:\t 9 kB\nVmRSS:\t  2048 kB\n"), Some(2 << 20));
        assert_eq!(resident("Name:\ta\n"), None);
    }
}
