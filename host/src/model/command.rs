//! Commands and their outcomes.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{EventRef, ExpectedVersion, IdempotencyKey, Json, StreamKey};

/// A request to one stream.
#[derive(Debug, Clone)]
pub struct Command {
    /// The stream.
    pub stream: StreamKey,
    /// Name of the command, as the module declares it.
    pub name: String,
    /// The payload.
    pub payload: Json,
    /// What the caller demands of the stream.
    pub expected: ExpectedVersion,
    /// Makes a repeated request the same request.
    pub idempotency_key: Option<IdempotencyKey>,
    /// Whence it came.
    pub origin: Origin,
}

/// Whence a request came: kept in the metadata of its events.
#[derive(Debug, Clone, Serialize)]
pub struct Origin {
    /// The request's own id, which is the causation id of its events where the caller named none.
    pub command_id: Uuid,
    /// When the host took it.
    #[serde(skip)]
    pub received_at: OffsetDateTime,
    /// Ties together all that follows from one cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// What caused the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// Who sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// W3C trace context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// The domain's "no".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Stable code.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// Further data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Json>,
}

/// A request that was carried out, and its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// What came of it.
    pub outcome: Outcome,
    /// The outcome is that of an earlier request with the same idempotency key.
    pub replayed: bool,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// These events are committed.
    Appended(Vec<EventRef>),
    /// Nothing had to happen.
    Nothing {
        /// The stream's version; -1 for none.
        version: i64,
    },
    /// The domain says no.
    Rejected {
        /// Why.
        rejection: Rejection,
        /// The stream's version; -1 for none.
        version: i64,
    },
}
