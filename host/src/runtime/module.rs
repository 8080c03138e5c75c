//! A module that was loaded: compiled, checked, ready to be instantiated.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::aggregate::AggregateInfo;
use super::contract::Prepared;
use crate::model::{AggregateType, Digest, ModuleDescriptor};

/// A module as [`Engine::load`](super::Engine::load) made it. It never changes.
pub struct Module {
    pub(super) digest: Digest,
    pub(super) descriptor: ModuleDescriptor,
    pub(super) aggregates: HashMap<AggregateType, Arc<AggregateInfo>>,
    pub(super) code: Code,
}

/// Compiled code bound to its contract.
pub(super) struct Code {
    pub(super) prepared: Box<dyn Prepared>,
    /// Names the module in the host's log.
    pub(super) label: Arc<str>,
}

impl Module {
    /// SHA-256 of the component: the module's identity.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What the module says of itself.
    #[must_use]
    pub fn descriptor(&self) -> &ModuleDescriptor {
        &self.descriptor
    }

    /// One of its aggregate types.
    #[must_use]
    pub fn aggregate(&self, aggregate_type: &AggregateType) -> Option<&Arc<AggregateInfo>> {
        self.aggregates.get(aggregate_type)
    }

    /// The names of its aggregate types, in no order.
    pub fn aggregate_types(&self) -> impl Iterator<Item = &AggregateType> {
        self.aggregates.keys()
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Module({} {} {})", self.descriptor.name, self.descriptor.version, self.digest)
    }
}
