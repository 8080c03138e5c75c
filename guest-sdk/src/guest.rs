//! The contract's side of the SDK: the one place that knows the WIT bindings, and built for the component alone.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::Once;

use bindings::everfold::domain::types as wit;
use bindings::exports::everfold::domain::aggregates::{Aggregate, Guest, GuestAggregate};

use crate::__private::Module;
use crate::descriptor::{AggregateDescriptor, RejectionDescriptor};
use crate::instance::{AggregateType, DecideError, Instance, RestoreError};
use crate::{CommandError, Context, EventError, EventKind};

/// What `wit-bindgen` makes of the contract.
#[expect(missing_docs, reason = "generated")]
pub mod bindings {
    wit_bindgen::generate!({
        world: "module",
        path: "wit/v0.1.0",
        pub_export_macro: true,
        export_macro_name: "export_component",
        default_bindings_module: "everfold_sdk::__private::bindings",
    });
}

/// A module that brings an allocator of its own turns the feature off.
#[cfg(all(feature = "allocator", not(target_feature = "atomics")))]
#[global_allocator]
static ALLOCATOR: crate::allocator::Pools = crate::allocator::Pools::new();

/// A module's exports, for the aggregate types that `M` lists.
pub struct Glue<M>(PhantomData<M>);

/// One aggregate that the host holds.
pub struct Handle<M> {
    instance: RefCell<Box<dyn Instance>>,
    module: PhantomData<M>,
}

impl<M: Module> Guest for Glue<M> {
    type Aggregate = Handle<M>;

    fn describe() -> wit::Descriptor {
        report_panics();
        wit::Descriptor {
            name: M::NAME.into(),
            version: M::VERSION.into(),
            aggregates: M::TYPES.iter().map(|aggregate_type| (aggregate_type.describe)().into()).collect(),
        }
    }

    fn upcast(aggregate_type: String, events: Vec<wit::Event>) -> Result<Vec<Vec<wit::Event>>, wit::EventError> {
        report_panics();
        let Some(found) = find::<M>(&aggregate_type) else {
            let reason = wit::EventErrorReason::Invalid(format!("unknown aggregate type `{aggregate_type}`"));
            return Err(wit::EventError { index: 0, reason });
        };
        let upcast = |(index, event): (usize, wit::Event)| {
            let upcast = (found.upcast)(&event.event_type, event.schema_version, event.payload);
            let events = upcast.map_err(|error| event_error(index, error))?.into_iter().map(|new| wit::Event {
                event_type: new.kind.event_type.into(),
                schema_version: new.kind.schema_version,
                version: event.version,
                occurred_at: event.occurred_at,
                payload: new.payload,
            });
            Ok(events.collect())
        };
        events.into_iter().enumerate().map(upcast).collect()
    }
}

impl<M: Module> GuestAggregate for Handle<M> {
    fn create(aggregate_type: String) -> Result<Aggregate, wit::LoadError> {
        report_panics();
        let found = find::<M>(&aggregate_type).ok_or(wit::LoadError::UnknownAggregateType)?;
        Ok(Aggregate::new(Self::new((found.create)())))
    }

    fn restore(aggregate_type: String, state_version: u32, state: Vec<u8>) -> Result<Aggregate, wit::LoadError> {
        report_panics();
        let found = find::<M>(&aggregate_type).ok_or(wit::LoadError::UnknownAggregateType)?;
        match (found.restore)(state_version, &state) {
            Ok(instance) => Ok(Aggregate::new(Self::new(instance))),
            Err(RestoreError::OtherStateVersion) => Err(wit::LoadError::OtherStateVersion),
            Err(RestoreError::Invalid(why)) => Err(wit::LoadError::InvalidState(why)),
        }
    }

    fn apply(&self, events: Vec<wit::Event>) -> Result<(), wit::EventError> {
        let mut instance = self.instance.borrow_mut();
        for (index, event) in events.iter().enumerate() {
            instance
                .apply(&event.event_type, event.schema_version, &event.payload)
                .map_err(|error| event_error(index, error))?;
        }
        Ok(())
    }

    fn decide(&self, command: wit::Command, context: wit::Context) -> Result<Vec<wit::NewEvent>, wit::DecideError> {
        let decided = self.instance.borrow().decide(&command.name, &command.payload, &context.into());
        let events = decided.map_err(wit::DecideError::from)?.into_iter().map(|event| wit::NewEvent {
            event_type: event.kind.event_type.into(),
            schema_version: event.kind.schema_version,
            payload: event.payload,
        });
        Ok(events.collect())
    }

    fn state(&self) -> Vec<u8> {
        self.instance.borrow().state()
    }
}

impl<M> Handle<M> {
    fn new(instance: Box<dyn Instance>) -> Self {
        Self { instance: RefCell::new(instance), module: PhantomData }
    }
}

fn find<M: Module>(name: &str) -> Option<&'static AggregateType> {
    M::TYPES.iter().find(|aggregate_type| aggregate_type.name == name)
}

/// A panic ends in a trap, which carries no text: what it says goes to the host's log first.
fn report_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|panic| crate::log::error(panic.to_string()))));
}

fn event_error(index: usize, error: EventError) -> wit::EventError {
    let reason = match error {
        EventError::Unknown => wit::EventErrorReason::UnknownEvent,
        EventError::Invalid(why) => wit::EventErrorReason::Invalid(why),
    };
    wit::EventError { index: u32::try_from(index).unwrap_or(u32::MAX), reason }
}

impl From<wit::Context> for Context {
    fn from(context: wit::Context) -> Self {
        Self {
            time: context.time,
            command_id: context.command_id,
            seed: context.seed,
            actor: context.actor,
            tenant: context.tenant,
            stream_id: context.stream_id,
            version: context.version,
            correlation_id: context.correlation_id,
        }
    }
}

impl From<DecideError> for wit::DecideError {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::Rejected { code, message, details } => {
                Self::Rejected(wit::Rejection { code: code.into(), message, details })
            }
            DecideError::Command(CommandError::Unknown) => Self::UnknownCommand,
            DecideError::Command(CommandError::Invalid { message, pointer }) => {
                Self::Invalid(wit::InvalidPayload { message, pointer })
            }
        }
    }
}

impl From<AggregateDescriptor> for wit::AggregateDescriptor {
    fn from(aggregate: AggregateDescriptor) -> Self {
        let commands = aggregate.commands.into_iter().map(|command| wit::CommandDescriptor {
            name: command.name.into(),
            description: command.description.map(Into::into),
            schema: Some(command.schema),
        });
        let events = aggregate.events.into_iter().map(|event| wit::EventDescriptor {
            event_type: event.kind.event_type.into(),
            schema_version: event.kind.schema_version,
            description: event.description.map(Into::into),
            schema: Some(event.schema),
        });
        Self {
            aggregate_type: aggregate.aggregate_type.into(),
            description: aggregate.description.map(Into::into),
            state_version: aggregate.state_version,
            state_schema: aggregate.state_schema,
            snapshot_interval: aggregate.snapshot_interval,
            commands: commands.collect(),
            events: events.collect(),
            upcasts: aggregate.upcasts.into_iter().map(Into::into).collect(),
            rejections: aggregate.rejections.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<EventKind> for wit::EventKind {
    fn from(kind: EventKind) -> Self {
        Self { event_type: kind.event_type.into(), schema_version: kind.schema_version }
    }
}

impl From<RejectionDescriptor> for wit::RejectionDescriptor {
    fn from(rejection: RejectionDescriptor) -> Self {
        Self {
            code: rejection.code.into(),
            description: rejection.description.map(Into::into),
            details_schema: rejection.details_schema,
        }
    }
}
