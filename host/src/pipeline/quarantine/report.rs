//! What is told of quarantine and breakers: to a caller who is kept out, and to the tenant who asks.

use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::ledger::Ledger;
use super::module::ModuleRecord;
use super::words::{Of, Shut};
use crate::model::{Digest, StreamKey, Tenant};
use crate::pipeline::ModuleFault;
use crate::runtime::{Generation, Module};

/// Why a request was answered without calling the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What is shut.
    pub by: HeldBy,
    /// Name of the module.
    pub module: String,
    /// Version of the module.
    pub module_version: String,
    /// Its faults: of the stream in a row, of the tenant since the module became active.
    pub faults: u64,
    /// The last of them; none where it is other tenants'.
    pub last: Option<ModuleFault>,
    /// Since when requests are kept out.
    pub since: OffsetDateTime,
    /// When one is let through as a probe.
    pub probe_at: OffsetDateTime,
}

/// What keeps a request out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldBy {
    /// The stream is in quarantine.
    Stream(StreamKey),
    /// The module's breaker has tripped for the tenant.
    Tenant,
    /// The module's breaker has tripped for everyone.
    Everyone,
}

/// What a tenant may know of its streams in quarantine and of the active modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineReport {
    /// Its streams in quarantine.
    pub streams: Vec<QuarantinedStream>,
    /// The active modules.
    pub modules: Vec<ModuleHealth>,
}

/// A stream in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedStream {
    /// The stream.
    pub stream: StreamKey,
    /// Name of the module that failed on it.
    pub module: String,
    /// Faults in a row.
    pub faults: u64,
    /// The last of them.
    pub last: ModuleFault,
    /// Since when its requests are kept out.
    pub since: OffsetDateTime,
    /// When one is let through as a probe.
    pub probe_at: OffsetDateTime,
}

/// An active module as one tenant meets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleHealth {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its digest.
    pub digest: Digest,
    /// Whether the tenant's requests reach it.
    pub breaker: BreakerState,
    /// Whether what keeps them out keeps every tenant's out.
    pub everyone: bool,
    /// Faults in the tenant's requests since the module became active.
    pub faults: u64,
    /// The last of them, and when it was.
    pub last: Option<(ModuleFault, OffsetDateTime)>,
    /// Since when requests are kept out, and when one is let through as a probe.
    pub open: Option<(OffsetDateTime, OffsetDateTime)>,
}

/// A breaker's state, in the words that are usual for it: current flows while it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Requests reach the module.
    Closed,
    /// They are kept out.
    Open,
    /// The next one is a probe, or one is under way.
    HalfOpen,
}

impl Held {
    pub(super) fn new(shut: Shut, stream: &StreamKey, module: &Module, now: Instant) -> Self {
        let by = match shut.of {
            Of::Stream => HeldBy::Stream(stream.clone()),
            Of::Tenant => HeldBy::Tenant,
            Of::Everyone => HeldBy::Everyone,
        };
        let (descriptor, clock) = (module.descriptor(), Clock::new(now));
        Self {
            by,
            module: descriptor.name.clone(),
            module_version: descriptor.version.clone(),
            faults: shut.faults,
            last: shut.last,
            since: clock.time_of(shut.since),
            probe_at: clock.time_of(shut.probe_at),
        }
    }
}

impl QuarantineReport {
    pub(super) fn new(ledger: &Ledger, tenant: &Tenant, generation: &Generation, now: Instant) -> Self {
        let clock = Clock::new(now);
        let of_tenant = ledger.streams.0.iter().filter(|(stream, _)| stream.tenant == *tenant);
        let mut streams: Vec<_> = of_tenant
            .filter_map(|(stream, record)| {
                let gate = record.gate.as_ref()?;
                let module = generation.modules().iter().find(|module| module.digest() == record.digest)?;
                Some(QuarantinedStream {
                    stream: stream.clone(),
                    module: module.descriptor().name.clone(),
                    faults: record.faults.into(),
                    last: record.last.clone(),
                    since: clock.time_of(gate.shut_at()),
                    probe_at: clock.time_of(gate.probe_at()),
                })
            })
            .collect();
        streams.sort_by(|a, b| a.stream.cmp(&b.stream));
        let health = |module: &std::sync::Arc<Module>| {
            ModuleHealth::new(module, ledger.modules.get(&module.digest()), tenant, &clock)
        };
        Self { streams, modules: generation.modules().iter().map(health).collect() }
    }
}

impl ModuleHealth {
    fn new(module: &Module, record: Option<&ModuleRecord>, tenant: &Tenant, clock: &Clock) -> Self {
        let breaker = record.and_then(|record| record.tenants.get(tenant));
        let own = breaker.and_then(|breaker| breaker.gate.as_ref());
        let everyones = record.and_then(|record| record.everyone.as_ref());
        let gate = own.or(everyones);
        let last = breaker.and_then(|breaker| breaker.last.as_ref());
        Self {
            name: module.descriptor().name.clone(),
            version: module.descriptor().version.clone(),
            digest: module.digest(),
            breaker: match gate {
                None => BreakerState::Closed,
                Some(gate) if gate.is_half_open(clock.now) => BreakerState::HalfOpen,
                Some(_) => BreakerState::Open,
            },
            everyone: everyones.is_some(),
            faults: breaker.map_or(0, |breaker| breaker.faults),
            last: last.map(|(fault, at)| (fault.clone(), clock.time_of(*at))),
            open: gate.map(|gate| (clock.time_of(gate.shut_at()), clock.time_of(gate.probe_at()))),
        }
    }
}

/// Tells instants, which decisions are made by, as times of day, which people read.
struct Clock {
    now: Instant,
    time: OffsetDateTime,
}

impl Clock {
    fn new(now: Instant) -> Self {
        Self { now, time: OffsetDateTime::now_utc() }
    }

    fn time_of(&self, instant: Instant) -> OffsetDateTime {
        let ahead: Duration = instant.saturating_duration_since(self.now);
        let time = self.time + ahead - self.now.saturating_duration_since(instant);
        // To the millisecond: more would be pretended.
        time.truncate_to_millisecond()
    }
}
