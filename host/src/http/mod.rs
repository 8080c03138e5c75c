//! The HTTP API: requests in, commands and queries to the rooms below, JSON or problem documents out.
//!
//! Handlers are straight lines: extractors (`extract`, `headers`) take a request apart, one call does the work,
//! `body` is the JSON of the answer, and whatever fails becomes a `problem`.

mod bodies;
pub mod body;
mod bulk;
mod caching;
mod commands;
mod description;
mod error;
mod event_types;
mod events;
mod extract;
mod headers;
pub mod health;
mod layers;
pub mod limits;
mod lines;
pub mod links;
mod metrics;
mod modules;
mod ndjson;
mod options;
pub mod problem;
mod quarantine;
mod query;
mod serve;
pub mod snapshots;
mod state;
mod stream_events;
mod streams;
#[cfg(test)]
mod testing;
mod trace;
mod turn_away;
pub mod upcast;

use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::FromRef;
use axum::http::{HeaderMap, HeaderValue, header};
use tokio::time::Instant;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::modules::Modules;
use crate::pipeline::Pipeline;
use crate::store::{Store, StoreError};

pub(crate) use self::metrics::METRICS;
pub use self::options::HttpOptions;
pub use self::serve::serve;

use self::problem::Problem;

/// The rooms below, as the handlers reach them. One pointer: it's cloned for every request.
#[derive(Clone)]
pub struct Api(Arc<Rooms>);

/// What the handlers work with.
pub struct Rooms {
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

impl From<Rooms> for Api {
    fn from(rooms: Rooms) -> Self {
        Self(Arc::new(rooms))
    }
}

impl Deref for Api {
    type Target = Rooms;

    fn deref(&self) -> &Rooms {
        &self.0
    }
}

impl FromRef<Api> for Arc<HttpOptions> {
    fn from_ref(api: &Api) -> Self {
        api.options.clone()
    }
}

/// All paths of the API.
pub fn router(api: Api) -> Router {
    let options = api.options.clone();
    let (routes, _) = description::described(routes(), &options);
    layers::around(routes, &options).with_state(api)
}

/// The API's description in OpenAPI 3.1, as a host with these options answers it.
#[must_use]
pub fn openapi(options: &HttpOptions) -> Bytes {
    description::described(routes(), options).1
}

/// The routes, each as its handler describes it.
fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(state::read))
        .routes(routes!(commands::execute))
        .routes(routes!(streams::list))
        .routes(routes!(stream_events::read, stream_events::append))
        .routes(routes!(bulk::commands::execute))
        .routes(routes!(events::read, bulk::events::import))
        .routes(routes!(modules::list))
        .routes(routes!(quarantine::reset_module))
        .routes(routes!(quarantine::list))
        .routes(routes!(quarantine::release))
        .routes(routes!(event_types::list))
        .routes(routes!(snapshots::list, snapshots::drop_of_stream))
        .routes(routes!(snapshots::drop_of_type))
        .routes(routes!(snapshots::drop_of_tenant))
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(metrics::scrape))
}

/// A read of the store, given up when the caller no longer waits.
async fn within<T>(deadline: Instant, read: impl Future<Output = Result<T, StoreError>>) -> Result<T, Problem> {
    Ok(tokio::time::timeout_at(deadline, read).await.map_err(|_| Problem::deadline())??)
}

/// The `ETag` of a stream that was written to, for `If-Match` of the next write: none where it has no events.
fn etag(version: i64) -> HeaderMap {
    let tag = (version >= 0).then(|| HeaderValue::try_from(format!("\"{version}\""))).and_then(Result::ok);
    tag.map(|tag| (header::ETAG, tag)).into_iter().collect()
}
