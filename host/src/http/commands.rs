//! `POST /v1/aggregates/{type}/{id}/commands/{command}`: a command to a stream.

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::HeaderMap;

use super::body::Executed;
use super::description::problems::{APPENDING, FOLDING, READING, problems};
use super::extract::{Caller, CommandName, Conditions, Payload, Provenance, StreamPath};
use super::problem::{Code, Problem};
use super::{Api, etag};
use crate::model::{self, Command};

problems!(Problems: READING, FOLDING, APPENDING, &[Code::UnknownCommand, Code::Rejected]);

/// Execute a command
///
/// The active module decides; the answer comes when the events are committed. A domain's "no" is the problem
/// `rejected`. No body is the same as `{}`.
#[utoipa::path(
    post,
    path = "/v1/aggregates/{type}/{id}/commands/{command}",
    operation_id = "executeCommand",
    tag = "aggregates",
    params(StreamPath, CommandName, Caller, Conditions, Provenance),
    request_body(
        content = ref("#/components/schemas/Json"),
        content_type = "application/json",
        description = "The command's payload, as the module's JSON Schema asks for it.",
        example = json!({"owner": "Ann"}),
    ),
    responses(
        (
            status = 200,
            description = "The events are committed; or nothing had to happen.",
            body = Executed,
            headers(("ETag" = String, description = "The stream's version, for `If-Match`; absent where it has no events.")),
            example = json!({
                "version": 0,
                "position": 1,
                "events": [{
                    "event_id": "01a20318-c010-7049-b9fd-4d5b9fe08338",
                    "event_type": "Opened",
                    "version": 0,
                    "position": 1,
                }],
                "replayed": false,
            }),
        ),
        Problems,
    ),
)]
pub(super) async fn execute(
    State(api): State<Api>,
    caller: Caller,
    path: StreamPath,
    CommandName(name): CommandName,
    conditions: Conditions,
    Provenance(origin): Provenance,
    payload: Payload,
) -> Result<(HeaderMap, JsonAnswer<Executed>), Problem> {
    let command = Command {
        stream: path.of(caller.tenant),
        name,
        payload: payload.json()?,
        expected: conditions.precondition.expected,
        idempotency_key: conditions.idempotency_key.clone(),
        origin,
    };
    let executed = api.pipeline.execute(command, caller.deadline).await.map_err(|error| conditions.problem(error))?;
    answer(executed)
}

/// The answer to what was carried out; the domain's "no" is a problem document.
pub(super) fn answer(executed: model::Executed) -> Result<(HeaderMap, JsonAnswer<Executed>), Problem> {
    let replayed = executed.replayed;
    let answer = Executed::of(executed).map_err(|rejection| Problem::rejected(rejection, replayed))?;
    Ok((etag(answer.version), JsonAnswer(answer)))
}
