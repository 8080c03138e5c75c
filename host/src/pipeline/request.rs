//! What can be asked of the pipeline beside commands, and the answers.

use time::OffsetDateTime;
use tokio::sync::oneshot;
use tracing::{Span, trace_span};
use uuid::Uuid;

use super::RequestError;
use super::upcast::{Upcast, UpcastRequest};
use crate::model::{Command, Digest, Executed, ExpectedVersion, IdempotencyKey, Json, Origin, StreamKey, TRACE};

/// Events to append as they are, decided by no module.
#[derive(Debug, Clone)]
pub struct RawAppend {
    /// The stream.
    pub stream: StreamKey,
    /// What the caller demands of the stream.
    pub expected: ExpectedVersion,
    /// Makes a repeated request the same request.
    pub idempotency_key: Option<IdempotencyKey>,
    /// Whence it came.
    pub origin: Origin,
    /// The events, at least one.
    pub events: Vec<RawEvent>,
}

/// One event to append as it is.
#[derive(Debug, Clone)]
pub struct RawEvent {
    /// Its id, where it has one already.
    pub event_id: Option<Uuid>,
    /// Name of its type.
    pub event_type: String,
    /// Version of its payload's shape, from 1.
    pub schema_version: u32,
    /// What happened.
    pub payload: Json,
    /// Its metadata; the request's origin where it has none.
    pub metadata: Option<Json>,
    /// When it happened; now where it doesn't say.
    pub occurred_at: Option<OffsetDateTime>,
}

/// Which state to answer.
#[derive(Debug, Clone)]
pub struct StateQuery {
    /// The stream.
    pub stream: StreamKey,
    /// The state as it was after this version; the present one without.
    pub at_version: Option<i64>,
    /// Skips the check against the database where the stream is resident: another host may have gone on.
    pub stale: bool,
}

/// A stream's committed state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateView {
    /// The version up to which events are folded in.
    pub version: i64,
    /// Id of the event at that version.
    pub event_id: Uuid,
    /// The state, as the module writes it.
    pub state: Json,
    /// Name of the module that folded it.
    pub module: String,
    /// Version of that module.
    pub module_version: String,
    /// Its digest.
    pub digest: Digest,
}

/// A request on its way to its shard, with where its answer goes.
pub(super) enum Work {
    Command(Box<Command>, Reply<Executed>),
    Append(Box<RawAppend>, Reply<Executed>),
    State(Box<StateQuery>, Reply<StateView>),
    Upcast(Box<UpcastRequest>, Reply<Upcast>),
}

pub(super) type Reply<T> = oneshot::Sender<Result<T, RequestError>>;

impl Work {
    /// The span of the whole request, below that of the HTTP request. Never its payload.
    pub(super) fn span(&self) -> Span {
        match self {
            Self::Command(command, _) => {
                let StreamKey { tenant, aggregate_type, stream_id } = &command.stream;
                let name = &command.name;
                trace_span!(target: TRACE, "command", %tenant, %aggregate_type, %stream_id, command = name)
            }
            Self::Append(append, _) => {
                let StreamKey { tenant, aggregate_type, stream_id } = &append.stream;
                trace_span!(target: TRACE, "raw-append", %tenant, %aggregate_type, %stream_id)
            }
            Self::State(query, _) => {
                let StreamKey { tenant, aggregate_type, stream_id } = &query.stream;
                trace_span!(target: TRACE, "state", %tenant, %aggregate_type, %stream_id)
            }
            Self::Upcast(request, _) => {
                let UpcastRequest { tenant, aggregate_type, .. } = request.as_ref();
                trace_span!(target: TRACE, "upcast", %tenant, %aggregate_type)
            }
        }
    }

    /// The stream whose requests are handled in order; none for what concerns no stream alone.
    pub(super) fn stream(&self) -> Option<&StreamKey> {
        match self {
            Self::Command(command, _) => Some(&command.stream),
            Self::Append(append, _) => Some(&append.stream),
            Self::State(query, _) => Some(&query.stream),
            Self::Upcast(..) => None,
        }
    }
}
