//! `everfold:domain@0.1.0`: the generated bindings, and their translation into the host's own values.

use uuid::Uuid;
use wasmtime::Store;
use wasmtime::component::{Component, HasSelf, Linker, ResourceAny};

use self::bindings::everfold::domain::{log, types};
use self::bindings::exports::everfold::domain::aggregates as wit;
use super::{Exports, NotMade, Prepared, RawDecision, RawEvent, RawNewEvent, Request};
use crate::model::{
    AggregateDescriptor, CommandDescriptor, EventDescriptor, EventKind, ModuleDescriptor, RejectionDescriptor,
};
use crate::runtime::guest::{Guest, Level};
use crate::runtime::values::{EventRefusal, FoldEvent, RefusedEvent};

mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit/v0.1.0",
        world: "module",
        // Arguments are lent to the guest: payloads are copied once, into its memory.
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

/// Binds a component that exports this version; all type checks happen here, once.
pub(super) fn prepare(mut linker: Linker<Guest>, component: &Component) -> wasmtime::Result<Box<dyn Prepared>> {
    log::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    Ok(Box::new(bindings::ModulePre::new(linker.instantiate_pre(component)?)?))
}

impl log::Host for Guest {
    fn write(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Trace => Level::TRACE,
            log::Level::Debug => Level::DEBUG,
            log::Level::Info => Level::INFO,
            log::Level::Warn => Level::WARN,
            log::Level::Error => Level::ERROR,
        };
        self.log.write(level, &message);
    }
}

impl Prepared for bindings::ModulePre<Guest> {
    fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<Box<dyn Exports>> {
        Ok(Box::new(self.instantiate(store)?))
    }
}

impl Exports for bindings::Module {
    fn describe(&self, store: &mut Store<Guest>) -> wasmtime::Result<ModuleDescriptor> {
        Ok(module(self.everfold_domain_aggregates().call_describe(store)?))
    }

    fn create(&self, store: &mut Store<Guest>, aggregate_type: &str) -> wasmtime::Result<Result<ResourceAny, NotMade>> {
        let made = self.everfold_domain_aggregates().aggregate().call_create(store, aggregate_type)?;
        Ok(made.map_err(not_made))
    }

    fn restore(
        &self,
        store: &mut Store<Guest>,
        aggregate_type: &str,
        state_version: u32,
        state: &[u8],
    ) -> wasmtime::Result<Result<ResourceAny, NotMade>> {
        let aggregate = self.everfold_domain_aggregates().aggregate();
        Ok(aggregate.call_restore(store, aggregate_type, state_version, state)?.map_err(not_made))
    }

    fn apply(
        &self,
        store: &mut Store<Guest>,
        aggregate: ResourceAny,
        events: &[FoldEvent<'_>],
    ) -> wasmtime::Result<Result<(), RefusedEvent>> {
        let aggregates = self.everfold_domain_aggregates().aggregate();
        let applied = match events {
            // Most decisions are one event: no list is made for it.
            [one] => aggregates.call_apply(store, aggregate, &[event(one)])?,
            _ => aggregates.call_apply(store, aggregate, &events.iter().map(event).collect::<Vec<_>>())?,
        };
        Ok(applied.map_err(refused))
    }

    fn decide(
        &self,
        store: &mut Store<Guest>,
        aggregate: ResourceAny,
        request: &Request<'_>,
    ) -> wasmtime::Result<RawDecision> {
        let command = wit::Command { name: request.command, payload: request.payload.as_bytes() };
        let context = request.context;
        let mut command_id = Uuid::encode_buffer();
        let context = wit::Context {
            time: context.time,
            command_id: context.command_id.hyphenated().encode_lower(&mut command_id),
            seed: context.seed,
            actor: context.actor,
            tenant: request.tenant,
            stream_id: context.stream_id,
            version: context.version,
            correlation_id: context.correlation_id,
        };
        let aggregates = self.everfold_domain_aggregates();
        let answer = aggregates.aggregate().call_decide(store, aggregate, command, context)?;
        Ok(match answer {
            Ok(events) => RawDecision::Events(events.into_iter().map(new_event).collect()),
            Err(wit::DecideError::Rejected(no)) => {
                RawDecision::Rejected { code: no.code, message: no.message, details: no.details }
            }
            Err(wit::DecideError::Invalid(wrong)) => {
                RawDecision::Invalid { message: wrong.message, pointer: wrong.pointer }
            }
            Err(wit::DecideError::UnknownCommand) => RawDecision::UnknownCommand,
        })
    }

    fn state(&self, store: &mut Store<Guest>, aggregate: ResourceAny) -> wasmtime::Result<Vec<u8>> {
        self.everfold_domain_aggregates().aggregate().call_state(store, aggregate)
    }

    fn upcast(
        &self,
        store: &mut Store<Guest>,
        aggregate_type: &str,
        events: &[FoldEvent<'_>],
    ) -> wasmtime::Result<Result<Vec<Vec<RawEvent>>, RefusedEvent>> {
        let events: Vec<_> = events.iter().map(event).collect();
        let answer = self.everfold_domain_aggregates().call_upcast(store, aggregate_type, &events)?;
        Ok(answer
            .map(|lists| lists.into_iter().map(|list| list.into_iter().map(raw_event).collect()).collect())
            .map_err(refused))
    }
}

fn event<'a>(event: &FoldEvent<'a>) -> wit::EventParam<'a> {
    wit::EventParam {
        event_type: event.event_type,
        schema_version: event.schema_version,
        version: event.version,
        occurred_at: event.occurred_at,
        payload: event.payload.as_bytes(),
    }
}

fn new_event(event: wit::NewEvent) -> RawNewEvent {
    RawNewEvent { event_type: event.event_type, schema_version: event.schema_version, payload: event.payload }
}

fn raw_event(event: wit::EventResult) -> RawEvent {
    RawEvent {
        event: RawNewEvent {
            event_type: event.event_type,
            schema_version: event.schema_version,
            payload: event.payload,
        },
        version: event.version,
        occurred_at: event.occurred_at,
    }
}

fn not_made(error: wit::LoadError) -> NotMade {
    match error {
        wit::LoadError::UnknownAggregateType => NotMade::UnknownAggregateType,
        wit::LoadError::OtherStateVersion => NotMade::OtherStateVersion,
        wit::LoadError::InvalidState(why) => NotMade::InvalidState(why),
    }
}

fn refused(error: wit::EventError) -> RefusedEvent {
    RefusedEvent {
        index: error.index as usize,
        reason: match error.reason {
            types::EventErrorReason::UnknownEvent => EventRefusal::Unknown,
            types::EventErrorReason::Invalid(why) => EventRefusal::Invalid(why),
        },
    }
}

fn module(module: types::Descriptor) -> ModuleDescriptor {
    ModuleDescriptor {
        name: module.name,
        version: module.version,
        aggregates: module.aggregates.into_iter().map(aggregate).collect(),
    }
}

fn aggregate(of: types::AggregateDescriptor) -> AggregateDescriptor {
    AggregateDescriptor {
        aggregate_type: of.aggregate_type,
        description: of.description,
        state_version: of.state_version,
        state_schema: of.state_schema,
        snapshot_interval: of.snapshot_interval,
        commands: of.commands.into_iter().map(command).collect(),
        events: of.events.into_iter().map(event_descriptor).collect(),
        upcasts: of.upcasts.into_iter().map(event_kind).collect(),
        rejections: of.rejections.into_iter().map(rejection).collect(),
    }
}

fn command(of: types::CommandDescriptor) -> CommandDescriptor {
    CommandDescriptor { name: of.name, description: of.description, schema: of.schema }
}

fn event_descriptor(of: types::EventDescriptor) -> EventDescriptor {
    EventDescriptor {
        event_type: of.event_type,
        schema_version: of.schema_version,
        description: of.description,
        schema: of.schema,
    }
}

fn event_kind(of: types::EventKind) -> EventKind {
    EventKind { event_type: of.event_type, schema_version: of.schema_version }
}

fn rejection(of: types::RejectionDescriptor) -> RejectionDescriptor {
    RejectionDescriptor { code: of.code, description: of.description, details_schema: of.details_schema }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use crate::model::Digest;

    #[test]
    fn a_released_contract_never_changes() {
        let contract = include_bytes!("../../../../wit/v0.1.0/module.wit");
        let released = "e85e3c3a635a23c8977e7b90079d6ed963587e6d8f1cc6cc274eaf51297e3647";
        assert_eq!(Digest(Sha256::digest(contract).into()).to_string(), released, "a change is a new folder beside it");
    }
}
