//! Limits: `docs/limits.md` has the numbers of the code, and each is kept at its edge and refused beyond it.

use std::path::Path;

use everfold::config::Settings;
use everfold::http::HttpOptions;
use everfold::http::limits::{MAX_DROPPED_SNAPSHOTS, MAX_EVENT_TYPE_BYTES, MAX_LABEL_BYTES, MAX_SCHEMA_VERSION};
use everfold::model::{AggregateType, IdempotencyKey, Json, StreamId, Tenant};
use reqwest::Method;
use serde_json::json;

use crate::support::host::{Answer, Setup, TestHost};
use crate::support::postgres::TestDatabase;

/// One row: what is limited, how far, by which setting (none: fixed), and what is answered beyond.
type Row = (&'static str, String, Option<&'static str>, &'static str);

fn rows() -> Vec<Row> {
    let (settings, http) = (Settings::default(), HttpOptions::default());
    let bytes = |count: usize| match count {
        mib if mib % (1 << 20) == 0 => format!("{} MiB", mib >> 20),
        kib if kib % 1024 == 0 => format!("{} KiB", kib >> 10),
        count => format!("{count} bytes"),
    };
    let identifier = |limit| format!("1 to {limit} bytes of letters, digits, `.`, `_`, `-`");
    let text = |limit| format!("1 to {limit} bytes of UTF-8 without control characters");
    vec![
        ("Request line and headers", bytes(http.max_head_bytes), None, "431 or 414, without a body"),
        ("Headers", http.max_headers.to_string(), None, "431, without a body"),
        ("Body of a request", bytes(settings.max_body_bytes.get()), Some("max_body_bytes"), "`too-large`"),
        ("Bodies in memory together", bytes(settings.max_bodies_bytes.get()), Some("max_bodies_bytes"), "`overloaded`"),
        (
            "Payload of a command or event",
            bytes(settings.max_payload_bytes.get()),
            Some("max_payload_bytes"),
            "`too-large`",
        ),
        ("Metadata of an event", bytes(settings.max_payload_bytes.get()), Some("max_payload_bytes"), "`too-large`"),
        ("Nesting of JSON", format!("{} levels", Json::MAX_DEPTH), None, "`invalid`"),
        (
            "Events of one append",
            settings.max_events_per_append.to_string(),
            Some("max_events_per_append"),
            "`too-large`",
        ),
        ("Tenant", identifier(Tenant::MAX_BYTES), None, "`invalid`"),
        ("Aggregate type", identifier(AggregateType::MAX_BYTES), None, "`invalid`"),
        ("Stream id", text(StreamId::MAX_BYTES), None, "`invalid`"),
        ("Event type", text(MAX_EVENT_TYPE_BYTES), None, "`invalid`"),
        ("Schema version", format!("1 to {MAX_SCHEMA_VERSION}"), None, "`invalid`"),
        ("Idempotency key", text(IdempotencyKey::MAX_BYTES), None, "`invalid`"),
        ("Actor, correlation id, causation id", format!("1 to {MAX_LABEL_BYTES} bytes of UTF-8"), None, "`invalid`"),
        ("`occurred_at`", "the years 1 to 9999 in UTC".to_owned(), None, "`invalid`"),
        ("Entries of a page", settings.max_page_limit.to_string(), Some("max_page_limit"), "`invalid`"),
        ("Snapshots that one request drops", MAX_DROPPED_SNAPSHOTS.to_string(), None, "`invalid`"),
        (
            "Time of a request, unless it asks",
            format!("{} ms", settings.command_timeout_ms),
            Some("command_timeout_ms"),
            "`deadline`",
        ),
        (
            "Time of a request, at most",
            format!("{} ms", settings.command_timeout_max_ms),
            Some("command_timeout_max_ms"),
            "shortened to it",
        ),
        ("Time without a request on a connection", format!("{} s", http.idle_timeout.as_secs()), None, "closed"),
        (
            "Time without taking what is answered, on Linux",
            format!("{} s", http.idle_timeout.as_secs()),
            None,
            "closed",
        ),
        ("Connections", settings.max_connections.to_string(), Some("max_connections"), "`overloaded`, closed"),
        ("Requests under way", settings.writer_queue.to_string(), Some("writer_queue"), "`overloaded`"),
        (
            "Time of one decision",
            format!("{} ms", settings.guest_decide_ms),
            Some("guest_decide_ms"),
            "`module-deadline`",
        ),
        (
            "Time of one batch of `apply`",
            format!("{} ms", settings.guest_apply_ms),
            Some("guest_apply_ms"),
            "`module-deadline`",
        ),
        (
            "Memory of a module's instance",
            bytes(settings.guest_memory_limit_bytes.get()),
            Some("guest_memory_limit_bytes"),
            "`module-memory`",
        ),
    ]
}

#[test]
fn the_table_has_the_numbers_of_the_code() {
    let mut table = "| what | limit | setting | beyond it |\n|---|---|---|---|\n".to_owned();
    for (what, limit, setting, beyond) in rows() {
        let setting = setting.map_or("fixed".to_owned(), |name| format!("`{name}`"));
        table.push_str(&format!("| {what} | {limit} | {setting} | {beyond} |\n"));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/limits.md");
    let page = std::fs::read_to_string(path).unwrap();
    assert!(page.contains(&table), "docs/limits.md must hold\n{table}");
}

/// A host with small limits, and no module that would have a say.
async fn small() -> TestHost {
    let database = TestDatabase::new().await;
    let mut setup = Setup::new(database.options());
    setup.http = HttpOptions { max_body_bytes: 2000, max_page_limit: 7, ..HttpOptions::default() };
    setup.pipeline.max_payload_bytes = 100;
    setup.pipeline.max_events = 3;
    TestHost::launch(setup, &[]).await
}

/// A body with events of that many bytes of payload and metadata.
fn events(count: usize, payload: usize, metadata: usize) -> String {
    // Two bytes are the quotes; six and two are those of the object.
    let event =
        json!({"event_type": "A", "payload": "x".repeat(payload - 2), "metadata": {"a": "x".repeat(metadata - 8)}});
    json!({ "events": vec![event; count] }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_are_kept_at_their_edge_and_refused_beyond() {
    let host = small().await;
    let append = async |body: String| host.append("a/b", &body, &[]).await;
    append(events(3, 100, 100)).await.ok();
    append(events(4, 100, 100)).await.problem(413, "too-large");
    append(events(1, 101, 100)).await.problem(413, "too-large");
    append(events(1, 100, 101)).await.problem(413, "too-large");
    let padded = |length: usize| format!("{:length$}", events(1, 10, 10));
    append(padded(2000)).await.ok();
    assert_eq!(append(padded(2001)).await.problem(413, "too-large")["limit"], 2000);

    host.get("/v1/events?limit=7").await.ok();
    for limit in ["0", "8", "-1", "x"] {
        for path in ["/v1/events", "/v1/streams", "/v1/streams/a/b/events"] {
            host.get(&format!("{path}?limit={limit}")).await.problem(400, "invalid");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_kept_at_their_edge_and_refused_beyond() {
    let host = small().await;
    let body = events(1, 10, 10);
    let send = async |path: &str, header: (&str, &str)| host.append(path, &body, &[header]).await;
    let none = ("accept", "*/*");
    let refused = |answer: Answer, name: &str| {
        let problem = answer.problem(400, "invalid");
        assert!(problem["detail"].as_str().unwrap().contains(name), "{problem}");
    };
    let (x, long_ids) = (|length| "x".repeat(length), "%C3%AB".repeat(100));
    send(&format!("{}/{long_ids}", x(100)), ("everfold-tenant", &x(64))).await.ok();
    refused(send(&format!("{}/b", x(101)), none).await, "the aggregate type has 101 bytes");
    refused(send(&format!("a/{long_ids}x"), none).await, "the stream id has 201 bytes");
    refused(send("a%C3%AB/b", none).await, "the aggregate type contains 'ë'");
    refused(send("a/b%00", none).await, "the stream id contains '\\0'");
    refused(send("a/b", ("everfold-tenant", &x(65))).await, "the tenant has 65 bytes");
    refused(send("a/b", ("everfold-tenant", "a/b")).await, "the tenant contains '/'");
    for (header, limit) in [
        ("idempotency-key", 200),
        ("everfold-actor", 256),
        ("everfold-correlation-id", 256),
        ("everfold-causation-id", 256),
    ] {
        send("a/b", (header, &x(limit))).await.ok();
        let over = send("a/b", (header, &x(limit + 1))).await.problem(400, "invalid");
        assert!(over["detail"].as_str().unwrap().to_lowercase().contains(header), "{over}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_parts_are_kept_at_their_edge_and_refused_beyond() {
    let host = small().await;
    let send = async |event: String| host.append("a/b", &format!(r#"{{"events":[{event}]}}"#), &[]).await;
    let event = |event_type: &str, rest: &str| format!(r#"{{"event_type":"{event_type}","payload":1{rest}}}"#);
    send(event(&"x".repeat(200), r#","schema_version":2147483647,"occurred_at":"9999-12-31T23:59:59Z""#)).await.ok();
    let nested = |depth| format!(r#"{{"event_type":"A","payload":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    // One hundred bytes are the payload's limit here, so it is the metadata of a host with more that nests too deep.
    send(nested(50)).await.ok();
    for (event, pointer) in [
        (event(&"x".repeat(201), ""), "/events/0/event_type"),
        (event("A", r#","schema_version":2147483648"#), "/events/0/schema_version"),
        (event("A", r#","schema_version":0"#), "/events/0/schema_version"),
        (event("A", r#","occurred_at":"9999-12-31T23:59:59-00:01""#), "/events/0/occurred_at"),
        (nested(128), "/events/0/payload"),
    ] {
        assert_eq!(send(event).await.problem(400, "invalid")["pointer"], pointer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_not_take_longer_than_the_longest() {
    let database = TestDatabase::new().await;
    let options = HttpOptions { max_timeout: std::time::Duration::from_millis(1), ..HttpOptions::default() };
    let host = TestHost::with_options(&database, &["unruly"], options).await;
    let asked = [("everfold-timeout", "60000")];
    let answer = host.send(Method::POST, "/v1/aggregates/unruly/a/commands/Loop", &asked, "").await;
    assert!(["deadline", "outcome-unknown"].contains(&answer.json()["code"].as_str().unwrap()), "{}", answer.text);
}
