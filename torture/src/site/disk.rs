//! PostgreSQL's disk: a small file system of its own that can be filled up, where the machine lets us mount one.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

/// Says to the second start of this program that it has a mount namespace of its own.
const INSIDE: &str = "EVERFOLD_TORTURE_MOUNTS";

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
}

impl Disk {
    /// Mounts a file system of `bytes` in memory at `folder`; `None` where that isn't possible.
    pub(crate) fn mount(folder: &Path, bytes: u64) -> Option<Self> {
        std::env::var_os(INSIDE)?;
        let options = format!("size={bytes},mode=0755");
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", &options, "everfold-torture"]).arg(folder).output();
        mounted.is_ok_and(|mounted| mounted.status.success()).then(|| Self { folder: folder.to_owned() })
    }

    /// Takes all that is free. The server may take some of it at the same moment: what is left then is less.
    pub(crate) fn fill(&self) -> Result<()> {
        let ballast = File::create(self.ballast()).context("can't make the ballast")?;
        let mut taken = 0;
        loop {
            let disk = statvfs(&self.folder)?;
            let free = disk.f_bavail * disk.f_frsize;
            if free == 0 {
                return Ok(());
            }
            match fallocate(&ballast, FallocateFlags::empty(), taken, free) {
                Ok(()) => taken += free,
                Err(Errno::NOSPC) => {}
                Err(error) => return Err(error).context("can't fill the disk"),
            }
        }
    }

    /// Gives it back.
    pub(crate) fn relieve(&self) -> Result<()> {
        fs::remove_file(self.ballast()).context("can't drop the ballast")
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}
