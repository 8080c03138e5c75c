//! Components in the engine: what is loaded and what is refused, how residents live, and what a bad guest costs.

mod faults;
mod loading;
mod residents;
mod wasi;

use std::sync::Arc;

use everfold::model::{AggregateType, Tenant};
use everfold::runtime::{
    DecideContext, DecideError, Decided, Decision, FoldEvent, FoldMode, Instances, Module, Placement, Resident,
};
use uuid::Uuid;

use crate::support::guests;

/// One module in one shard.
struct Shard {
    instances: Instances,
    module: Arc<Module>,
    aggregate_type: AggregateType,
}

impl Shard {
    fn of(module: &str, aggregate_type: &str) -> Self {
        Self {
            instances: Instances::new(guests::engine()),
            module: guests::module(module),
            aggregate_type: AggregateType::new(aggregate_type).unwrap(),
        }
    }

    fn counter() -> Self {
        Self::of("counter", "counter")
    }

    fn unruly() -> Self {
        Self::of("unruly", "unruly")
    }

    fn create(&mut self, tenant: &str, placement: Placement) -> Resident {
        let tenant = Tenant::new(tenant).unwrap();
        self.instances.create(&self.module, &tenant, &self.aggregate_type, placement).unwrap()
    }

    fn decide(&mut self, resident: &Resident, command: &str, payload: &str) -> Result<Decision, DecideError> {
        self.instances.decide(resident, command, payload, &context())
    }

    /// Decides and applies what was decided.
    fn execute(&mut self, resident: &Resident, command: &str, payload: &str) -> Vec<Decided> {
        let Decision::Events(events) = self.decide(resident, command, payload).unwrap() else {
            panic!("{command} was rejected")
        };
        let folded: Vec<_> = events.iter().map(fold_event).collect();
        self.instances.apply(resident, &folded, FoldMode::Live).unwrap();
        events
    }

    fn state(&mut self, resident: &Resident) -> serde_json::Value {
        serde_json::from_str(self.instances.state(resident).unwrap().as_str()).unwrap()
    }
}

fn context() -> DecideContext<'static> {
    DecideContext {
        time: 1_700_000_000_000,
        command_id: Uuid::nil(),
        seed: 7,
        actor: Some("ada"),
        stream_id: "s-1",
        version: 41,
        correlation_id: None,
    }
}

fn fold_event(event: &Decided) -> FoldEvent<'_> {
    FoldEvent {
        event_type: &event.event_type,
        schema_version: event.schema_version,
        version: 0,
        occurred_at: 0,
        payload: event.payload.as_str(),
    }
}

fn history<'a>(event_type: &'a str, schema_version: u32, payload: &'a str) -> FoldEvent<'a> {
    FoldEvent { event_type, schema_version, version: 3, occurred_at: 30, payload }
}
