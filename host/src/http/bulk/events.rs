//! `POST /v1/events`: history from another store, an event a line.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use super::body::{EventAnswer, EventLine, EventsLine};
use super::{Answered, Answering, Came, Kind, Numbered, answer, check_headers, faulty, read_json};
use crate::http::Api;
use crate::http::description::problems::problems;
use crate::http::extract::{Caller, Parameters};
use crate::http::headers;
use crate::http::limits::MAX_SCHEMA_VERSION;
use crate::http::problem::{Code, Problem};
use crate::http::query::event_type_name;
use crate::http::serve::Stopping;
use crate::http::stream_events::utc;
use crate::model::{ExpectedVersion, Json, NO_STREAM, NewEvent, StreamKey, Tenant};
use crate::pipeline::{Diverged, ImportError, ImportEvent, Imported, Pipeline};

/// How much is to be said of the lines.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Which {
    /// `all`: each line is answered. `summary`: only lines with a problem are, and now and then it is said how far the
    /// host is.
    #[serde(default)]
    #[param(inline)]
    results: Results,
}

/// Which lines are answered one by one.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Results {
    #[default]
    All,
    Summary,
}

problems!(Problems: &[Code::Invalid, Code::UnsupportedMediaType, Code::Overloaded, Code::Internal]);

/// Import events in bulk
///
/// As they are, one a line: their ids, versions and times are kept, and their positions follow the order of the lines.
///
/// An event that is at its version already is passed over, so that the same lines may be sent again. Another event at
/// that version is a conflict, and so is a version that the stream hasn't come up to. Such a line answers for itself, and
/// the next one is taken. The last line says why the answer ends.
///
/// The body may have any length: it is read only as fast as it is written to the log, and as its answers are read.
#[utoipa::path(
    post,
    path = "/v1/events",
    operation_id = "importEvents",
    tag = "bulk",
    params(Which, Caller),
    request_body(content = EventLine, content_type = "application/x-ndjson", description = "One event a line."),
    responses(
        (
            status = 200,
            description = "One answer a line, and a last line that says why there are no more.",
            body = EventsLine,
            content_type = "application/x-ndjson",
        ),
        Problems,
    ),
)]
pub(in crate::http) async fn import(
    State(api): State<Api>,
    caller: Caller,
    Parameters(which): Parameters<Which>,
    stopping: Stopping,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    check_headers(&headers)?;
    let options = &api.options;
    let time = headers::timeout(&headers, options.default_timeout, options.max_timeout)?;
    let diverged = Diverged::default();
    let events = Events { pipeline: api.pipeline.clone(), tenant: caller.tenant, time, diverged };
    Ok(answer(events, body, stopping, options, which.results == Results::Summary))
}

/// What the events of one request have in common.
struct Events {
    pipeline: Pipeline,
    tenant: Tenant,
    time: Duration,
    diverged: Diverged,
}

impl Kind for Events {
    type Entry = ImportEvent;
    // Half of what a commit takes by default: commands have a part of each one too.
    const BATCH: usize = 500;
    // The next batch must find what this one wrote, or positions wouldn't follow the order of the lines.
    const UNDER_WAY: usize = 1;

    fn read(&self, text: &[u8]) -> Result<ImportEvent, Problem> {
        let line: EventLine = read_json(text)?;
        if line.version < 0 {
            return Err(faulty("/version".to_owned(), "is 0 or more"));
        }
        event_type_name(&line.event_type).map_err(|reason| faulty("/event_type".to_owned(), reason))?;
        if !(1..=MAX_SCHEMA_VERSION).contains(&line.schema_version) {
            return Err(faulty("/schema_version".to_owned(), format!("is a number from 1 to {MAX_SCHEMA_VERSION}")));
        }
        let occurred_at = match line.occurred_at {
            Some(time) => utc(time).map_err(|reason| faulty("/occurred_at".to_owned(), reason))?,
            None => OffsetDateTime::now_utc(),
        };
        let shallow = |name: &str, json: Json| json.within_depth().map_err(|error| faulty(format!("/{name}"), error));
        let (tenant, aggregate_type, stream_id) = (self.tenant.clone(), line.aggregate_type, line.stream_id);
        Ok(ImportEvent {
            stream: StreamKey { tenant, aggregate_type, stream_id },
            version: line.version,
            event: NewEvent {
                event_id: line.event_id,
                event_type: line.event_type,
                schema_version: line.schema_version,
                payload: shallow("payload", line.payload)?,
                metadata: shallow("metadata", line.metadata)?,
                occurred_at,
            },
        })
    }

    async fn begin(&self, batch: Vec<Numbered<ImportEvent>>) -> Answering {
        let (mut lines, mut events) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for (line, event) in batch {
            lines.push((
                line,
                event.map(|event| {
                    let place = (event.stream.clone(), event.version);
                    events.push(event);
                    place
                }),
            ));
        }
        let importing = self.pipeline.import(events, self.time, &self.diverged).await;
        Box::pin(async move {
            let mut outcomes = importing.outcomes().await.into_iter();
            let mut answer = |(line, place): (u64, Result<(StreamKey, i64), Problem>)| {
                let outcome = place.and_then(|(stream, version)| match outcomes.next() {
                    Some(outcome) => outcome.map_err(|error| problem(&stream, version, error)),
                    None => Err(Problem::internal("an event of an import has no outcome")),
                });
                answered(line, outcome)
            };
            lines.into_iter().map(&mut answer).collect()
        })
    }
}

fn answered(line: u64, outcome: Result<Imported, Problem>) -> Answered {
    match outcome {
        Ok(Imported { position, already_there }) => {
            let came = if already_there { Came::AlreadyThere } else { Came::Done };
            let (position, already_there) = (Some(position), Some(already_there));
            Answered::new(line, came, &EventAnswer { line, status: 200, position, already_there, problem: None })
        }
        Err(problem) => {
            let problem = problem.into_body();
            let answer = EventAnswer { line, status: problem.status, problem: Some(problem), ..EventAnswer::default() };
            Answered::new(line, Came::Failed, &answer)
        }
    }
}

/// Why an event isn't in the log.
fn problem(stream: &StreamKey, version: i64, error: ImportError) -> Problem {
    let (detail, actual) = match error {
        ImportError::Failed(error) => return error.into(),
        ImportError::Gap { actual: NO_STREAM } => {
            (format!("{stream} has no events: import it from version 0 on"), NO_STREAM)
        }
        ImportError::Gap { actual } => {
            (format!("{stream} is at version {actual}: import version {} first", actual + 1), actual)
        }
        ImportError::Diverged { actual } => {
            (format!("{stream} has a history of its own: an earlier line of it is another event there"), actual)
        }
        ImportError::Taken { event_id, actual } => {
            let detail = format!(
                "version {version} of {stream} is another event, {event_id}: the stream has a history of its own"
            );
            (detail, actual)
        }
    };
    Problem::new(Code::VersionConflict, detail).with(|body| {
        body.expected = Some(ExpectedVersion::before(version).into());
        body.actual = Some(actual);
    })
}
