//! `GET /v1/modules` and `GET /v1/event-types`: what can be decided, and what was.

use axum::Json as JsonAnswer;
use axum::extract::State;

use super::body::{EventTypes, Modules};
use super::extract::Caller;
use super::problem::Problem;
use super::{Api, within};

/// Lists the files of the modules directory and what became of each.
pub(super) async fn list(State(api): State<Api>) -> JsonAnswer<Modules> {
    JsonAnswer(Modules { modules: api.modules.status() })
}

/// Lists the event types that the log holds, of all tenants: they are what modules declare, not what tenants own.
pub(super) async fn event_types(State(api): State<Api>, caller: Caller) -> Result<JsonAnswer<EventTypes>, Problem> {
    let kinds = within(caller.deadline, api.store.event_kinds()).await?;
    Ok(JsonAnswer(EventTypes { event_types: kinds.into_iter().map(Into::into).collect() }))
}
