//! What passes between the host and a guest, whatever the version of the contract.

use uuid::Uuid;

use super::GuestFault;
use crate::model::{Json, Rejection};

/// An event on its way into a guest.
#[derive(Debug, Clone, Copy)]
pub struct FoldEvent<'a> {
    /// Name of its type.
    pub event_type: &'a str,
    /// Version of its payload's shape.
    pub schema_version: u32,
    /// Its place in its stream.
    pub version: i64,
    /// When it happened, in milliseconds since 1970-01-01 UTC.
    pub occurred_at: i64,
    /// The payload, JSON.
    pub payload: &'a str,
}

/// Why events are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoldMode {
    /// They have just been decided: the guest's messages go to the log.
    Live,
    /// History is folded again: the guest's messages were logged when it happened, and are dropped.
    Replay,
}

/// What a decision may depend on beside state and command. The tenant is that of the resident.
#[derive(Debug, Clone, Copy)]
pub struct DecideContext<'a> {
    /// The command's time, in milliseconds since 1970-01-01 UTC.
    pub time: i64,
    /// The command's id.
    pub command_id: Uuid,
    /// A number drawn once for the command.
    pub seed: u64,
    /// Who sent the command.
    pub actor: Option<&'a str>,
    /// The stream's id.
    pub stream_id: &'a str,
    /// Version of the stream's last event; -1 for none.
    pub version: i64,
    /// The correlation id that came with the command.
    pub correlation_id: Option<&'a str>,
}

/// The answer to a command, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// These events are to be appended; none is fine.
    Events(Vec<Decided>),
    /// The domain says no.
    Rejected(Rejection),
}

/// One event that a decision asks for: of a declared type, in its declared schema version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Name of its type.
    pub event_type: String,
    /// Version of its payload's shape.
    pub schema_version: u32,
    /// What happened.
    pub payload: Json,
}

/// Why a command got no decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// The aggregate type has no such command.
    #[error("the aggregate type has no such command")]
    UnknownCommand,
    /// The payload doesn't fit the command.
    #[error("the payload doesn't fit the command: {message}")]
    Invalid {
        /// What is wrong, for people.
        message: String,
        /// JSON pointer to the faulty part; empty for the whole payload.
        pointer: String,
    },
    /// The guest failed.
    #[error(transparent)]
    Fault(#[from] GuestFault),
}

/// Why events were not applied or upcast.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The module can't take one of the events. The resident is of no further use: release it.
    #[error(transparent)]
    Refused(#[from] RefusedEvent),
    /// The guest failed.
    #[error(transparent)]
    Fault(#[from] GuestFault),
}

/// An event that a module can't take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {index} of those passed can't be taken: {reason}")]
pub struct RefusedEvent {
    /// Its place among the events that were passed, from 0.
    pub index: usize,
    /// Why.
    pub reason: EventRefusal,
}

/// Why a module can't take an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventRefusal {
    /// It knows no such type and schema version.
    #[error("the module declares no event of that type and schema version")]
    Unknown,
    /// The payload can't be decoded, or doesn't fit the state.
    #[error("{0}")]
    Invalid(String),
}

/// Why a state can't be restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// It was written under another state version: fold the events instead.
    #[error("the state was written under another state version")]
    OtherStateVersion,
    /// The module can't decode it: fold the events instead.
    #[error("the state can't be decoded: {0}")]
    InvalidState(String),
    /// The guest failed.
    #[error(transparent)]
    Fault(#[from] GuestFault),
}

/// An event in its newest form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpcastEvent {
    /// Name of its type.
    pub event_type: String,
    /// Version of its payload's shape.
    pub schema_version: u32,
    /// The payload.
    pub payload: Json,
}
