//! Events in their newest form: renamed, split and gone ones, those that no module reads, and modules that fail at it.

use reqwest::Method;
use serde_json::{Value, json};

use super::{append, events};
use crate::support::host::{Client, TestHost};
use crate::support::postgres::TestDatabase;

/// A host with the modules, on a history that was there before them.
async fn host_with(history: &[(&str, &[&str])], guests: &[&str]) -> TestHost {
    let database = TestDatabase::new().await;
    let bare = TestHost::start(&database, &[]).await;
    for (stream, types) in history {
        append(&bare, stream, types).await;
    }
    TestHost::start(&database, guests).await
}

const HISTORY: &[(&str, &[&str])] = &[
    ("parcel/1", &["Moved", "Split", "Gone", "Unheard"]),
    ("letter/1", &["Sent"]),
    ("parcel/2", &["Renamed", "Gone"]),
];

/// What an entry says, in short.
fn told(event: &Value) -> Value {
    json!([event["position"], event["event_type"], event["schema_version"], event["payload"], event["upcast"]])
}

fn from(event_type: &str, index: usize, count: usize) -> Value {
    json!({"form": "upcast", "event_type": event_type, "schema_version": 1, "index": index, "count": count})
}

/// What the history is in its newest form.
fn newest() -> Vec<Value> {
    vec![
        json!([1, "Moved", 2, {"to": "here"}, from("Moved", 0, 1)]),
        json!([2, "Moved", 2, {"to": "first"}, from("Split", 0, 3)]),
        json!([2, "Moved", 2, {"to": "second"}, from("Split", 1, 3)]),
        json!([2, "Moved", 2, {"to": "third"}, from("Split", 2, 3)]),
        json!([4, "Unheard", 1, 3, {"form": "unknown"}]),
        json!([5, "Sent", 1, 0, {"form": "unknown"}]),
        json!([6, "Moved", 2, {"to": "there"}, from("Renamed", 0, 1)]),
    ]
}

async fn lines(host: &Client, path: &str) -> Vec<Value> {
    let answer = host.send(Method::GET, path, &[("accept", "application/x-ndjson")], "").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_events_are_shown_as_what_they_now_stand_for() {
    let host = host_with(HISTORY, &["upcasts"]).await;
    let stored = events(&host.get("/v1/events").await.ok()).clone();
    assert!(stored.iter().all(|event| event.get("upcast").is_none()), "only who asks is told");
    let page = host.get("/v1/events?upcast=true").await.ok();
    assert_eq!(events(&page).iter().map(told).collect::<Vec<_>>(), newest());
    assert_eq!(page["next"], page["head"]);
    let mut as_lines = lines(&host, "/v1/events?upcast=true").await;
    assert_eq!(&as_lines, events(&page));
    as_lines.sort_by_key(|line| std::cmp::Reverse(line["position"].as_i64()));
    assert_eq!(lines(&host, "/v1/events?upcast=true&direction=backward").await, as_lines);

    // Place, id and times stay those of the stored event.
    for event in events(&page) {
        let of = stored.iter().find(|stored| stored["position"] == event["position"]).unwrap();
        for name in ["cursor", "version", "event_id", "stream_id", "occurred_at", "created_at", "metadata"] {
            assert_eq!(event[name], of[name], "{name}");
        }
    }
    let stream = host.get("/v1/streams/parcel/1/events?upcast=true").await.ok();
    assert_eq!(events(&stream).iter().map(told).collect::<Vec<_>>(), newest()[..5]);
    assert_eq!(stream["version"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_decided_now_is_in_its_newest_form() {
    let host = host_with(&[], &["upcasts"]).await;
    host.command("parcel/1", "Move", "", &[]).await.ok();
    let page = host.get("/v1/streams/parcel/1/events?upcast=true").await.ok();
    assert_eq!(told(&events(&page)[0]), json!([1, "Moved", 2, {"to": "door"}, {"form": "newest"}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_filters_and_links_are_about_stored_events() {
    let host = host_with(HISTORY, &["upcasts"]).await;
    let (mut path, mut seen, mut sizes) = ("/v1/events?upcast=true&limit=1".to_owned(), Vec::new(), Vec::new());
    loop {
        let page = host.get(&path).await.ok();
        sizes.push(events(&page).len());
        seen.extend(events(&page).iter().map(told));
        let Some(next) = page["links"]["next"].as_str() else { break };
        path = next.to_owned();
    }
    assert_eq!((seen, sizes), (newest(), vec![1, 3, 0, 1, 1, 1, 0]));
    let split = host.get("/v1/events?upcast=true&event_type=Split").await.ok();
    assert_eq!(events(&split).len(), 3, "by the stored name");
    assert_eq!(events(&host.get("/v1/events?upcast=true&event_type=Moved").await.ok()).len(), 1);
    assert_eq!(lines(&host, "/v1/events?upcast=true&limit=2").await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_page_is_upcast_in_order() {
    let split = vec!["Split"; 450];
    let host = host_with(&[("parcel/1", &split)], &["upcasts"]).await;
    let page = host.get("/v1/streams/parcel/1/events?upcast=true&limit=1000").await.ok();
    let versions = events(&page).iter().map(|event| (event["version"].as_i64(), event["upcast"]["index"].as_i64()));
    assert!(versions.eq((0..1350).map(|n| (Some(n / 3), Some(n % 3)))));
    assert_eq!(lines(&host, "/v1/events?upcast=true").await.len(), 1350);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_fails_at_it_fails_the_read_alone() {
    for (bad, code) in [("Refused", "unfoldable-event"), ("Trap", "module-trapped"), ("Loop", "module-deadline")] {
        let host = host_with(&[("parcel/1", &["Moved"]), ("parcel/2", &["Moved", bad])], &["upcasts"]).await;
        host.command("parcel/1", "Move", "", &[]).await.ok();
        for path in ["/v1/events?upcast=true", "/v1/streams/parcel/2/events?upcast=true"] {
            for accept in ["application/json", "application/x-ndjson"] {
                if accept == "application/x-ndjson" && path.contains("streams") {
                    continue;
                }
                let answer = host.send(Method::GET, path, &[("accept", accept)], "").await;
                answer.problem(500, code);
            }
        }
        assert_eq!(events(&host.get("/v1/events").await.ok()).len(), 4, "as stored it is there");
        assert_eq!(host.command("parcel/1", "Move", "", &[]).await.ok()["version"], 2);
        assert_eq!(host.get("/v1/aggregates/parcel/1").await.ok()["state"], 3);
        let good = host.get("/v1/streams/parcel/1/events?upcast=true").await.ok();
        assert_eq!(events(&good).len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tag_of_newest_forms_changes_with_the_module() {
    let host = host_with(&[("counter/1", &["Added"])], &["counter"]).await;
    let path = "/v1/events?upcast=true";
    let tag = host.get(path).await.etag.unwrap();
    let next = crate::support::guests::wasm("counter-v2");
    host.put_module("counter.wasm", &next);
    host.until_active(&next).await;
    assert_ne!(host.get(path).await.etag.unwrap(), tag);
    assert_eq!(host.send(Method::GET, path, &[("if-none-match", &tag)], "").await.status, 200);
}
