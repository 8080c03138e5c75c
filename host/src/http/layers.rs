//! What lies around every route: answers for unknown paths and methods, room for bodies, panics, a span per request.

use std::any::Any;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{MatchedPath, Request};
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use tower::{Layer, Service};
use tracing::{Instrument as _, Span};

use super::bodies::{self, Bodies};
use super::caching;
use super::metrics::Counted;
use super::problem::{Code, Problem};
use super::{HttpOptions, trace};

/// The routes with everything that lies around them.
pub(super) fn around<S: Clone + Send + Sync + 'static>(routes: Router<S>, options: &HttpOptions) -> Router<S> {
    let around = Around { bodies: Bodies::new(options) };
    routes.fallback(unknown_path).method_not_allowed_fallback(wrong_method).layer(around)
}

/// All of it as one layer. A router boxes each route anew for each of its layers, and clones all those boxes for each
/// request: several layers cost a command more than its handler does.
#[derive(Clone)]
struct Around {
    bodies: Bodies,
}

impl<S> Layer<S> for Around {
    type Service = Surrounded<S>;

    fn layer(&self, inner: S) -> Surrounded<S> {
        Surrounded { inner, bodies: self.bodies.clone() }
    }
}

/// A route with what lies around it.
#[derive(Clone)]
struct Surrounded<S> {
    inner: S,
    bodies: Bodies,
}

impl<S> Service<Request> for Surrounded<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let counted = Counted::begin(&request);
        let span = span(&request);
        let handled = self.bodies.share(request.body()).map(|share| (share, self.inner.call(request)));
        let answered = async move {
            let response = match handled {
                Ok((share, handling)) => bodies::held(caught(handling).await, share),
                Err(problem) => problem.into_response(),
            };
            let response = in_span(caching::private(response));
            log(&response, counted.took());
            counted.end(response.status());
            Ok(response)
        };
        Box::pin(answered.instrument(span))
    }
}

/// The answer; that of a handler that panics is a problem.
async fn caught(handling: impl Future<Output = Result<Response, Infallible>>) -> Response {
    // Nobody sees again what a handler that panicked had: its request is its own.
    match AssertUnwindSafe(handling).catch_unwind().await {
        Ok(Ok(response)) => response,
        Err(reason) => panicked(reason.as_ref()),
    }
}

/// An answer that is a stream goes on in the span of its request.
fn in_span(response: Response) -> Response {
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    let span = Span::current();
    response.map(|body| {
        let mut chunks = body.into_data_stream();
        Body::from_stream(stream::poll_fn(move |context| span.in_scope(|| chunks.poll_next_unpin(context))))
    })
}

async fn unknown_path(uri: Uri) -> Problem {
    Problem::new(Code::NotFound, format!("{} is no path of this API", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::wrong_method(method.as_str(), uri.path())
}

/// The panic itself was reported where it happened; here it is tied to the request.
fn panicked(reason: &(dyn Any + Send)) -> Response {
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

fn log(response: &Response, took: Duration) {
    let (status, milliseconds) = (response.status().as_u16(), took.as_secs_f64() * 1000.0);
    trace::answered(&Span::current(), status);
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
