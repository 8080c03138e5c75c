//! `GET /v1/modules` and `GET /v1/event-types`: what can be decided, and what was.

use axum::Json as JsonAnswer;
use axum::extract::State;

use super::body::{EventTypes, Modules};
use super::description::problems::{READING, problems};
use super::extract::Caller;
use super::problem::{Code, Problem};
use super::{Api, within};

problems!(ListProblems: &[Code::Internal]);
problems!(TypesProblems: READING);

/// List modules
///
/// The files of the modules directory and what became of each.
#[utoipa::path(
    get,
    path = "/v1/modules",
    operation_id = "listModules",
    tag = "modules",
    responses((status = 200, description = "The modules, active and not.", body = Modules), ListProblems),
)]
pub(super) async fn list(State(api): State<Api>) -> JsonAnswer<Modules> {
    JsonAnswer(Modules { modules: api.modules.status() })
}

/// List event types
///
/// Those that the log holds, of all tenants: they are what modules declare, not what tenants own.
#[utoipa::path(
    get,
    path = "/v1/event-types",
    operation_id = "listEventTypes",
    tag = "modules",
    params(Caller),
    responses((status = 200, description = "The event types.", body = EventTypes), TypesProblems),
)]
pub(super) async fn event_types(State(api): State<Api>, caller: Caller) -> Result<JsonAnswer<EventTypes>, Problem> {
    let kinds = within(caller.deadline, api.store.event_kinds()).await?;
    Ok(JsonAnswer(EventTypes { event_types: kinds.into_iter().map(Into::into).collect() }))
}
