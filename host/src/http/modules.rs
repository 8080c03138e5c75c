//! `GET /v1/modules`: what can be decided.

use axum::Json as JsonAnswer;
use axum::extract::State;

use super::Api;
use super::body::Modules;

/// Lists the files of the modules directory and what became of each.
pub(super) async fn list(State(api): State<Api>) -> JsonAnswer<Modules> {
    JsonAnswer(Modules { modules: api.modules.status() })
}
