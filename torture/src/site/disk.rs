//! PostgreSQL's disk: a small file system of its own that can be filled up, where the machine lets us mount one.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::fs::statvfs;

/// Says to the second start of this program that it has a mount namespace of its own.
const INSIDE: &str = "EVERFOLD_TORTURE_MOUNTS";

/// Attempts to find the size of what a busy disk holds.
const TRIES: usize = 100;

/// Starts this program again in a mount namespace of its own, so that what it mounts is gone with its processes however
/// they end. Comes back where that was done already, or can't be: only root may, and containers may forbid it.
pub(crate) fn enter_private_mounts() {
    if std::env::var_os(INSIDE).is_some() || !rustix::process::geteuid().is_root() {
        return;
    }
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]);
        command
    };
    let is_allowed = unshare().arg("true").output().is_ok_and(|tried| tried.status.success());
    if let (true, Ok(program)) = (is_allowed, std::env::current_exe()) {
        // It comes back only with an error; then there is no full disk in this run.
        let _ = unshare().arg(program).args(std::env::args_os().skip(1)).env(INSIDE, "1").exec();
    }
}

/// A disk that can be filled up.
pub(crate) struct Disk {
    folder: PathBuf,
    bytes: u64,
}

impl Disk {
    /// Mounts a file system of `bytes` in memory at `folder`; `None` where that isn't possible.
    pub(crate) fn mount(folder: &Path, bytes: u64) -> Option<Self> {
        std::env::var_os(INSIDE)?;
        let options = format!("size={bytes},mode=0755");
        mount(&["-t", "tmpfs", "-o", &options, "everfold-torture"], folder).ok()?;
        Some(Self { folder: folder.to_owned(), bytes })
    }

    /// Takes all that is free, by making the disk as small as what it holds: that costs no memory.
    pub(crate) fn fill(&self) -> Result<()> {
        for _ in 0..TRIES {
            let disk = statvfs(&self.folder)?;
            let used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize;
            // The server may have taken more at the same moment: then it isn't taken.
            if self.resize(used).is_ok() {
                return Ok(());
            }
        }
        bail!("can't fill the disk")
    }

    /// Gives it back.
    pub(crate) fn relieve(&self) -> Result<()> {
        self.resize(self.bytes)
    }

    fn resize(&self, bytes: u64) -> Result<()> {
        mount(&["-o", &format!("remount,size={bytes}")], &self.folder)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Else the folder below it couldn't be removed. Whoever is still in it keeps it until they are gone.
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).output();
    }
}

fn mount(arguments: &[&str], folder: &Path) -> Result<()> {
    let mounted = Command::new("mount").args(arguments).arg(folder).output().context("can't run mount")?;
    ensure!(mounted.status.success(), "can't mount: {}", String::from_utf8_lossy(&mounted.stderr).trim_end());
    Ok(())
}
