//! Appends, as they queue for the writer, and what becomes of them.

use uuid::Uuid;

use super::{Digest, ExpectedVersion, IdempotencyKey, NewEvent, Rejection, StreamKey};

/// A stream's last committed event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its version.
    pub version: i64,
    /// Its id.
    pub event_id: Uuid,
}

/// The head that a decision was made on: `None` where the stream had no events.
///
/// The event id is part of it because equal versions don't prove equal state: another host may have written another
/// event at the version that this one expected its own to take.
pub type Base = Option<Head>;

/// The request to store an append's outcome under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptRequest {
    /// The caller's key.
    pub key: IdempotencyKey,
    /// SHA-256 of the request: the same key with another request is refused.
    pub fingerprint: [u8; 32],
}

/// One append to one stream: its events commit together or not at all.
///
/// Without events it only checks: that is how a rejection or an empty decision is confirmed before it is answered.
#[derive(Debug, Clone)]
pub struct Append {
    /// The stream.
    pub stream: StreamKey,
    /// What the caller demands of the stream.
    pub expected: ExpectedVersion,
    /// What the decision was made on; `None` for a raw append.
    pub base: Option<Base>,
    /// The append goes on from the one queued just before it for the same stream: its base is that one's last event,
    /// and it fails with it.
    pub continues: bool,
    /// Stores the outcome under a key, and answers a stored one instead.
    pub receipt: Option<ReceiptRequest>,
    /// Digest of the module that decided it; none for a raw append.
    pub module_digest: Option<Digest>,
    /// The events, in order.
    pub events: Vec<NewEvent>,
    /// The rejection to keep in the receipt; only without events.
    pub rejection: Option<Rejection>,
}

/// What became of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendOutcome {
    /// Its events are committed.
    Appended {
        /// Version of its first event; the others follow.
        first_version: i64,
        /// Position of its first event; the others follow.
        first_position: i64,
    },
    /// It had no events, and what it was decided on is the stream's head.
    Confirmed {
        /// The stream's version.
        version: i64,
    },
    /// Its key has a stored outcome, of the same request: nothing was written.
    Replayed(StoredOutcome),
    /// Its key has a stored outcome of another request: nothing was written.
    KeyReused,
    /// The stream isn't where the caller demands it: nothing was written.
    Conflict {
        /// The stream's version; -1 for none.
        actual: i64,
    },
    /// The stream's head isn't what the decision was made on: nothing was written.
    Stale {
        /// The stream's version; -1 for none.
        actual: i64,
    },
    /// The append that it goes on from failed: nothing was written.
    PredecessorFailed,
}

/// The outcome that a receipt keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredOutcome {
    /// Events of the stream.
    Events {
        /// Version of the first.
        first_version: i64,
        /// Position of the first.
        first_position: i64,
        /// How many.
        count: i64,
    },
    /// No events.
    Nothing {
        /// The stream's version then; -1 for none.
        version: i64,
    },
    /// A rejection.
    Rejected {
        /// What the domain said.
        rejection: Rejection,
        /// The stream's version then; -1 for none.
        version: i64,
    },
}
