//! `POST /v1/commands`: commands of any number, a line each.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::body::{CommandAnswer, CommandLine, CommandsLine};
use super::{Answered, Answering, Came, Kind, Numbered, answer, check_headers, faulty, read_json};
use crate::http::Api;
use crate::http::body::Executed;
use crate::http::description::problems::problems;
use crate::http::extract::{Caller, Provenance};
use crate::http::headers::{self, check_label};
use crate::http::problem::{Code, Problem};
use crate::http::serve::Stopping;
use crate::model::{self, Command, ExpectedVersion, ExpectedVersionError, Origin, StreamKey, Tenant};
use crate::pipeline::{Pipeline, RequestError};

problems!(Problems: &[Code::Invalid, Code::UnsupportedMediaType, Code::Overloaded, Code::Internal]);

/// Execute commands in bulk
///
/// One a line, each answered in a line of its own, in their order. Commands of one stream are carried out in the order
/// of their lines; those of several streams side by side. The body may have any length: it is read only as fast as it
/// is carried out, and as its answers are read. A line that can't be carried out answers for itself, and the next one is
/// taken. The last line says why the answer ends.
///
/// The tenant, the timeout (of each line) and the defaults of actor, correlation and causation id are the request's
/// headers.
#[utoipa::path(
    post,
    path = "/v1/commands",
    operation_id = "executeCommands",
    tag = "bulk",
    params(Caller, Provenance),
    request_body(content = CommandLine, content_type = "application/x-ndjson", description = "One command a line."),
    responses(
        (
            status = 200,
            description = "One answer a line, and a last line that says why there are no more.",
            body = CommandsLine,
            content_type = "application/x-ndjson",
        ),
        Problems,
    ),
)]
pub(in crate::http) async fn execute(
    State(api): State<Api>,
    caller: Caller,
    Provenance(origin): Provenance,
    stopping: Stopping,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    check_headers(&headers)?;
    let options = &api.options;
    let time = headers::timeout(&headers, options.default_timeout, options.max_timeout)?;
    let commands = Commands { pipeline: api.pipeline.clone(), tenant: caller.tenant, origin, time };
    Ok(answer(commands, body, stopping, options, false))
}

/// What the commands of one request have in common.
struct Commands {
    pipeline: Pipeline,
    tenant: Tenant,
    origin: Origin,
    time: Duration,
}

impl Kind for Commands {
    type Entry = Command;
    const BATCH: usize = 1;
    // Enough that commits are shared; what one client has the host hold.
    const UNDER_WAY: usize = 256;

    fn read(&self, text: &[u8]) -> Result<Command, Problem> {
        let line: CommandLine = read_json(text)?;
        let payload = line.payload.within_depth().map_err(|error| faulty("/payload".to_owned(), error))?;
        let label = |name: &str, text: Option<String>, default: &Option<String>| match text {
            None => Ok(default.clone()),
            Some(text) => match check_label(&text) {
                Ok(()) => Ok(Some(text)),
                Err(reason) => Err(faulty(format!("/{name}"), reason)),
            },
        };
        let origin = Origin {
            command_id: Uuid::now_v7(),
            received_at: OffsetDateTime::now_utc(),
            correlation_id: label("correlation_id", line.correlation_id, &self.origin.correlation_id)?,
            causation_id: label("causation_id", line.causation_id, &self.origin.causation_id)?,
            actor: label("actor", line.actor, &self.origin.actor)?,
            traceparent: self.origin.traceparent.clone(),
        };
        let (tenant, aggregate_type, stream_id) = (self.tenant.clone(), line.aggregate_type, line.stream_id);
        Ok(Command {
            stream: StreamKey { tenant, aggregate_type, stream_id },
            name: line.command,
            payload,
            expected: expected(line.expected_version)?,
            idempotency_key: line.idempotency_key,
            origin,
        })
    }

    async fn begin(&self, batch: Vec<Numbered<Command>>) -> Answering {
        let mut answers = Vec::with_capacity(batch.len());
        for (line, command) in batch {
            // One after the other: they are carried out in the order in which they are queued.
            let queued = match command {
                Ok(command) => self.pipeline.queue(command, self.time).await.map_err(Problem::from),
                Err(problem) => Err(problem),
            };
            answers.push((line, queued));
        }
        Box::pin(async move {
            let mut answered = Vec::with_capacity(answers.len());
            for (line, queued) in answers {
                answered.push(match queued {
                    Ok(queued) => answered_with(line, executed(queued.answer().await)),
                    Err(problem) => answered_with(line, Err(problem)),
                });
            }
            answered
        })
    }
}

/// The demand of a line.
fn expected(text: Option<Value>) -> Result<ExpectedVersion, Problem> {
    let read: Result<_, ExpectedVersionError> = match text {
        None => Ok(ExpectedVersion::Any),
        Some(Value::String(text)) => text.parse(),
        Some(other) => other.to_string().parse(),
    };
    read.map_err(|error| faulty("/expected_version".to_owned(), error))
}

fn executed(outcome: Result<model::Executed, RequestError>) -> Result<Executed, Problem> {
    let executed = outcome?;
    let replayed = executed.replayed;
    Executed::of(executed).map_err(|rejection| Problem::rejected(rejection, replayed))
}

fn answered_with(line: u64, outcome: Result<Executed, Problem>) -> Answered {
    match outcome {
        Ok(result) => {
            let came = if result.replayed { Came::AlreadyThere } else { Came::Done };
            Answered::new(line, came, &CommandAnswer { line, status: 200, result: Some(result), problem: None })
        }
        Err(problem) => {
            let problem = problem.into_body();
            let answer = CommandAnswer { line, status: problem.status, result: None, problem: Some(problem) };
            Answered::new(line, Came::Failed, &answer)
        }
    }
}
