//! `GET /v1/aggregates/{type}/{id}`: an aggregate's committed state.

use axum::extract::State as Handle;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::body::State;
use super::caching::{self, Freshness, KnownTag, Validator};
use super::description::problems::{FOLDING, READING, problems};
use super::extract::{Caller, Parameters, StreamPath};
use super::problem::{Code, Problem};
use crate::pipeline::StateQuery;

problems!(Problems: READING, FOLDING, &[Code::StreamNotFound, Code::NotFound]);

/// Which state is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// The fold of the events up to this version; the stream's last one where it isn't named.
    #[param(minimum = 0)]
    at_version: Option<i64>,
    /// Whether the answer may be behind what other hosts have just committed, and come without asking the database.
    #[param(inline, nullable = false)]
    stale: Option<Stale>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Stale {
    Ok,
}

/// Read an aggregate's state
///
/// The `ETag` is for `If-None-Match`, and, for the version in it, for `If-Match` of the next command. A state depends
/// on the module as well as on the version, so that both are in it, and the event at that version.
#[utoipa::path(
    get,
    path = "/v1/aggregates/{type}/{id}",
    operation_id = "readState",
    tag = "aggregates",
    params(StreamPath, Which, Caller, KnownTag),
    responses(
        (
            status = 200,
            description = "The committed state.",
            body = State,
            headers(("ETag" = String, description = "For `If-None-Match`; for `If-Match` of the next command by its version.")),
            example = json!({
                "aggregate_type": "account",
                "stream_id": "ann",
                "version": 1,
                "state": {"owner": "Ann", "balance": 100},
                "module": {
                    "name": "bank-account",
                    "version": "1.0.0",
                    "digest": "e28334ab9333d60da795d2dc0517b2b9487eb0fc7bb7a929d0e04a010ceb29bf",
                },
            }),
        ),
        (status = 304, description = "The caller has this state already.", headers(("ETag" = String))),
        Problems,
    ),
)]
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
