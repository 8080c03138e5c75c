//! Traces: a collector gets the spans of a request's path under its caller's trace, and events name that trace.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::support::postgres::TestDatabase;
use crate::support::process::HostProcess;

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

type Received = Arc<Mutex<Vec<u8>>>;

/// A collector that keeps the bytes of all it is sent: names and ids stand in them as they are.
async fn collector() -> (String, Received) {
    let received = Received::default();
    let keep = async |State(received): State<Received>, body: Bytes| received.lock().unwrap().extend_from_slice(&body);
    let router = Router::new().route("/v1/traces", post(keep)).with_state(received.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum_serve(listener, router).await });
    (url, received)
}

async fn axum_serve(listener: TcpListener, router: Router) {
    everfold::http::serve(listener, router, &everfold::http::HttpOptions::default(), Default::default()).await;
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn id(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

async fn traceparent_of_event(host: &HostProcess, caller: &[(&str, &str)]) -> Value {
    host.command("account/ada-1", "Open", r#"{"owner":"secret-name"}"#, caller).await.ok();
    host.get("/v1/events").await.ok()["events"][0]["metadata"]["traceparent"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_go_to_the_collector_under_the_callers_trace() {
    let (database, home) = (TestDatabase::new().await, tempfile::tempdir().unwrap());
    let (url, received) = collector().await;
    std::fs::write(home.path().join("everfold.toml"), format!("otlp_endpoint = \"{url}\"")).unwrap();
    let host = HostProcess::start(home.path(), Some(&database.url()), &["bank-account"]).await;
    let kept = traceparent_of_event(&host, &[("traceparent", CALLER)]).await;
    let kept = kept.as_str().unwrap();
    assert!(kept.starts_with(&format!("00-{TRACE_ID}-")) && kept.ends_with("-01"), "{kept}");
    assert_ne!(kept, CALLER, "the span is the host's own");
    // Each of them, whatever was logged on its thread before.
    for n in 0..20 {
        host.command(&format!("account/{n}"), "Open", r#"{"owner":"Bob"}"#, &[("traceparent", CALLER)]).await.ok();
    }
    let events = host.get("/v1/events").await.ok()["events"].take();
    for event in events.as_array().unwrap() {
        assert_ne!(event["metadata"]["traceparent"], CALLER, "{event}");
    }
    // The end sends what is left.
    timeout(Duration::from_secs(60), host.terminate()).await.unwrap();
    let received = received.lock().unwrap().clone();
    for part in ["everfold", "http", "queue", "fold", "decide", "append", "command", "ada-1", "account", "Open"] {
        assert!(holds(&received, part.as_bytes()), "no {part}");
    }
    let span_id = kept.split('-').nth(2).unwrap();
    assert!(holds(&received, &id(TRACE_ID)) && holds(&received, &id(span_id)), "the event's span was sent");
    assert!(!holds(&received, b"secret-name"), "payloads stay in the host");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_the_callers_context_is_kept() {
    let (database, home) = (TestDatabase::new().await, tempfile::tempdir().unwrap());
    let host = HostProcess::start(home.path(), Some(&database.url()), &["bank-account"]).await;
    assert_eq!(traceparent_of_event(&host, &[("traceparent", CALLER)]).await, CALLER);
    host.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_stops_nothing() {
    let (database, home) = (TestDatabase::new().await, tempfile::tempdir().unwrap());
    std::fs::write(home.path().join("everfold.toml"), "otlp_endpoint = \"http://127.0.0.1:1\"").unwrap();
    let host = HostProcess::start(home.path(), Some(&database.url()), &["bank-account"]).await;
    let own = traceparent_of_event(&host, &[]).await;
    assert!(own.as_str().is_some_and(|own| own.len() == 55), "a trace begins here: {own}");
    timeout(Duration::from_secs(60), host.terminate()).await.unwrap();
}
