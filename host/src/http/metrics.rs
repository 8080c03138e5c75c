//! `GET /metrics`: what the whole host measures, and what this room adds: requests and connections.

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use metrics::{Counter, Histogram};

use super::Api;
use super::description::problems::problems;
use super::problem::Code;
use crate::model::metric::Held;
use crate::model::metric_table;

metric_table! {
    /// HTTP requests by method, route and status. The route is the path's pattern; `-` where there is none.
    counter REQUESTS {"method", "route", "status"} = "everfold_http_requests_total";
    /// Time from a request's head to its answer's.
    histogram REQUEST_SECONDS {"route"} = "everfold_http_request_seconds" in TIMES;
    /// HTTP requests whose answer hasn't begun.
    gauge IN_FLIGHT = "everfold_http_requests_in_flight";
    /// Open HTTP connections.
    gauge CONNECTIONS = "everfold_http_connections";
}

/// What Prometheus's text format is called.
const TEXT_FORMAT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

problems!(Problems: &[Code::Internal]);

/// Read this host's metrics
///
/// What it has done since it started, and what it is at, in Prometheus' text format. Never waits for the database.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "readMetrics",
    tag = "operations",
    responses((status = 200, description = "The metrics.", body = String, content_type = "text/plain"), Problems),
)]
pub(super) async fn scrape(State(api): State<Api>) -> Response {
    api.store.measure();
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], (api.metrics)()).into_response()
}

/// The metrics of one route.
struct Route {
    seconds: Histogram,
    answers: HashMap<(Method, StatusCode), Counter>,
}

static ROUTES: LazyLock<RwLock<HashMap<String, Route>>> = LazyLock::new(RwLock::default);

/// A request that is counted: in flight until this is dropped, and by its answer once there is one.
pub(super) struct Counted {
    begun: Instant,
    method: Method,
    route: Option<MatchedPath>,
    _held: Held,
}

impl Counted {
    /// A request's head has come.
    pub(super) fn begin(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().cloned();
        Self { begun: Instant::now(), method: known(request.method()), route, _held: Held::new(&IN_FLIGHT) }
    }

    /// How long it has taken so far.
    pub(super) fn took(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Its answer has begun.
    pub(super) fn end(self, status: StatusCode) {
        answered(self.route.as_ref().map_or("-", MatchedPath::as_str), self.method, status, self.begun);
    }
}

/// The method, where it is one that clients have not invented.
fn known(method: &Method) -> Method {
    const STANDARD: [Method; 7] =
        [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD, Method::OPTIONS, Method::PATCH];
    STANDARD.into_iter().find(|standard| standard == method).unwrap_or(Method::TRACE)
}

fn answered(route: &str, method: Method, status: StatusCode, begun: Instant) {
    let key = (method, status);
    let routes = ROUTES.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = routes.get(route)
        && let Some(counter) = known.answers.get(&key)
    {
        counter.increment(1);
        known.seconds.record(begun.elapsed());
        return;
    }
    drop(routes);
    let labels = [key.0.to_string(), route.to_owned(), key.1.as_str().to_owned()];
    let mut routes = ROUTES.write().unwrap_or_else(PoisonError::into_inner);
    let found = routes
        .entry(route.to_owned())
        .or_insert_with(|| Route { seconds: REQUEST_SECONDS.histogram([route.to_owned()]), answers: HashMap::new() });
    found.seconds.record(begun.elapsed());
    found.answers.entry(key).or_insert_with(|| REQUESTS.counter(labels)).increment(1);
}
