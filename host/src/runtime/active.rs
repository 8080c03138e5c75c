//! The modules that are active: replaced as a whole, so that one decision sees one set.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Module;
use crate::model::{AggregateType, Digest};

/// The set of modules active at one moment. It never changes; a swap makes the next one.
#[derive(Debug, Default)]
pub struct Generation {
    id: u64,
    modules: Vec<Arc<Module>>,
    routes: HashMap<AggregateType, Arc<Module>>,
}

impl Generation {
    /// Number of this generation in this process, from 0 (before any module was published) on.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its modules.
    #[must_use]
    pub fn modules(&self) -> &[Arc<Module>] {
        &self.modules
    }

    /// The module that has this aggregate type.
    #[must_use]
    pub fn module_of(&self, aggregate_type: &AggregateType) -> Option<&Arc<Module>> {
        self.routes.get(aggregate_type)
    }

    /// Whether a module of this digest is part of it.
    #[must_use]
    pub fn holds(&self, digest: Digest) -> bool {
        self.modules.iter().any(|module| module.digest() == digest)
    }
}

/// The handle on the present generation: those who run commands read it, the one who watches modules replaces it.
#[derive(Debug, Clone, Default)]
pub struct ActiveModules(Arc<ArcSwap<Generation>>);

impl ActiveModules {
    /// A handle on an empty generation.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The present generation.
    #[must_use]
    pub fn current(&self) -> Arc<Generation> {
        self.0.load_full()
    }

    /// Replaces the whole set in one step. Where two modules have one aggregate type, the first in the list serves it;
    /// who publishes sees to it that there are no such two.
    pub fn publish(&self, modules: Vec<Arc<Module>>) -> Arc<Generation> {
        let mut routes = HashMap::new();
        for module in &modules {
            for aggregate_type in module.aggregate_types() {
                routes.entry(aggregate_type.clone()).or_insert_with(|| Arc::clone(module));
            }
        }
        // Published by one task at a time: no number is given twice.
        let next = Arc::new(Generation { id: self.0.load().id + 1, modules, routes });
        self.0.store(Arc::clone(&next));
        next
    }
}
