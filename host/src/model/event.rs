//! Events: about to be appended, and as the log holds them.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Digest, Json, StreamKey};

/// An event that isn't in the log yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Made once by the host (UUIDv7), or kept from an import; never reused for another event.
    pub event_id: Uuid,
    /// Name of its type.
    pub event_type: String,
    /// Version of its payload's shape, from 1.
    pub schema_version: u32,
    /// What happened.
    pub payload: Json,
    /// Whence it came: command, actor, correlation, trace.
    pub metadata: Json,
    /// When it happened, to the microsecond: data, never an order.
    pub occurred_at: OffsetDateTime,
}

/// An event of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedEvent {
    /// Its place in the whole log, from 1.
    pub position: i64,
    /// Its stream.
    pub stream: StreamKey,
    /// Its place in its stream, from 0.
    pub version: i64,
    /// Its id.
    pub event_id: Uuid,
    /// Name of its type.
    pub event_type: String,
    /// Version of its payload's shape.
    pub schema_version: u32,
    /// What happened.
    pub payload: Json,
    /// Whence it came.
    pub metadata: Json,
    /// When it happened, as its writer said.
    pub occurred_at: OffsetDateTime,
    /// When it was committed; never falls along positions.
    pub created_at: OffsetDateTime,
    /// Digest of the module that decided it; none for a raw append.
    pub module_digest: Option<Digest>,
}

/// What the answer to a command says of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRef {
    /// Its id.
    pub event_id: Uuid,
    /// Name of its type.
    pub event_type: String,
    /// Its place in its stream.
    pub version: i64,
    /// Its place in the whole log.
    pub position: i64,
}
