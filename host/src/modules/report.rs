//! What the host's log says of modules.

use std::collections::BTreeSet;

use super::metrics;
use super::status::{ModuleState, ModuleStatus};
use crate::runtime::Generation;

/// Another set of modules serves.
pub(super) fn swap(before: &Generation, now: &Generation) {
    for module in now.modules().iter().filter(|module| !before.holds(module.digest())) {
        let descriptor = module.descriptor();
        let (name, version, digest) = (&descriptor.name, &descriptor.version, module.digest());
        tracing::info!(name, version, %digest, generation = now.id(), "module is active");
    }
    measure(before, now);
    for module in before.modules().iter().filter(|module| !now.holds(module.digest())) {
        let descriptor = module.descriptor();
        let (name, version, digest) = (&descriptor.name, &descriptor.version, module.digest());
        tracing::info!(name, version, %digest, generation = now.id(), "module is retired");
    }
    let served = |generation: &Generation| -> BTreeSet<_> {
        generation.modules().iter().flat_map(|module| module.aggregate_types().cloned().collect::<Vec<_>>()).collect()
    };
    for aggregate_type in served(before).difference(&served(now)) {
        tracing::warn!(%aggregate_type, "no active module has this aggregate type any more; its commands are refused");
    }
}

fn measure(before: &Generation, now: &Generation) {
    metrics::SWAPS.increment(1);
    for (generation, value) in [(before, 0.0), (now, 1.0)] {
        for module in generation.modules() {
            let descriptor = module.descriptor();
            metrics::ACTIVE.gauge([descriptor.name.clone(), descriptor.version.clone()]).set(value);
        }
    }
}

/// How many files there are of each state.
pub(super) fn files(status: &[ModuleStatus]) {
    for name in ["active", "superseded", "refused", "pending"] {
        let count = status.iter().filter(|file| state_name(&file.state) == name).count();
        metrics::FILES.gauge([name]).set(count as f64);
    }
}

fn state_name(state: &ModuleState) -> &'static str {
    match state {
        ModuleState::Active => "active",
        ModuleState::Superseded => "superseded",
        ModuleState::Refused { .. } => "refused",
        ModuleState::Pending { .. } => "pending",
    }
}

/// Something became of a file.
pub(super) fn status(status: &ModuleStatus) {
    let file = &status.file;
    match &status.state {
        ModuleState::Refused { reason } => {
            metrics::REFUSALS.increment(1);
            tracing::warn!(file, reason, "module file is refused; what served before serves on");
        }
        ModuleState::Pending { reason } => tracing::debug!(file, reason, "module file waits"),
        ModuleState::Active | ModuleState::Superseded => {}
    }
}
