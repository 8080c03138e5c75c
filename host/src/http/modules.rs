//! `GET /v1/modules`: what can be decided.

use axum::Json as JsonAnswer;
use axum::extract::State;

use super::Api;
use super::body::Modules;
use super::description::problems::problems;
use super::problem::Code;

problems!(Problems: &[Code::Internal]);

/// List modules
///
/// The files of the modules directory and what became of each.
#[utoipa::path(
    get,
    path = "/v1/modules",
    operation_id = "listModules",
    tag = "modules",
    responses((status = 200, description = "The modules, active and not.", body = Modules), Problems),
)]
pub(super) async fn list(State(api): State<Api>) -> JsonAnswer<Modules> {
    JsonAnswer(Modules { modules: api.modules.status() })
}
