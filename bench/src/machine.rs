//! What a run was made on: without it no figure means anything.

use std::fs;
use std::thread;

use serde::Serialize;

/// The machine, and what ran on it.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// The processors' model.
    pub(crate) processor: String,
    /// How many of them.
    pub(crate) processors: usize,
    /// Memory in MiB.
    pub(crate) memory_mib: u64,
    /// The kernel's version.
    pub(crate) kernel: String,
    /// The load average when the run began: well above nothing, and the figures are another's too.
    pub(crate) load_before: f64,
    /// PostgreSQL's version.
    pub(crate) postgres: String,
    /// Everfold's version.
    pub(crate) everfold: &'static str,
    /// The version of postgres-es.
    pub(crate) postgres_es: &'static str,
    /// How Everfold and the bench were built.
    pub(crate) profile: String,
}

impl Machine {
    /// Looks at this machine.
    pub(crate) fn look(postgres: String, profile: &str) -> Self {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        Self {
            processor: value(&read("/proc/cpuinfo"), "model name").unwrap_or("unknown").to_owned(),
            processors: thread::available_parallelism().map_or(0, usize::from),
            memory_mib: value(&read("/proc/meminfo"), "MemTotal").and_then(kilobytes).unwrap_or_default() / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_before: first_number(&read("/proc/loadavg")),
            postgres,
            everfold: env!("CARGO_PKG_VERSION"),
            postgres_es: POSTGRES_ES,
            profile: profile.to_owned(),
        }
    }
}

/// Its own constant isn't public; a test holds it against the lock file.
const POSTGRES_ES: &str = "0.5.0";

fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

fn kilobytes(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

fn first_number(text: &str) -> f64 {
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_is_the_one_that_is_locked() {
        let lock = include_str!("../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"postgres-es\"\nversion = \"{POSTGRES_ES}\"\n")));
    }

    #[test]
    fn files_of_the_kernel_are_read() {
        assert_eq!(value("a\t: 1\nmodel name\t: Some CPU @ 3 GHz\n", "model name"), Some("Some CPU @ 3 GHz"));
        assert_eq!(kilobytes("2048 kB"), Some(2048));
        assert!((first_number("0.25 0.1 0.2 1/99 7\n") - 0.25).abs() < 1e-9);
    }
}
