//! `GET /v1/aggregates/{type}/{id}`: an aggregate's committed state.

use axum::extract::State as Handle;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;

use super::Api;
use super::body::State;
use super::caching::{self, Freshness, Validator};
use super::extract::{Caller, Parameters, StreamPath};
use super::problem::Problem;
use crate::pipeline::StateQuery;

/// Which state is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// The fold of the events up to this version; the stream's last one where it isn't named.
    at_version: Option<i64>,
    /// Whether the answer may be behind what other hosts have just committed, and come without asking the database.
    stale: Option<Stale>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stale {
    Ok,
}

/// Reads the state.
///
/// The `ETag` is for `If-None-Match`, and, for the version in it, for `If-Match` of the next command. A state depends
/// on the module as well as on the version, so that both are in it, and the event at that version.
pub(super) async fn read(
    Handle(api): Handle<Api>,
    caller: Caller,
    path: StreamPath,
    headers: HeaderMap,
    Parameters(which): Parameters<Which>,
) -> Result<Response, Problem> {
    if which.at_version.is_some_and(|version| version < 0) {
        return Err(Problem::invalid("the query string: at_version is 0 or more"));
    }
    let stale = matches!(which.stale, Some(Stale::Ok));
    let stream = path.of(caller.tenant);
    let query = StateQuery { stream: stream.clone(), at_version: which.at_version, stale };
    let view = api.pipeline.state(query, caller.deadline).await?;
    let parts = [stream.tenant.as_str().as_bytes(), view.event_id.as_bytes(), &view.digest.0];
    let validator = Validator::new(view.version, &parts);
    let state = State::of(stream.aggregate_type, stream.stream_id, view);
    Ok(caching::answer(&headers, &validator, Freshness::AskAgain, HeaderMap::new(), &state))
}
