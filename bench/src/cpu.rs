//! Who used the processors: the load generator, the host, PostgreSQL. All three share them, so this is half the answer.

use std::fs;

/// Processor time in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Cpu {
    /// The bench itself: its clients, and peers that are libraries.
    pub(crate) client: f64,
    /// The host.
    pub(crate) host: f64,
    /// PostgreSQL, with all its processes.
    pub(crate) postgres: f64,
}

impl Cpu {
    /// What was used from one reading to the next.
    pub(crate) fn between(before: Self, after: Self) -> Self {
        // A backend that ends between two readings is counted by its parent; never count less than nothing.
        let used = |before: f64, after: f64| (after - before).max(0.0);
        Self {
            client: used(before.client, after.client),
            host: used(before.host, after.host),
            postgres: used(before.postgres, after.postgres),
        }
    }
}

/// Reads the counters of the processes that matter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meter {
    host: Option<u32>,
    postmaster: Option<u32>,
}

impl Meter {
    /// Of this host and this server.
    pub(crate) fn new(host: Option<u32>, postmaster: Option<u32>) -> Self {
        Self { host, postmaster }
    }

    /// Of the bench alone.
    #[cfg(test)]
    pub(crate) fn nobody() -> Self {
        Self::new(None, None)
    }

    /// The counters now.
    pub(crate) fn read(&self) -> Cpu {
        let own = |process: u32| stat(process).map_or(0.0, |stat| stat.seconds);
        Cpu {
            client: own(std::process::id()),
            host: self.host.map_or(0.0, own),
            postgres: self.postmaster.map_or(0.0, family),
        }
    }
}

/// What a line of `/proc/PID/stat` says.
#[derive(Debug, PartialEq)]
struct Stat {
    parent: u32,
    /// Its own time.
    seconds: f64,
    /// The time of its children that ended.
    seconds_of_ended: f64,
}

/// The time of a process, of its children, and of those of them that ended.
fn family(parent: u32) -> f64 {
    let Some(own) = stat(parent) else { return 0.0 };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let children = numbers.filter_map(stat).filter(|stat| stat.parent == parent);
    own.seconds + own.seconds_of_ended + children.map(|child| child.seconds).sum::<f64>()
}

fn stat(process: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?, rustix::param::clock_ticks_per_second())
}

fn parse(line: &str, ticks: u64) -> Option<Stat> {
    // The name in parentheses may hold anything: what follows it is `STATE PARENT …`.
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    let seconds = |at: usize| Some(fields.get(at)?.parse::<u64>().ok()? as f64 / ticks as f64);
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        seconds: seconds(11)? + seconds(12)?,
        seconds_of_ended: seconds(13)? + seconds(14)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_behind_the_name() {
        let line = "17 (a) b) S 5 17 17 0 -1 4194560 1 2 3 4 250 50 30 20 20 0 1 0 1 2 3";
        assert_eq!(parse(line, 100), Some(Stat { parent: 5, seconds: 3.0, seconds_of_ended: 0.5 }));
        assert_eq!(parse("17 (a", 100), None);
    }

    #[test]
    fn a_process_that_works_uses_time() {
        let meter = Meter::nobody();
        let before = meter.read();
        let begin = std::time::Instant::now();
        while Cpu::between(before, meter.read()).client < 0.02 {
            assert!(begin.elapsed().as_secs() < 60, "no time is counted");
        }
    }
}
