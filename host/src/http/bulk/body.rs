//! The JSON of the lines, in and out.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Answered, Came};
use crate::http::body::Executed;
use crate::http::problem::{Expected, ProblemBody};
use crate::model::{AggregateType, IdempotencyKey, Json, StreamId};

/// A command, as a line of `POST /v1/commands`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CommandLine {
    /// The aggregate type.
    pub(super) aggregate_type: AggregateType,
    /// The stream's id.
    pub(super) stream_id: StreamId,
    /// Name of the command.
    pub(super) command: String,
    /// The command's payload; `{}` where there is none.
    #[serde(default = "empty")]
    pub(super) payload: Json,
    /// What is demanded of the stream: a version, `no-stream`, `exists` or `any`; `any` where it isn't named.
    #[schema(value_type = Option<Expected>)]
    pub(super) expected_version: Option<serde_json::Value>,
    /// Makes a repeated command the same command.
    pub(super) idempotency_key: Option<IdempotencyKey>,
    /// Ties together all that follows from one cause; the request's header where it isn't named.
    #[schema(min_length = 1, max_length = 256)]
    pub(super) correlation_id: Option<String>,
    /// What caused the command; the request's header where it isn't named.
    #[schema(min_length = 1, max_length = 256)]
    pub(super) causation_id: Option<String>,
    /// Who sends the command; the request's header where it isn't named.
    #[schema(min_length = 1, max_length = 256)]
    pub(super) actor: Option<String>,
}

/// An event of a history, as a line of `POST /v1/events`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct EventLine {
    /// The aggregate type.
    pub(super) aggregate_type: AggregateType,
    /// The stream's id.
    pub(super) stream_id: StreamId,
    /// The event's place in its stream, from 0. Needed: by it and the id an event is known that is there already.
    #[schema(minimum = 0)]
    pub(super) version: i64,
    /// The event's id. Needed, as the version is.
    pub(super) event_id: Uuid,
    /// Name of its type.
    #[schema(min_length = 1, max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    pub(super) event_type: String,
    /// Version of its payload's shape; 1 where it isn't named.
    #[serde(default = "first_schema_version")]
    #[schema(minimum = 1, maximum = 2_147_483_647)]
    pub(super) schema_version: u32,
    /// When it happened (RFC 3339), kept to the microsecond; the time of the import where it isn't said.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(super) occurred_at: Option<OffsetDateTime>,
    /// What happened; kept byte for byte.
    pub(super) payload: Json,
    /// Its metadata, kept as it is; `{}` where there is none.
    #[serde(default = "empty")]
    pub(super) metadata: Json,
}

fn empty() -> Json {
    Json::of(&serde_json::Map::new())
}

fn first_schema_version() -> u32 {
    1
}

/// The answer to a line of commands: `result`, or `problem`.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct CommandAnswer {
    /// The line's number in the body, from 1.
    pub(super) line: u64,
    /// The status that the command alone would have been answered with.
    pub(super) status: u16,
    /// What was carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) result: Option<Executed>,
    /// Why nothing was carried out, unless it says that this isn't known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) problem: Option<ProblemBody>,
}

/// The answer to a line of events: where the event is, or `problem`.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(in crate::http) struct EventAnswer {
    /// The line's number in the body, from 1.
    pub(super) line: u64,
    /// 200 where the event is in the log, and otherwise the problem's status.
    pub(super) status: u16,
    /// The event's place in the whole log.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) position: Option<i64>,
    /// Whether it was there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) already_there: Option<bool>,
    /// Why it isn't in the log, unless it says that this isn't known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) problem: Option<ProblemBody>,
}

/// How far a body is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::http) struct Progress {
    /// All up to the line of this number are answered, and none behind it.
    pub(super) through_line: u64,
    /// Lines that were answered: the others were empty.
    pub(super) answered: u64,
    /// Those of them with a problem.
    pub(super) failed: u64,
    /// Those of them that an earlier request had carried out.
    pub(super) repeated: u64,
}

impl Progress {
    pub(super) fn count(&mut self, answered: &Answered) {
        self.through_line = answered.line;
        self.answered += 1;
        self.failed += u64::from(answered.came == Came::Failed);
        self.repeated += u64::from(answered.came == Came::AlreadyThere);
    }
}

/// A line about the lines before it, where those that went well have none of their own.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ProgressLine {
    /// How far the body is answered.
    pub(super) progress: Progress,
}

/// Why an answer has no more lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::http) enum Ending {
    /// Every line of the body is answered.
    Input,
    /// No whole line came for too long.
    Idle,
    /// The host ends.
    Stopping,
    /// The body broke off.
    BrokenOff,
}

/// The last line of an answer: without it, the answer was broken off.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Closing {
    /// Why there are no more lines.
    pub(super) end: Ending,
    /// How far the body is answered. Nothing behind it was carried out.
    #[serde(flatten)]
    pub(super) progress: Progress,
    /// What to do, where lines may be left.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) detail: Option<String>,
}

/// A line of the answer to commands.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it stands for its variants in the API's description alone")]
pub(in crate::http) enum CommandsLine {
    /// What became of a line.
    Answer(Box<CommandAnswer>),
    /// The last line.
    Closing(Closing),
}

/// A line of the answer to events.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it stands for its variants in the API's description alone")]
pub(in crate::http) enum EventsLine {
    /// What became of a line.
    Answer(Box<EventAnswer>),
    /// How far the host is.
    Progress(ProgressLine),
    /// The last line.
    Closing(Closing),
}

impl Closing {
    pub(super) fn of(end: Ending, progress: Progress, idle_timeout: Duration) -> Self {
        let what = match end {
            Ending::Input => None,
            Ending::Idle => Some(format!("no whole line came for {} seconds", idle_timeout.as_secs_f64())),
            Ending::Stopping => Some("the host ends".to_owned()),
            Ending::BrokenOff => Some("the body broke off".to_owned()),
        };
        let detail = what.map(|what| {
            format!("{what}: no line behind line {} was carried out, send them again", progress.through_line)
        });
        Self { end, progress, detail }
    }
}
