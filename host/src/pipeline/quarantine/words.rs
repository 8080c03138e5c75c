//! The words of the quarantine: its settings, how a call ended, whose gates there are.

use std::time::{Duration, Instant};

use super::gate::Gate;
use crate::pipeline::ModuleFault;

/// When a stream is set aside, and when a module's breaker trips.
#[derive(Debug, Clone, Copy)]
pub struct QuarantineOptions {
    /// Faults in a row that set a stream aside; 0 is never.
    pub stream_faults: u32,
    /// Faults within a minute, on several streams of a tenant and half of its calls, that trip a module's breaker for the
    /// tenant; 0 is never.
    pub module_faults: u32,
    /// How long until one request is let through as a probe; it doubles with each probe that fails.
    pub pause: Duration,
}

impl Default for QuarantineOptions {
    fn default() -> Self {
        Self { stream_faults: 5, module_faults: 20, pause: Duration::from_secs(10) }
    }
}

/// How one call of a guest ended.
#[derive(Debug, Clone)]
pub(in crate::pipeline) enum Verdict {
    /// The guest answered; whether yes or no doesn't matter.
    Well,
    /// It trapped, looped or ate memory.
    Failed(ModuleFault),
    /// It wasn't called, or what went wrong says nothing of it.
    Nothing,
}

/// The shut gates that a request passed as a probe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Probes {
    pub(super) stream: bool,
    pub(super) tenant: bool,
    pub(super) everyone: bool,
}

/// Whose gate it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Stream,
    Tenant,
    Everyone,
}

/// Why a request isn't let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shut {
    pub(super) of: Of,
    pub(super) faults: u64,
    pub(super) last: Option<ModuleFault>,
    pub(super) since: Instant,
    pub(super) probe_at: Instant,
}

/// A gate that was shut or opened, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Shut(Of),
    Opened(Of),
}

impl Probes {
    /// All but the narrowest: a probe that fails counts against that one alone.
    pub(super) fn but_the_narrowest(self) -> Self {
        Self {
            stream: false,
            tenant: self.tenant && self.stream,
            everyone: self.everyone && (self.stream || self.tenant),
        }
    }

    /// The narrowest alone.
    pub(super) fn narrowest(self) -> Self {
        let tenant = self.tenant && !self.stream;
        Self { stream: self.stream, tenant, everyone: self.everyone && !self.stream && !self.tenant }
    }
}

impl Shut {
    /// What keeps a request out, unless the gate lets it through as a probe.
    pub(super) fn by(
        gate: Option<&Gate>,
        of: Of,
        faults: u64,
        last: Option<&ModuleFault>,
        now: Instant,
    ) -> Option<Self> {
        let gate = gate.filter(|gate| !gate.admits(now))?;
        Some(Self { of, faults, last: last.cloned(), since: gate.shut_at(), probe_at: gate.probe_at() })
    }
}
