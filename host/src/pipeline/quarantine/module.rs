//! A module whose calls failed: its breaker for each tenant, and the one for everyone.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::time::Instant;

use super::breaker::{Breaker, WINDOW};
use super::gate::Gate;
use super::words::{Change, Of, Probes, QuarantineOptions};
use crate::model::{StreamKey, Tenant};
use crate::pipeline::ModuleFault;

/// Tenants that are remembered at most; beyond, the one that failed longest ago is forgotten.
const MOST_TENANTS: usize = 1_000;

/// Tenants who must have a tripped breaker before a module is shut for everyone.
const SEVERAL_TENANTS: usize = 3;

/// What is known of one module.
#[derive(Debug)]
pub(super) struct ModuleRecord {
    pub(super) tenants: HashMap<Tenant, Breaker>,
    /// Shut while nobody's requests reach the module.
    pub(super) everyone: Option<Gate>,
    /// Until when tenants who are served well are counted too.
    watched_until: Instant,
}

impl ModuleRecord {
    pub(super) fn new(now: Instant) -> Self {
        Self { tenants: HashMap::new(), everyone: None, watched_until: now }
    }

    /// Counts a call that went well; opens the gates that it passed as a probe.
    pub(super) fn well(&mut self, tenant: &Tenant, probes: Probes, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        if now < self.watched_until && !self.tenants.contains_key(tenant) {
            self.make_room(now);
            self.tenants.insert(tenant.clone(), Breaker::new(now));
        }
        if let Some(breaker) = self.tenants.get_mut(tenant) {
            breaker.well(now);
            if probes.tenant && breaker.close(now) {
                changes.push(Change::Opened(Of::Tenant));
            }
        }
        if probes.everyone && self.everyone.take().is_some() {
            changes.push(Change::Opened(Of::Everyone));
        }
        changes
    }

    /// Counts a call that failed; `failed` is the gate that it failed as a probe, if it was one.
    pub(super) fn failed(
        &mut self,
        stream: &StreamKey,
        failed: Probes,
        fault: &ModuleFault,
        options: &QuarantineOptions,
        now: Instant,
    ) -> Vec<Change> {
        self.watched_until = now + WINDOW;
        if !self.tenants.contains_key(&stream.tenant) {
            self.make_room(now);
        }
        let breaker = self.tenants.entry(stream.tenant.clone()).or_insert_with(|| Breaker::new(now));
        let mut changes = Vec::new();
        if breaker.failed(hash(stream), fault, options.module_faults, now) {
            breaker.gate = Some(Gate::shut(now, options.pause));
            changes.push(Change::Shut(Of::Tenant));
        } else if let Some(gate) = breaker.gate.as_mut().filter(|_| failed.tenant) {
            gate.probe_failed(now);
        }
        if let Some(gate) = self.everyone.as_mut().filter(|_| failed.everyone) {
            gate.probe_failed(now);
        }
        // Judged only when one more breaker trips: a tenant who goes on failing says nothing new of the others.
        if !changes.is_empty() && self.everyone.is_none() && self.fails_widely(now) {
            self.everyone = Some(Gate::shut(now, options.pause));
            changes.push(Change::Shut(Of::Everyone));
        }
        changes
    }

    /// The gates that a probe passed which said nothing of them.
    pub(super) fn told_nothing(&mut self, tenant: &Tenant, probes: Probes) {
        if let Some(gate) = self.everyone.as_mut().filter(|_| probes.everyone) {
            gate.probe_told_nothing();
        }
        let breaker = self.tenants.get_mut(tenant).filter(|_| probes.tenant);
        if let Some(gate) = breaker.and_then(|breaker| breaker.gate.as_mut()) {
            gate.probe_told_nothing();
        }
    }

    /// Whether several tenants' breakers have tripped, and more than are served well.
    fn fails_widely(&self, now: Instant) -> bool {
        let tripped = self.tenants.values().filter(|breaker| breaker.gate.is_some()).count();
        let well = self.tenants.values().filter(|breaker| breaker.is_well(now)).count();
        tripped >= SEVERAL_TENANTS && tripped > well
    }

    fn make_room(&mut self, now: Instant) {
        if self.tenants.len() < MOST_TENANTS {
            return;
        }
        self.tenants.retain(|_, breaker| !breaker.is_forgotten(now));
        while self.tenants.len() >= MOST_TENANTS {
            let age = |breaker: &Breaker| (breaker.gate.is_some(), breaker.last.as_ref().map(|(_, at)| *at));
            let oldest = self.tenants.iter().min_by_key(|(_, breaker)| age(breaker));
            let Some(tenant) = oldest.map(|(tenant, _)| tenant.clone()) else { return };
            self.tenants.remove(&tenant);
        }
    }
}

fn hash(stream: &StreamKey) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(stream)
}
