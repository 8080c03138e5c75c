//! What the unit tests of this room share.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use tower::ServiceExt;

/// The router's answer to a request.
pub(super) async fn call(router: &Router, request: Request<Body>) -> Response {
    router.clone().oneshot(request).await.expect("a router always answers")
}

/// Status and problem code of the answer, and the problem itself.
pub(super) async fn problem_of(response: Response) -> (u16, String, serde_json::Value) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let json = json_of(response).await;
    assert_eq!(json["status"], status);
    (status, json["code"].as_str().expect("a code").to_owned(), json)
}

/// The answer's body.
pub(super) async fn bytes_of(response: Response) -> Vec<u8> {
    axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a whole body").to_vec()
}

/// The answer's body as JSON.
pub(super) async fn json_of(response: Response) -> serde_json::Value {
    serde_json::from_slice(&bytes_of(response).await).expect("JSON")
}
