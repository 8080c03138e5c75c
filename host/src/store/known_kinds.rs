//! Kinds of events that a session has seen committed: the log's list of kinds has them, and needn't be asked.

use std::collections::HashMap;

use crate::model::{AggregateType, Append, AppendOutcome};

/// Most names that are kept: raw appends may invent any number.
const MOST: usize = 10_000;

/// The schema versions of each event type, by aggregate type.
#[derive(Debug, Default)]
pub(super) struct KnownKinds {
    kinds: HashMap<AggregateType, HashMap<String, Vec<u32>>>,
    count: usize,
}

impl KnownKinds {
    /// Whether all events of these appends are of kinds that were committed before.
    pub(super) fn has_all(&self, appends: &[&Append]) -> bool {
        appends.iter().filter(|append| !append.events.is_empty()).all(|append| {
            self.kinds.get(&append.stream.aggregate_type).is_some_and(|types| {
                append.events.iter().all(|event| {
                    types.get(&event.event_type).is_some_and(|versions| versions.contains(&event.schema_version))
                })
            })
        })
    }

    /// Notes what was committed.
    pub(super) fn learn(&mut self, appends: &[&Append], outcomes: &[AppendOutcome]) {
        if self.count > MOST {
            *self = Self::default();
        }
        for (append, outcome) in appends.iter().zip(outcomes) {
            if !matches!(outcome, AppendOutcome::Appended { .. }) {
                continue;
            }
            let types = self.kinds.entry(append.stream.aggregate_type.clone()).or_default();
            for event in &append.events {
                let versions = types.entry(event.event_type.clone()).or_default();
                if !versions.contains(&event.schema_version) {
                    versions.push(event.schema_version);
                    self.count += 1;
                }
            }
        }
    }
}
