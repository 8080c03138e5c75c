//! `GET /healthz` and `GET /readyz`: whether to restart the host, and whether to send it requests.

use axum::Json as JsonAnswer;
use axum::extract::State;

use super::body::Health;
use super::extract::Caller;
use super::problem::{Code, Problem};
use super::{Api, within};

/// The process answers: nothing else is looked at, for a restart mends nothing else.
pub(super) async fn alive() -> JsonAnswer<Health> {
    JsonAnswer(Health { status: "ok" })
}

/// The database answers with the schema that this host needs, and the modules directory was read.
pub(super) async fn ready(State(api): State<Api>, caller: Caller) -> Result<JsonAnswer<Health>, Problem> {
    let failing = |check| move |problem: Problem| problem.with(|body| body.check = Some(check));
    within(caller.deadline, api.store.ping()).await.map_err(failing("database"))?;
    if (api.modules)().is_none() {
        let problem = Problem::new(Code::NotReady, "the modules directory is being read: ask again");
        return Err(failing("modules")(problem));
    }
    Ok(alive().await)
}
