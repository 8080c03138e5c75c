//! What the process itself measures: its version, its age, its memory and open files.

use std::fs;
use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};

use crate::model::metric_table;

metric_table! {
    /// Always 1; the label is the host's version.
    gauge BUILD {"version"} = "everfold_build_info";
    /// Time since the host started.
    gauge UPTIME = "everfold_uptime_seconds";
    /// When the host started, since the Unix epoch.
    gauge START_TIME = "process_start_time_seconds";
    /// Memory that the process has in RAM. Linux only.
    gauge RESIDENT_MEMORY = "process_resident_memory_bytes";
    /// Files and sockets that are open. Linux only.
    gauge OPEN_FILES = "process_open_fds";
    /// Files and sockets that may be open.
    gauge MAX_FILES = "process_max_fds";
}

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Sets what stays as it is.
pub(super) fn begin() {
    LazyLock::force(&STARTED);
    BUILD.gauge([env!("CARGO_PKG_VERSION")]).set(1.0);
    if let Ok(since_epoch) = SystemTime::now().duration_since(UNIX_EPOCH) {
        START_TIME.set(since_epoch.as_secs_f64());
    }
    if let Some(limit) = getrlimit(Resource::Nofile).current {
        MAX_FILES.set(limit as f64);
    }
}

/// Sets what changes.
pub(super) fn measure() {
    UPTIME.set(STARTED.elapsed().as_secs_f64());
    if let Some(bytes) = resident_memory() {
        RESIDENT_MEMORY.set(bytes as f64);
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        OPEN_FILES.set(files.count() as f64);
    }
}

/// The second number of `statm`, in pages.
fn resident_memory() -> Option<usize> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size())
}
