//! `/v1/snapshots`: what is kept of folded states, to look at and to drop. Without them answers take longer, and stay
//! the same.

use axum::Json as JsonAnswer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::time::{Instant, timeout_at};
use utoipa::{IntoParams, ToSchema};

use super::body::StateModule;
use super::description::problems::{READING, problems};
use super::extract::{Caller, Parameters, StreamPath, TypePath};
use super::limits::MAX_DROPPED_SNAPSHOTS;
use super::problem::{Code, Problem};
use super::{Api, within};
use crate::model::{AggregateType, Json, StreamId, Tenant};
use crate::store::{StoreError, StoredSnapshot};

problems!(ListProblems: READING, &[Code::StreamNotFound]);
problems!(DropProblems: READING, &[Code::OutcomeUnknown]);

/// Snapshots that one statement drops: few enough that nobody waits for its locks.
const STEP: i64 = 1000;

/// The most that one request drops, where it doesn't say.
const DEFAULT_LIMIT: i64 = 10_000;

/// The snapshots of one stream.
#[derive(Debug, Serialize, ToSchema)]
pub struct Snapshots {
    /// The aggregate type.
    pub aggregate_type: AggregateType,
    /// The stream's id.
    pub stream_id: StreamId,
    /// One for each module that took one, the newest version first.
    pub snapshots: Vec<Snapshot>,
}

/// A stream's state at a version, as one module folded it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Snapshot {
    /// The version up to which events are folded in.
    pub version: i64,
    /// The module that folded it. Only the same component uses it.
    pub module: StateModule,
    /// The module's number for the shape of the state.
    pub state_version: u32,
    /// Size of the state in bytes.
    pub size_bytes: usize,
    /// When it was written.
    #[serde(with = "time::serde::rfc3339")]
    pub taken_at: OffsetDateTime,
    /// The state.
    pub state: Json,
}

impl From<StoredSnapshot> for Snapshot {
    fn from(stored: StoredSnapshot) -> Self {
        let StoredSnapshot { version, state_version, taken_at, state, module, module_version, digest } = stored;
        let module = StateModule { name: module, version: module_version, digest };
        Self { version, module, state_version, size_bytes: state.as_str().len(), taken_at, state }
    }
}

/// What was dropped.
#[derive(Debug, Serialize, ToSchema)]
pub struct Dropped {
    /// How many snapshots.
    pub dropped: u64,
    /// Whether as many were dropped as the request may drop: there may be more, so send it again.
    pub more: bool,
}

/// How many to drop.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct HowMany {
    /// The most snapshots that this request drops; 10000 where it isn't named.
    #[param(minimum = 1, maximum = 100_000)]
    at_most: Option<i64>,
}

/// List a stream's snapshots
///
/// Of whichever modules, with their states.
#[utoipa::path(
    get,
    path = "/v1/snapshots/{type}/{id}",
    operation_id = "listSnapshots",
    tag = "snapshots",
    params(StreamPath, Caller),
    responses((status = 200, description = "The snapshots; none is fine.", body = Snapshots), ListProblems),
)]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    path: StreamPath,
) -> Result<JsonAnswer<Snapshots>, Problem> {
    let stream = path.of(caller.tenant);
    let stored = within(caller.deadline, api.store.snapshots(&stream)).await?;
    if stored.is_empty() && within(caller.deadline, api.store.stream_head(&stream)).await?.is_none() {
        return Err(Problem::new(Code::StreamNotFound, format!("{stream} has no events: check tenant, type and id")));
    }
    Ok(JsonAnswer(Snapshots {
        aggregate_type: stream.aggregate_type,
        stream_id: stream.stream_id,
        snapshots: stored.into_iter().map(Into::into).collect(),
    }))
}

/// Drop a stream's snapshots
///
/// No answer changes by it.
#[utoipa::path(
    delete,
    path = "/v1/snapshots/{type}/{id}",
    operation_id = "dropSnapshots",
    tag = "snapshots",
    params(StreamPath, Caller),
    responses((status = 200, description = "They are dropped.", body = Dropped), DropProblems),
)]
pub(super) async fn drop_of_stream(
    State(api): State<Api>,
    caller: Caller,
    path: StreamPath,
) -> Result<JsonAnswer<Dropped>, Problem> {
    let stream = path.of(caller.tenant);
    let dropped = settled(caller.deadline, api.store.drop_snapshots(&stream)).await?;
    Ok(JsonAnswer(Dropped { dropped, more: false }))
}

/// Drop an aggregate type's snapshots
///
/// In small steps, up to a number. No answer changes by it.
#[utoipa::path(
    delete,
    path = "/v1/snapshots/{type}",
    operation_id = "dropSnapshotsOfType",
    tag = "snapshots",
    params(TypePath, HowMany, Caller),
    responses((status = 200, description = "They are dropped, up to the limit.", body = Dropped), DropProblems),
)]
pub(super) async fn drop_of_type(
    State(api): State<Api>,
    caller: Caller,
    TypePath(aggregate_type): TypePath,
    Parameters(how_many): Parameters<HowMany>,
) -> Result<JsonAnswer<Dropped>, Problem> {
    drop_in_steps(&api, &caller.tenant, Some(&aggregate_type), how_many, caller.deadline).await
}

/// Drop the tenant's snapshots
///
/// In small steps, up to a number. No answer changes by it.
#[utoipa::path(
    delete,
    path = "/v1/snapshots",
    operation_id = "dropSnapshotsOfTenant",
    tag = "snapshots",
    params(HowMany, Caller),
    responses((status = 200, description = "They are dropped, up to the limit.", body = Dropped), DropProblems),
)]
pub(super) async fn drop_of_tenant(
    State(api): State<Api>,
    caller: Caller,
    Parameters(how_many): Parameters<HowMany>,
) -> Result<JsonAnswer<Dropped>, Problem> {
    drop_in_steps(&api, &caller.tenant, None, how_many, caller.deadline).await
}

async fn drop_in_steps(
    api: &Api,
    tenant: &Tenant,
    aggregate_type: Option<&AggregateType>,
    how_many: HowMany,
    deadline: Instant,
) -> Result<JsonAnswer<Dropped>, Problem> {
    let limit = how_many.at_most.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_DROPPED_SNAPSHOTS).contains(&limit) {
        let reason = format!("at_most is {limit}, but 1 to {MAX_DROPPED_SNAPSHOTS} may be dropped at once");
        return Err(Problem::invalid(format!("the query string: {reason}")));
    }
    let (mut dropped, mut left) = (0, limit);
    while left > 0 {
        let step = left.min(STEP);
        let (count, full) = settled(deadline, api.store.drop_some_snapshots(tenant, aggregate_type, step)).await?;
        dropped += count;
        if !full {
            return Ok(JsonAnswer(Dropped { dropped, more: false }));
        }
        left -= step;
    }
    Ok(JsonAnswer(Dropped { dropped, more: true }))
}

/// The end of a statement that changes something: where it can't be waited for, it may or may not have been carried out.
async fn settled<T>(deadline: Instant, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, Problem> {
    let unknown = || {
        let detail = "some snapshots may have been dropped: repeat the request, which does no harm";
        Problem::new(Code::OutcomeUnknown, detail)
    };
    match timeout_at(deadline, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(StoreError::Unavailable(_))) | Err(_) => Err(unknown()),
        Ok(Err(error)) => Err(error.into()),
    }
}
