//! `GET /healthz` and `GET /readyz`: whether to restart the host, and whether to send it requests.

use axum::Json as JsonAnswer;
use axum::extract::State;

use super::Api;
use super::body::Health;
use super::description::problems::problems;
use super::error::chain;
use super::extract::Caller;
use super::problem::{Code, Problem};

problems!(AliveProblems: &[Code::Internal]);
problems!(ReadyProblems: &[Code::Invalid, Code::NotReady, Code::Internal]);

/// Whether the host lives
///
/// The process answers: nothing else is looked at, for a restart mends nothing else.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "healthz",
    tag = "operations",
    responses((status = 200, description = "It lives.", body = Health), AliveProblems),
)]
pub(super) async fn alive() -> JsonAnswer<Health> {
    JsonAnswer(Health { status: "ok" })
}

/// Whether the host is ready for requests
///
/// The database answers with the schema that this host needs. The modules directory was read before the host
/// began to answer.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    tag = "operations",
    params(Caller),
    responses((status = 200, description = "It is ready.", body = Health), ReadyProblems),
)]
pub(super) async fn ready(State(api): State<Api>, caller: Caller) -> Result<JsonAnswer<Health>, Problem> {
    match tokio::time::timeout_at(caller.deadline, api.store.ping()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(failing("database", &chain(&error))),
        Err(_) => return Err(failing("database", "the database does not answer in time")),
    }
    Ok(alive().await)
}

fn failing(check: &'static str, detail: &str) -> Problem {
    Problem::new(Code::NotReady, detail).with(|body| body.check = Some(check))
}
