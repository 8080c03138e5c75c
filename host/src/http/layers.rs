//! What lies around every route: answers for unknown paths and methods, the body limit, panics, a span per request.

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::{Method, Uri};
use axum::middleware::{self, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;
use tracing::Span;

use super::bodies::{self, Bodies};
use super::caching;
use super::problem::{Code, Problem};
use super::{HttpOptions, metrics, trace};

/// The routes with everything that lies around them.
pub(super) fn around<S: Clone + Send + Sync + 'static>(routes: Router<S>, options: &HttpOptions) -> Router<S> {
    let trace = TraceLayer::new_for_http().make_span_with(span).on_request(()).on_response(log).on_failure(());
    routes
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(options.max_body_bytes))
        .layer(from_fn_with_state(Bodies::new(options), bodies::within))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::map_response(caching::private))
        .layer(trace)
        .layer(middleware::from_fn(metrics::count))
}

async fn unknown_path(uri: Uri) -> Problem {
    Problem::new(Code::NotFound, format!("{} is no path of this API", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::wrong_method(method.as_str(), uri.path())
}

/// The panic itself was reported where it happened; here it is tied to the request.
fn panicked(reason: Box<dyn Any + Send>) -> Response {
    let text = reason.downcast_ref::<String>().map(String::as_str).or_else(|| reason.downcast_ref::<&str>().copied());
    Problem::internal(&format!("a handler panicked: {}", text.unwrap_or("without a message"))).into_response()
}

/// The route instead of the path: ids are data, and data stays out of logs.
fn span(request: &Request<Body>) -> Span {
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str);
    let span = tracing::info_span!("http", method = %request.method(), route);
    trace::adopt(&span, request.headers());
    span
}

fn log(response: &Response, latency: Duration, span: &Span) {
    let (status, milliseconds) = (response.status().as_u16(), latency.as_secs_f64() * 1000.0);
    trace::answered(span, status);
    if response.status().is_server_error() {
        tracing::info!(status, milliseconds, "request failed");
    } else {
        tracing::debug!(status, milliseconds, "request answered");
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header;
    use axum::routing::get;

    use super::*;
    use crate::http::testing::{call, problem_of};

    async fn breaks() -> &'static str {
        panic!("secret")
    }

    async fn answer(method: &str, path: &str) -> Response {
        let routes = Router::new().route("/v1/things", get(async || "here")).route("/breaks", get(breaks));
        let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
        call(&around(routes, &HttpOptions::default()), request).await
    }

    #[tokio::test]
    async fn an_unknown_path_is_a_problem() {
        for path in ["/", "/v1", "/v1/things/", "/v2/things"] {
            let (status, code, json) = problem_of(answer("GET", path).await).await;
            assert_eq!((status, code.as_str()), (404, "not-found"));
            assert!(json["detail"].as_str().expect("text").contains(path));
        }
    }

    #[tokio::test]
    async fn a_wrong_method_is_a_problem_that_lists_the_right_ones() {
        let response = answer("DELETE", "/v1/things").await;
        assert_eq!(response.headers()[header::ALLOW], "GET,HEAD");
        let (status, code, _) = problem_of(response).await;
        assert_eq!((status, code.as_str()), (405, "method-not-allowed"));
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_without_its_message() {
        let (status, code, json) = problem_of(answer("GET", "/breaks").await).await;
        assert_eq!((status, code.as_str()), (500, "internal"));
        assert!(!json.to_string().contains("secret"));
    }
}
