//! This machine: disk, files, the address, the modules.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::statvfs;
use rustix::process::{Resource, geteuid, getrlimit};

use super::report::Report;
use crate::cli::serve::engine_options;
use crate::config::Settings;
use crate::modules;
use crate::runtime::{Engine, EngineOptions};

/// Less free disk than this is told, in bytes.
const LOW_DISK: u64 = 5 << 30;
/// With less than this a private cluster soon stops, in bytes.
const NO_DISK: u64 = 256 << 20;
/// Files that a host needs under load: connections to it and to PostgreSQL, modules.
const FILES: u64 = 4_096;

pub(super) fn look(settings: &Settings, report: &mut Report) {
    disk(&settings.data_dir, report);
    compiled(&settings.data_dir.join("compiled"), report);
    files(report);
    address(settings, report);
    modules(settings, report);
}

fn disk(data_dir: &Path, report: &mut Report) {
    // The first start makes it: until then its nearest parent tells.
    let Some(there) = data_dir.ancestors().find(|folder| folder.exists()).or(Some(Path::new("."))) else { return };
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    match statvfs(there) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let said = format!("{:.1} GiB free for {}", free as f64 / f64::from(1 << 30), data_dir.display());
            let advice = "make room: a private cluster lies there, and compiled modules";
            match free {
                0..NO_DISK => report.broken("disk", said, advice),
                NO_DISK..LOW_DISK => report.warning("disk", said, advice),
                _ => report.ok("disk", said),
            }
        }
        Err(error) => {
            report.warning("disk", format!("{} can't be looked at: {error}", there.display()), "check data_dir");
        }
    }
}

/// Who can write compiled code can run code in the host.
fn compiled(dir: &Path, report: &mut Report) {
    let Ok(found) = fs::metadata(dir) else {
        report.ok("compiled modules", "none yet");
        return;
    };
    let mode = found.permissions().mode() & 0o777;
    if found.uid() != geteuid().as_raw() {
        let said = format!("{} belongs to user {}, who could run code in the host", dir.display(), found.uid());
        report.broken("compiled modules", said, "run the host (and the doctor) as its owner, or remove the directory");
    } else if mode & 0o077 != 0 {
        let said = format!("{} has mode {mode:o}: others reach code that the host runs", dir.display());
        report.broken("compiled modules", said, "remove the directory: the host makes it anew");
    } else {
        report.ok("compiled modules", format!("{} is the host's alone", dir.display()));
    }
}

fn files(report: &mut Report) {
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < FILES => {
            let advice = "raise it: LimitNOFILE= of the systemd unit, or `ulimit -n`";
            report.warning("open files", format!("{limit} files and sockets may be open"), advice);
        }
        Some(limit) => report.ok("open files", format!("{limit} may be open")),
        None => report.ok("open files", "not limited"),
    }
}

fn address(settings: &Settings, report: &mut Report) {
    let listen = settings.listen;
    if listen.ip().is_loopback() {
        report.ok("address", format!("{listen} is reached from this machine alone"));
    } else {
        let said = format!("{listen} is reached from other machines, and Everfold has no credentials yet");
        report.warning(
            "address",
            said,
            "put a proxy that authenticates in front of it, and close the port to all others",
        );
    }
}

fn modules(settings: &Settings, report: &mut Report) {
    // As the host would judge them, but a few places are enough to try one module after the other, and nothing is kept.
    let options = EngineOptions { max_instances: 8, cache_dir: None, ..engine_options(settings) };
    let engine = match Engine::new(options) {
        Ok(engine) => engine,
        Err(error) => {
            let advice = "raise the limit of address space (`ulimit -v`), or see whether vm.overcommit_memory is 2";
            return report.broken("modules", format!("{:#}", anyhow::Error::new(error)), advice);
        }
    };
    let dir = &settings.modules_dir;
    let files = match modules::inspect(dir, &engine) {
        Ok(files) => files,
        Err(error) => {
            let said = format!("{} can't be read: {error}", dir.display());
            return report.warning("modules", said, "make the directory, or correct modules_dir");
        }
    };
    if files.is_empty() {
        report.ok("modules", format!("none in {}", dir.display()));
    }
    for (file, loaded) in files {
        match loaded {
            Ok(module) => {
                let descriptor = module.descriptor();
                report.ok("modules", format!("{file}: {} {}", descriptor.name, descriptor.version));
            }
            Err(error) => report.broken("modules", format!("{file}: {error}"), "replace or remove the file"),
        }
    }
}
