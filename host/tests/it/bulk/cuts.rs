//! An export through something that cuts answers short: it goes on where it was, or leaves nothing behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing};
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpListener;

use super::cli::{ok, run};
use super::{event, post_lines, texts};
use crate::support::host::{Client, TestHost};
use crate::support::postgres::TestDatabase;

/// What stands between the command line and a host.
struct Between {
    url: String,
    http: reqwest::Client,
    /// Answers with lines so far.
    cut: AtomicUsize,
    /// After so many of them the log is another one.
    last: usize,
}

/// Passes requests on, and cuts every answer with lines: one after seven lines as if that were all, the next one in the
/// middle of a line.
async fn pass_on(State(between): State<Arc<Between>>, uri: Uri, headers: HeaderMap) -> Response {
    let lines = headers["accept"] == "application/x-ndjson";
    let request = between.http.get(format!("{}{uri}", between.url)).header("accept", headers["accept"].clone());
    let text = request.send().await.unwrap().text().await.unwrap();
    if !lines {
        return text.into_response();
    }
    let number = between.cut.fetch_add(1, Ordering::Relaxed);
    if number >= between.last {
        let problem = json!({"code": "log-epoch-changed", "status": 410, "detail": "another log"});
        return (StatusCode::GONE, problem.to_string()).into_response();
    }
    let some: String = text.split_inclusive('\n').take(7).collect();
    if number % 2 == 0 {
        return some.into_response();
    }
    let half = some[..some.len() - 10].to_owned();
    let chunks = [Ok(half), Err(std::io::Error::other("cut"))];
    Body::from_stream(futures_util::stream::iter(chunks)).into_response()
}

/// The address of what cuts the answers of a host.
async fn between(host: &TestHost, last: usize) -> Client {
    let between = Between { url: host.url().to_owned(), http: reqwest::Client::new(), cut: AtomicUsize::new(0), last };
    let router = Router::new().route("/v1/events", routing::get(pass_on)).with_state(Arc::new(between));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    Client::new(url)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_whose_answers_are_cut_is_complete_or_fails() {
    let host = TestHost::start(&TestDatabase::new().await, &[]).await;
    let lines: Vec<_> =
        (0..40).map(|n| event(&format!("{}/s", ["a", "b"][n % 2]), n as i64 / 2, "Noted", json!(n))).collect();
    post_lines(&host, "/v1/events", &texts(&lines)).await;
    // The last ones are another tenant's: the log goes on behind what is exported.
    host.send(Method::POST, "/v1/events", &[("everfold-tenant", "other")], &texts(&lines).join("\n")).await;
    let whole = run(&host, &["export"], "").await;
    assert_eq!(ok(&whole).lines().count(), 40);

    let cutting = between(&host, usize::MAX).await;
    let output = run(&cutting, &["export"], "").await;
    assert_eq!(ok(&output), ok(&whole));
    assert!(String::from_utf8_lossy(&output.stderr).contains("going on after 7 events"), "{output:?}");
    let some = ["export", "--aggregate-type", "a"];
    assert_eq!(ok(&run(&cutting, &some, "").await), ok(&run(&host, &some, "").await));

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("history");
    let output = run(&between(&host, 2).await, &["export", file.to_str().unwrap()], "").await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("log-epoch-changed (410)"), "{output:?}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
