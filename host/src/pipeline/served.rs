//! What the active modules declare, for those who describe it.

use super::route::Pipeline;
use crate::model::{AggregateDescriptor, Digest};

/// An aggregate type that an active module serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedAggregate {
    /// What the module says of it.
    pub aggregate: AggregateDescriptor,
    /// Name of the module.
    pub module: String,
    /// Version of the module.
    pub module_version: String,
    /// Its digest.
    pub digest: Digest,
}

impl Pipeline {
    /// The aggregate types that are served at this moment, in no order.
    #[must_use]
    pub fn served(&self) -> Vec<ServedAggregate> {
        let generation = self.modules().current();
        let mut served = Vec::new();
        for module in generation.modules() {
            let routed =
                |aggregate_type| generation.module_of(aggregate_type).is_some_and(|of| of.digest() == module.digest());
            for aggregate_type in module.aggregate_types().filter(|aggregate_type| routed(aggregate_type)) {
                let Some(aggregate) = module.aggregate(aggregate_type) else { continue };
                served.push(ServedAggregate {
                    aggregate: aggregate.descriptor().clone(),
                    module: module.descriptor().name.clone(),
                    module_version: module.descriptor().version.clone(),
                    digest: module.digest(),
                });
            }
        }
        served
    }
}
