//! The JSON of requests and answers, one type each.

use std::sync::Arc;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::links::Links;
use super::upcast::Upcast;
use crate::model::{self, AggregateType, Cursor, Digest, Json, Outcome, RecordedEvent, StreamId, Tenant};
use crate::modules::ModuleStatus;
use crate::pipeline::StateView;
use crate::store::StreamSummary;

/// The answer to a command or raw append that was carried out.
#[derive(Debug, Serialize, ToSchema)]
pub struct Executed {
    /// The stream's version after it; -1 where it still has no events.
    pub version: i64,
    /// Position of its last event in the whole log; null where it has none.
    #[schema(required)]
    pub position: Option<i64>,
    /// The events that it appended, in order; none where nothing had to happen.
    pub events: Vec<AppendedEvent>,
    /// This is the answer to an earlier request with the same idempotency key; nothing was done anew.
    pub replayed: bool,
}

/// One event that a request appended.
#[derive(Debug, Serialize, ToSchema)]
pub struct AppendedEvent {
    /// Its id.
    pub event_id: Uuid,
    /// Name of its type.
    pub event_type: String,
    /// Its place in its stream, from 0.
    pub version: i64,
    /// Its place in the whole log, from 1.
    pub position: i64,
}

impl Executed {
    /// The answer, or the rejection that it is.
    pub(super) fn of(executed: model::Executed) -> Result<Self, model::Rejection> {
        let replayed = executed.replayed;
        match executed.outcome {
            Outcome::Appended(events) => {
                let last = events.last().map(|event| (event.version, event.position));
                let (version, position) = last.unzip();
                let version = version.unwrap_or(model::NO_STREAM);
                Ok(Self { version, position, events: events.into_iter().map(Into::into).collect(), replayed })
            }
            Outcome::Nothing { version } => Ok(Self { version, position: None, events: Vec::new(), replayed }),
            Outcome::Rejected { rejection, .. } => Err(rejection),
        }
    }
}

impl From<model::EventRef> for AppendedEvent {
    fn from(event: model::EventRef) -> Self {
        let model::EventRef { event_id, event_type, version, position } = event;
        Self { event_id, event_type, version, position }
    }
}

/// An aggregate's committed state.
#[derive(Debug, Serialize, ToSchema)]
pub struct State {
    /// The aggregate type.
    pub aggregate_type: AggregateType,
    /// The stream's id.
    pub stream_id: StreamId,
    /// The version up to which events are folded in.
    pub version: i64,
    /// The state, as the module wrote it.
    pub state: Json,
    /// The module that folded it.
    pub module: StateModule,
}

/// The module that folded a state.
#[derive(Debug, Serialize, ToSchema)]
pub struct StateModule {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its component.
    pub digest: Digest,
}

impl State {
    pub(super) fn of(aggregate_type: AggregateType, stream_id: StreamId, view: StateView) -> Self {
        let module = StateModule { name: view.module, version: view.module_version, digest: view.digest };
        Self { aggregate_type, stream_id, version: view.version, state: view.state, module }
    }
}

/// An event as the log holds it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Event {
    /// Its place in the whole log, from 1.
    pub position: i64,
    /// Whose event it is.
    pub tenant: Tenant,
    /// The aggregate type.
    pub aggregate_type: AggregateType,
    /// The stream's id.
    pub stream_id: StreamId,
    /// Its place in its stream, from 0.
    pub version: i64,
    /// Its id.
    pub event_id: Uuid,
    /// Name of its type.
    pub event_type: String,
    /// Version of its payload's shape, from 1.
    pub schema_version: u32,
    /// When it happened, as its writer said: data, never an order.
    #[serde(with = "time::serde::rfc3339")]
    pub occurred_at: OffsetDateTime,
    /// When it was committed; never falls along positions.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// SHA-256 of the module that decided it; null for a raw append.
    #[schema(required)]
    pub module_digest: Option<Digest>,
    /// What happened, byte for byte as it was appended.
    pub payload: Json,
    /// Whence it came.
    pub metadata: Json,
    /// What became of it, where it was asked for in its newest form.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upcast: Option<Upcast>,
}

impl From<RecordedEvent> for Event {
    fn from(event: RecordedEvent) -> Self {
        Self {
            position: event.position,
            tenant: event.stream.tenant,
            aggregate_type: event.stream.aggregate_type,
            stream_id: event.stream.stream_id,
            version: event.version,
            event_id: event.event_id,
            event_type: event.event_type,
            schema_version: event.schema_version,
            occurred_at: event.occurred_at,
            created_at: event.created_at,
            module_digest: event.module_digest,
            payload: event.payload,
            metadata: event.metadata,
            upcast: None,
        }
    }
}

/// A page of one stream.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamEvents {
    /// The events, in the order of reading. A page may be empty though there is a next one: few of the stream's events
    /// may be asked for.
    pub events: Vec<Event>,
    /// The stream's version when the page was read.
    pub version: i64,
    /// The pages beside this one.
    pub links: Links,
}

/// Events to append as they are, without a module.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Append {
    /// The events, in order; one at least.
    #[schema(min_items = 1)]
    pub events: Vec<AppendEvent>,
}

/// One event to append.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AppendEvent {
    /// Name of its type: 1 to 200 bytes of UTF-8 without control characters.
    #[schema(min_length = 1, max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    pub event_type: String,
    /// Version of its payload's shape; 1 where it isn't named.
    #[schema(minimum = 1, maximum = 2_147_483_647)]
    #[serde(default = "first_schema_version", deserialize_with = "whole_number")]
    pub schema_version: u32,
    /// What happened.
    pub payload: Json,
    /// Its metadata; whence the request came, by its headers, where it has none.
    #[schema(nullable = false)]
    #[serde(default)]
    pub metadata: Option<Json>,
    /// Its id; made by the host where none is named.
    #[serde(default)]
    pub event_id: Option<Uuid>,
    /// When it happened; now where it isn't said.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub occurred_at: Option<OffsetDateTime>,
}

fn first_schema_version() -> u32 {
    1
}

/// JSON knows no integers of their own: 2 may be written 2.0, as JSON Schema has it.
fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    let whole =
        number.as_i64().or_else(|| number.as_f64().filter(|float| float.fract() == 0.0).map(|float| float as i64));
    let version = whole.and_then(|whole| u32::try_from(whole).ok());
    version.ok_or_else(|| D::Error::custom(format!("{number} is no whole number from 0 to {}", u32::MAX)))
}

/// A page of the list of streams.
#[derive(Debug, Serialize, ToSchema)]
pub struct Streams {
    /// The streams, by aggregate type and id.
    pub streams: Vec<Stream>,
    /// The next page. This list is read one way.
    pub links: Links,
}

/// One stream.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stream {
    /// The aggregate type.
    pub aggregate_type: AggregateType,
    /// Its id.
    pub stream_id: StreamId,
    /// Its version.
    pub version: i64,
    /// Position of its last event in the whole log.
    pub position: i64,
    /// When its last event was committed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

impl From<StreamSummary> for Stream {
    fn from(stream: StreamSummary) -> Self {
        let StreamSummary { aggregate_type, stream_id, version, position, updated_at } = stream;
        Self { aggregate_type, stream_id, version, position, updated_at }
    }
}

/// A page of the log.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogEvents {
    /// The events, in the order of reading. A page may be empty though there is a next one: few of the log's events may
    /// be asked for.
    pub events: Vec<LogEvent>,
    /// Where to read on: `after` of the next request, or `before` of the next one backward.
    pub next: String,
    /// The log's last position; where a forward `next` is as far, all that is committed was read.
    pub head: String,
    /// The pages beside this one.
    pub links: Links,
}

/// One event of the log, and the cursor of a reader that has seen it.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogEvent {
    /// `after` of the request that reads on behind this event, or `before` of the one that reads what was before it.
    pub cursor: String,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

impl LogEvent {
    pub(super) fn of(epoch: i64, event: Event) -> Self {
        Self { cursor: Cursor { epoch, position: event.position }.to_string(), event }
    }
}

/// The event types that the log holds or an active module declares.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventTypes {
    /// The event types, each in each of its schema versions.
    pub event_types: Vec<EventType>,
}

/// One event type in one schema version.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventType {
    /// The aggregate type.
    pub aggregate_type: String,
    /// Name of the event type.
    pub event_type: String,
    /// The schema version.
    pub schema_version: u32,
    /// Position of the first such event in the log; null where there is none yet.
    #[schema(required)]
    pub first_position: Option<i64>,
    /// What the active modules make of it.
    pub reading: Reading,
    /// The active module that reads it; null where none does.
    #[schema(required)]
    pub module: Option<StateModule>,
    /// What it says, in the words of the module that declares it.
    #[schema(required)]
    pub description: Option<String>,
    /// JSON Schema of its payload, by the module that declares it.
    #[schema(required, nullable = false)]
    pub schema: Option<Json>,
}

/// What the active modules make of an event type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reading {
    /// A module declares it: it is the newest form, which commands answer.
    Declared,
    /// A module reads it by turning it into newer events.
    Upcast,
    /// No module reads it: streams that hold it can't be folded.
    Unknown,
}

/// What is in the modules directory.
#[derive(Debug, Serialize, ToSchema)]
pub struct Modules {
    /// The modules, active and not.
    #[schema(value_type = Vec<ModuleStatus>)]
    pub modules: Arc<Vec<ModuleStatus>>,
}

/// The host works.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    #[schema(example = "ok")]
    pub status: &'static str,
}
