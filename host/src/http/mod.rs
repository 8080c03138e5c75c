//! The HTTP API: requests in, commands and queries to the rooms below, JSON or problem documents out.
//!
//! Handlers are straight lines: extractors (`extract`, `headers`) take a request apart, one call does the work,
//! `body` is the JSON of the answer, and whatever fails becomes a `problem`.

pub mod body;
mod commands;
mod error;
mod events;
mod extract;
mod headers;
pub mod health;
mod layers;
mod metrics;
mod modules;
mod options;
pub mod problem;
mod query;
mod serve;
mod state;
mod stream_events;
mod streams;
#[cfg(test)]
mod testing;
mod trace;

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::routing::{get, post};
use tokio::time::Instant;

use crate::modules::Modules;
use crate::pipeline::Pipeline;
use crate::store::{Store, StoreError};

pub(crate) use self::metrics::METRICS;
pub use self::options::HttpOptions;
pub use self::serve::serve;

use self::problem::Problem;

/// What the handlers work with.
#[derive(Clone)]
pub struct Api {
    /// Commands, raw appends, states.
    pub pipeline: Pipeline,
    /// Streams and the log.
    pub store: Store,
    /// The modules directory.
    pub modules: Modules,
    /// Writes what the host measures as Prometheus reads it.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Limits and times.
    pub options: Arc<HttpOptions>,
}

impl FromRef<Api> for Arc<HttpOptions> {
    fn from_ref(api: &Api) -> Self {
        api.options.clone()
    }
}

/// All paths of the API.
pub fn router(api: Api) -> Router {
    let options = api.options.clone();
    let routes = Router::new()
        .route("/v1/aggregates/{type}/{id}", get(state::read))
        .route("/v1/aggregates/{type}/{id}/commands/{command}", post(commands::execute))
        .route("/v1/streams", get(streams::list))
        .route("/v1/streams/{type}/{id}/events", get(stream_events::read).post(stream_events::append))
        .route("/v1/events", get(events::read))
        .route("/v1/modules", get(modules::list))
        .route("/v1/event-types", get(modules::event_types))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::scrape));
    layers::around(routes, &options).with_state(api)
}

/// A read of the store, given up when the caller no longer waits.
async fn within<T>(deadline: Instant, read: impl Future<Output = Result<T, StoreError>>) -> Result<T, Problem> {
    Ok(tokio::time::timeout_at(deadline, read).await.map_err(|_| Problem::deadline())??)
}

/// The `ETag` of a stream at `version`: none where it has no events.
fn etag(version: i64) -> HeaderMap {
    let tag = (version >= 0).then(|| HeaderValue::try_from(format!("\"{version}\""))).and_then(Result::ok);
    tag.map(|tag| (header::ETAG, tag)).into_iter().collect()
}
