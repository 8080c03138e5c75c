//! The plan of faults: what goes wrong when, for how long, and where, all drawn from the seed.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    /// A host is killed, and started again.
    HostKilled,
    /// A host is stopped for a while by SIGSTOP.
    HostFrozen,
    /// A host ends in order, and is started again.
    HostRestarted,
    /// PostgreSQL and all its processes are killed.
    PostgresKilled,
    /// PostgreSQL ends in order, and is started again.
    PostgresRestarted,
    /// PostgreSQL and all its processes are stopped for a while by SIGSTOP.
    PostgresFrozen,
    /// One process of PostgreSQL is killed; the server ends the others and recovers.
    BackendKilled,
    /// What passes between a host and PostgreSQL passes late.
    NetworkSlow,
    /// Nothing passes between a host and PostgreSQL for a while, then everything does.
    NetworkHeld,
    /// The connections between a host and PostgreSQL are cut.
    NetworkCut,
    /// One direction of the connections between a host and PostgreSQL is closed.
    NetworkHalfClosed,
    /// PostgreSQL's answers to a host are lost, and nobody tells it.
    AnswersLost,
    /// A host's requests to PostgreSQL are lost, and nobody tells it.
    RequestsLost,
    /// A host can't connect to PostgreSQL, and what was connected is cut.
    NetworkDown,
    /// A host is given another good module.
    ModuleSwapped,
    /// A host is given something that is no module, or half of one.
    ModuleBroken,
    /// A host is given a module that panics at every command, then a good one.
    ModulePoisoned,
    /// A host is given a module that can't fold any event, then a good one.
    ModuleUnfolding,
    /// PostgreSQL's disk is full for a while.
    DiskFull,
}

impl fmt::Display for Kind {
    /// As the command line names it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        out.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fault {
    /// When, from the begin of the run.
    pub(crate) at: Duration,
    /// What.
    pub(crate) kind: Kind,
    /// To which host, where it is about one.
    pub(crate) host: usize,
    /// For how long, where it lasts.
    pub(crate) lasts: Duration,
    /// For what else is to be drawn.
    pub(crate) dice: u32,
}

impl Kind {
    /// How often it comes, beside the others.
    fn weight(self) -> u32 {
        match self {
            Self::HostKilled | Self::HostFrozen | Self::NetworkCut | Self::ModuleSwapped => 5,
            Self::AnswersLost | Self::RequestsLost | Self::NetworkHeld | Self::NetworkHalfClosed => 3,
            Self::HostRestarted | Self::PostgresKilled | Self::ModuleBroken => 3,
            Self::BackendKilled
            | Self::NetworkSlow
            | Self::NetworkDown
            | Self::PostgresRestarted
            | Self::PostgresFrozen => 2,
            Self::ModulePoisoned | Self::ModuleUnfolding | Self::DiskFull => 1,
        }
    }

    /// The longest that it lasts, in milliseconds.
    fn longest(self) -> u64 {
        match self {
            Self::HostFrozen | Self::NetworkHeld => 9_000,
            Self::HostKilled | Self::HostRestarted | Self::PostgresRestarted | Self::PostgresKilled => 2_500,
            Self::AnswersLost | Self::RequestsLost | Self::NetworkDown => 4_000,
            Self::NetworkSlow | Self::PostgresFrozen | Self::DiskFull => 5_000,
            Self::ModulePoisoned | Self::ModuleUnfolding | Self::ModuleBroken => 3_000,
            Self::BackendKilled | Self::NetworkCut | Self::NetworkHalfClosed | Self::ModuleSwapped => 1,
        }
    }
}

/// The faults of a run that takes so long, by time.
pub(crate) fn plan(seed: u64, run: Duration, hosts: usize, kinds: &[Kind]) -> Vec<Fault> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut faults = Vec::new();
    let mut at = Duration::from_secs(3);
    let all: u32 = kinds.iter().map(|kind| kind.weight()).sum();
    while at < run && all > 0 {
        let mut drawn = random.random_range(0..all);
        let kind = kinds.iter().copied().find(|kind| {
            let is_it = drawn < kind.weight();
            drawn = drawn.saturating_sub(kind.weight());
            is_it
        });
        let Some(kind) = kind else { break };
        let lasts = Duration::from_millis(random.random_range(kind.longest() / 20..=kind.longest()));
        let host = random.random_range(0..hosts);
        faults.push(Fault { at, kind, host, lasts, dice: random.random() });
        at += Duration::from_millis(random.random_range(300..3_500));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_everything() {
        let all = Kind::value_variants();
        let hour = Duration::from_secs(3600);
        assert_eq!(plan(7, hour, 3, all), plan(7, hour, 3, all));
        assert_ne!(plan(7, hour, 3, all), plan(8, hour, 3, all));
    }

    #[test]
    fn every_kind_comes_within_an_hour_and_no_other_than_asked_for() {
        let hour = Duration::from_secs(3600);
        let faults = plan(1, hour, 3, Kind::value_variants());
        for kind in Kind::value_variants() {
            assert!(faults.iter().any(|fault| fault.kind == *kind), "{kind:?}");
        }
        assert!(
            plan(1, hour, 1, &[Kind::DiskFull]).iter().all(|fault| fault.kind == Kind::DiskFull && fault.host == 0)
        );
        assert!(plan(1, hour, 1, &[]).is_empty());
    }
}
