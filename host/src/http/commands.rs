//! `POST /v1/aggregates/{type}/{id}/commands/{command}`: a command to a stream.

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::HeaderMap;

use super::body::Executed;
use super::extract::{Caller, CommandName, Conditions, Payload, Provenance, StreamPath};
use super::problem::Problem;
use super::{Api, etag};
use crate::model::{self, Command};

/// Executes the command and answers when its events are committed.
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
