//! States of the past: from the first version to beyond the last, above and below snapshots, by older and newer modules.

use serde_json::{Value, json};

use super::append;
use crate::support::guests::wasm;
use crate::support::host::{Client, TestHost};
use crate::support::postgres::TestDatabase;

async fn at(host: &Client, version: i64) -> Value {
    let answer = host.get(&format!("/v1/aggregates/counter/c?at_version={version}")).await.ok();
    assert_eq!(answer["version"], version);
    answer["state"].clone()
}

async fn count(host: &Client, n: i64) {
    host.command("counter/c", "Many", &json!({ "n": n }).to_string(), &[]).await.ok();
}

/// Waits until the stream's only snapshot is at this version.
async fn until_snapshot(host: &Client, version: i64) {
    for _ in 0..1000 {
        let found = host.get("/v1/snapshots/counter/c").await.ok();
        if found["snapshots"][0]["version"] == version {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("no snapshot at {version}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ends_of_a_stream_are_the_ends_of_time() {
    let host = TestHost::start(&TestDatabase::new().await, &["counter"]).await;
    for version in [0, 7, i64::MAX] {
        let path = format!("/v1/aggregates/counter/c?at_version={version}");
        host.get(&path).await.problem(404, "stream-not-found");
    }
    count(&host, 1).await;
    assert_eq!(at(&host, 0).await["total"], 1, "the first event is the head too");
    count(&host, 2).await;
    assert_eq!([at(&host, 0).await["total"].clone(), at(&host, 2).await["total"].clone()], [json!(1), json!(3)]);
    for version in [3, 1000, i64::MAX] {
        let problem = host.get(&format!("/v1/aggregates/counter/c?at_version={version}")).await;
        assert_eq!(problem.problem(404, "not-found")["actual"], 2, "{version}");
    }
    host.get("/v1/aggregates/counter/c?at_version=-1").await.problem(400, "invalid");
    host.get("/v1/aggregates/counter/c?at_version=9223372036854775808").await.problem(400, "invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_above_serves_nothing_below_it() {
    let database = TestDatabase::new().await;
    let host = TestHost::start(&database, &["counter"]).await;
    count(&host, 12).await;
    until_snapshot(&host, 11).await;
    count(&host, 10).await;
    until_snapshot(&host, 21).await;
    let fresh = TestHost::start(&database, &["counter"]).await;
    for version in [0, 9, 10, 11, 12, 20, 21] {
        for host in [&host, &fresh] {
            assert_eq!(at(host, version).await["total"], version + 1);
        }
    }
    // Looking back leaves the present as it is.
    count(&fresh, 1).await;
    assert_eq!(at(&fresh, 22).await["total"], 23);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_is_told_by_the_module_that_is_active_now() {
    let host = TestHost::start(&TestDatabase::new().await, &["counter"]).await;
    count(&host, 12).await;
    until_snapshot(&host, 11).await;
    assert_eq!(at(&host, 4).await, json!({"total": 5, "note": null}));
    let next = wasm("counter-v2");
    host.put_module("counter.wasm", &next);
    host.until_active(&next).await;
    for version in [0, 4, 11] {
        assert_eq!(at(&host, version).await, json!({"total": version + 1, "note": null, "additions": version + 1}));
    }
    count(&host, 10).await;
    until_snapshot(&host, 21).await;
    assert_eq!(at(&host, 11).await["additions"], 12, "below the newer module's snapshot, above the older one's");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_folded_hides_only_what_comes_after_it() {
    let database = TestDatabase::new().await;
    let bare = TestHost::start(&database, &[]).await;
    bare.append("counter/c", r#"{"events":[{"event_type":"Added","payload":{"n":4}}]}"#, &[]).await.ok();
    append(&bare, "counter/c", &["Unheard", "Unheard"]).await;
    let host = TestHost::start(&database, &["counter"]).await;
    assert_eq!(at(&host, 0).await["total"], 4);
    for path in ["/v1/aggregates/counter/c?at_version=1", "/v1/aggregates/counter/c"] {
        host.get(path).await.problem(500, "unfoldable-event");
    }
}
