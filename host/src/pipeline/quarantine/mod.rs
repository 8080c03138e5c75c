//! Keeps requests away from guests that failed again and again: streams in quarantine, modules with a tripped breaker.
//!
//! All shards of a host share one ledger. It's in memory: another host, and this one after a restart, judges for itself.

mod breaker;
mod gate;
mod ledger;
mod module;
mod report;
mod streams;
mod words;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

pub use self::report::{BreakerState, Held, HeldBy, ModuleHealth, QuarantineReport, QuarantinedStream};
pub use self::words::QuarantineOptions;

pub(super) use self::words::Verdict;

use self::ledger::Ledger;
use self::words::{Change, Of, Probes};
use super::RequestError;
use crate::model::{Digest, StreamKey, Tenant};
use crate::runtime::{Generation, Module};

/// The ledger, as all shards share it.
#[derive(Clone)]
pub(super) struct Quarantine(Arc<Shared>);

struct Shared {
    ledger: Mutex<Ledger>,
    /// Whether there was a fault: a host without bad guests never takes the lock.
    suspicious: AtomicBool,
}

/// Leave to call a guest for one request. Dropped unsettled it counts as a request that met no guest.
pub(super) struct Pass<'a> {
    quarantine: &'a Quarantine,
    stream: &'a StreamKey,
    module: &'a Module,
    probes: Probes,
}

impl Quarantine {
    pub(super) fn new(options: QuarantineOptions) -> Self {
        Self(Arc::new(Shared { ledger: Mutex::new(Ledger::new(options)), suspicious: AtomicBool::new(false) }))
    }

    /// Lets a request through to the guest, unless the guest failed too often.
    pub(super) fn admit<'a>(&'a self, stream: &'a StreamKey, module: &'a Module) -> Result<Pass<'a>, RequestError> {
        let mut probes = Probes::default();
        if self.0.suspicious.load(Ordering::Relaxed) {
            let now = Instant::now();
            let admitted = self.ledger().admit(stream, module.digest(), now);
            probes = admitted.map_err(|shut| RequestError::Held(Box::new(Held::new(shut, stream, module, now))))?;
        }
        Ok(Pass { quarantine: self, stream, module, probes })
    }

    /// Lets a stream's requests through again; false where they were.
    pub(super) fn release(&self, stream: &StreamKey) -> bool {
        let released = self.ledger().streams.forget(stream);
        if released {
            tracing::info!(%stream, "stream is released from quarantine by request");
        }
        released
    }

    /// Lets a tenant's requests through to a module again; answers how many of its streams were in quarantine.
    pub(super) fn reset(&self, tenant: &Tenant, module: &Module) -> usize {
        let released = self.ledger().reset(tenant, module.digest());
        let name = &module.descriptor().name;
        tracing::info!(module = name, %tenant, released, "module's breaker is reset by request");
        released
    }

    /// What there is to tell this tenant of the modules that are active.
    pub(super) fn report(&self, tenant: &Tenant, generation: &Generation) -> QuarantineReport {
        QuarantineReport::new(&self.ledger(), tenant, generation, Instant::now())
    }

    /// Forgets modules that are no longer active.
    pub(super) fn retain_modules(&self, active: impl Fn(Digest) -> bool) {
        if self.0.suspicious.load(Ordering::Relaxed) {
            self.ledger().retain_modules(active);
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().expect("no holder panics")
    }
}

impl Pass<'_> {
    /// Says how the request ended.
    pub(super) fn settle(mut self, verdict: &Verdict) {
        let probes = std::mem::take(&mut self.probes);
        let suspicious = &self.quarantine.0.suspicious;
        if matches!(verdict, Verdict::Failed(_)) {
            suspicious.store(true, Ordering::Relaxed);
        }
        if suspicious.load(Ordering::Relaxed) {
            let digest = self.module.digest();
            let changes = self.quarantine.ledger().settle(self.stream, digest, probes, verdict, Instant::now());
            changes.into_iter().for_each(|change| self.log(change, verdict));
        }
    }

    fn log(&self, change: Change, verdict: &Verdict) {
        let (stream, tenant, module) = (self.stream, &self.stream.tenant, &self.module.descriptor().name);
        let fault = match verdict {
            Verdict::Failed(fault) => fault.to_string(),
            Verdict::Well | Verdict::Nothing => String::new(),
        };
        match change {
            Change::Shut(Of::Stream) => tracing::warn!(%stream, module, fault, "stream is in quarantine"),
            Change::Shut(Of::Tenant) => tracing::warn!(module, %tenant, fault, "module's breaker tripped for a tenant"),
            Change::Shut(Of::Everyone) => tracing::error!(module, fault, "module's breaker tripped for every tenant"),
            Change::Opened(Of::Stream) => tracing::info!(%stream, module, "stream is out of quarantine"),
            Change::Opened(Of::Tenant) => tracing::info!(module, %tenant, "module serves a tenant again"),
            Change::Opened(Of::Everyone) => tracing::info!(module, "module serves everyone again"),
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.probes != Probes::default() {
            let digest = self.module.digest();
            let (verdict, now) = (Verdict::Nothing, Instant::now());
            self.quarantine.ledger().settle(self.stream, digest, self.probes, &verdict, now);
        }
    }
}
