//! `GET /healthz` and `GET /readyz`: whether to restart the host, and whether to send it requests.

use std::future::Future;

use axum::Json as JsonAnswer;
use axum::extract::State;
use serde::Serialize;
use tokio::time::timeout_at;
use utoipa::ToSchema;

use super::Api;
use super::body::Health;
use super::description::problems::problems;
use super::error::chain;
use super::extract::Caller;
use super::problem::{Code, Problem};
use crate::modules::{ModuleState, ModuleStatus};
use crate::store::StoreError;

problems!(AliveProblems: &[Code::Internal]);
problems!(ReadyProblems: &[Code::Invalid, Code::NotReady, Code::Internal]);

/// The host is ready for requests.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ready {
    /// Always `ok`: a host that isn't ready answers a problem.
    pub status: &'static str,
    /// What was looked at.
    pub checks: Vec<Check>,
}

/// One thing that the host needs.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Check {
    /// `database`, `schema` or `modules`.
    pub name: &'static str,
    /// How it is.
    pub state: CheckState,
    /// What is wrong, where something is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub detail: Option<String>,
}

/// How a thing is that the host needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// The host serves without it.
    Warning,
    /// The host can't serve.
    Failing,
    /// Not looked at, for something before it fails.
    Skipped,
}

/// Whether the process lives
///
/// It answers, and nothing else is looked at: a restart mends nothing else.
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

/// Whether to send the host requests
///
/// The database answers and takes writes, its schema is the one that this host needs, and the modules directory was read.
/// A file that is refused there is told, and fails the check only where `ready_needs_all_modules` is set.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    tag = "operations",
    params(Caller),
    responses((status = 200, description = "It is ready.", body = Ready), ReadyProblems),
)]
pub(super) async fn ready(State(api): State<Api>, caller: Caller) -> Result<JsonAnswer<Ready>, Problem> {
    let database = database(&api, &caller).await;
    let schema = match database.state {
        CheckState::Ok => schema(&api, &caller).await,
        _ => Check { name: "schema", state: CheckState::Skipped, detail: None },
    };
    let modules = modules(&api.modules.status(), api.options.ready_needs_all_modules);
    let checks = vec![database, schema, modules];
    let Some(failing) = checks.iter().find(|check| check.state == CheckState::Failing) else {
        return Ok(JsonAnswer(Ready { status: "ok", checks }));
    };
    let (name, detail) = (failing.name, failing.detail.clone().unwrap_or_default());
    Err(Problem::new(Code::NotReady, detail).with(|body| {
        body.check = Some(name);
        body.checks = Some(checks);
    }))
}

async fn database(api: &Api, caller: &Caller) -> Check {
    match asked(caller, api.store.takes_writes()).await {
        Ok(true) => ok("database"),
        Ok(false) => failing("database", "the server takes no writes: it is a standby, or set to read only".to_owned()),
        Err(detail) => failing("database", detail),
    }
}

async fn schema(api: &Api, caller: &Caller) -> Check {
    asked(caller, api.store.ping()).await.map_or_else(|detail| failing("schema", detail), |()| ok("schema"))
}

async fn asked<T>(caller: &Caller, question: impl Future<Output = Result<T, StoreError>>) -> Result<T, String> {
    match timeout_at(caller.deadline, question).await {
        Ok(answer) => answer.map_err(|error| chain(&error)),
        Err(_) => Err("the database does not answer in time".to_owned()),
    }
}

/// The directory was read before the host began to answer; what is left to tell is what it refused.
fn modules(files: &[ModuleStatus], all_needed: bool) -> Check {
    let refused: Vec<&str> = files
        .iter()
        .filter(|file| matches!(file.state, ModuleState::Refused { .. }))
        .map(|file| file.file.as_str())
        .collect();
    if refused.is_empty() {
        return ok("modules");
    }
    let detail = format!("refused: {}; GET /v1/modules says why", refused.join(", "));
    let state = if all_needed { CheckState::Failing } else { CheckState::Warning };
    Check { name: "modules", state, detail: Some(detail) }
}

fn ok(name: &'static str) -> Check {
    Check { name, state: CheckState::Ok, detail: None }
}

fn failing(name: &'static str, detail: String) -> Check {
    Check { name, state: CheckState::Failing, detail: Some(detail) }
}
