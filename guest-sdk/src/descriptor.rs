//! What an aggregate type tells the host about itself, with the JSON Schemas made.

use crate::{Aggregate, CommandSet as _, EventKind, EventSet as _, Rejection as _};

/// One aggregate type as `describe` answers it. It is the same on every call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AggregateDescriptor {
    /// Name of the aggregate type.
    pub aggregate_type: &'static str,
    /// What it is, for people.
    pub description: Option<&'static str>,
    /// Number for the shape of its state.
    pub state_version: u32,
    /// JSON Schema (2020-12) of its state, where the state's type tells it.
    pub state_schema: Option<String>,
    /// A snapshot is due after so many events; 0 is never, `None` leaves it to the host.
    pub snapshot_interval: Option<u32>,
    /// The commands it takes.
    pub commands: Vec<CommandDescriptor>,
    /// The event types that it answers.
    pub events: Vec<EventDescriptor>,
    /// Older event types and schema versions that it still takes.
    pub upcasts: Vec<EventKind>,
    /// The rejections it may answer.
    pub rejections: Vec<RejectionDescriptor>,
}

/// One command with its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommandDescriptor {
    /// Name of the command.
    pub name: &'static str,
    /// What it does, for people.
    pub description: Option<&'static str>,
    /// JSON Schema (2020-12) of the payload.
    pub schema: String,
}

/// One event type with its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventDescriptor {
    /// Name and newest schema version.
    pub kind: EventKind,
    /// What it says, for people.
    pub description: Option<&'static str>,
    /// JSON Schema (2020-12) of the payload.
    pub schema: String,
}

/// One rejection with the schema of its details.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RejectionDescriptor {
    /// The code.
    pub code: &'static str,
    /// When it is answered, for people.
    pub description: Option<&'static str>,
    /// JSON Schema (2020-12) of the details; `None` where there are none.
    pub details_schema: Option<String>,
}

impl AggregateDescriptor {
    /// The descriptor of an aggregate type.
    pub fn of<A: Aggregate>() -> Self {
        let commands = A::Command::COMMANDS.iter().map(|command| CommandDescriptor {
            name: command.name,
            description: command.description,
            schema: (command.schema)(),
        });
        let events = A::Event::CURRENT.iter().map(|event| EventDescriptor {
            kind: event.kind,
            description: event.description,
            schema: (event.schema)(),
        });
        let rejections = A::Rejection::REJECTIONS.iter().map(|rejection| RejectionDescriptor {
            code: rejection.code,
            description: rejection.description,
            details_schema: rejection.details_schema.map(|schema| schema()),
        });
        Self {
            aggregate_type: A::TYPE,
            description: A::DESCRIPTION,
            state_version: A::STATE_VERSION,
            state_schema: A::schema(),
            snapshot_interval: A::SNAPSHOT_INTERVAL,
            commands: commands.collect(),
            events: events.collect(),
            upcasts: A::Event::OLD.to_vec(),
            rejections: rejections.collect(),
        }
    }
}
