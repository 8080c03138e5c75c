//! Readers and an append that isn't committed: they pass without seeing it, and afterwards have missed nothing.

use futures_util::future::join;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::join;

use super::{APPENDS, add, place, positions, two_hosts};
use crate::support::host::Client;

/// What every way to read shows of `counter/c` and of the log.
#[derive(Debug, PartialEq)]
struct Sight {
    log: Vec<i64>,
    lines: usize,
    versions: usize,
    streams: Vec<(Value, Value)>,
    total: Value,
    total_before: Value,
}

/// Reads in every way; `counter/c` is not in this host's hands.
async fn look(host: &Client) -> Sight {
    let lines = host.send(Method::GET, "/v1/events", &[("accept", "application/x-ndjson")], "").await;
    assert_eq!(lines.status, 200, "{}", lines.text);
    let streams = host.get("/v1/streams").await.ok()["streams"].take();
    Sight {
        log: positions(&host.get("/v1/events").await.ok()),
        lines: lines.text.lines().filter(|line| line.contains("\"event_id\"")).count(),
        versions: host.get("/v1/streams/counter/c/events").await.ok()["events"].as_array().unwrap().len(),
        streams: streams
            .as_array()
            .unwrap()
            .iter()
            .map(|stream| (stream["stream_id"].clone(), stream["version"].clone()))
            .collect(),
        total: host.get("/v1/aggregates/counter/c").await.ok()["state"]["total"].take(),
        total_before: host.get("/v1/aggregates/counter/c?at_version=1").await.ok()["state"]["total"].take(),
    }
}

/// A page after a cursor, and the next cursor.
async fn after(host: &Client, cursor: &Value) -> (Vec<i64>, Value) {
    let mut page = host.get(&format!("/v1/events?after={}", cursor.as_str().unwrap())).await.ok();
    (positions(&page), page["next"].take())
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_pass_a_held_append_without_seeing_it() {
    let (mut gate, a, b) = two_hosts("counter", APPENDS).await;
    for _ in 0..3 {
        add(&a, "counter/c", 1, &[]).await.ok();
    }
    let before = look(&b).await;
    assert_eq!((before.lines, before.versions, &before.total), (3, 3, &json!(3)));
    assert_eq!((&before.log[..], &before.total_before), (&[1, 2, 3][..], &json!(2)));
    let cursor = a.get("/v1/events").await.ok()["next"].take();

    gate.shut().await;
    let meanwhile = async {
        gate.until_held().await;
        assert_eq!(look(&b).await, before, "nothing of it shows, and nobody waits");
        for host in [&a, &b] {
            assert_eq!(after(host, &cursor).await, (vec![], cursor.clone()));
        }
        // Another stream of the host that holds the append.
        assert_eq!(a.get("/v1/aggregates/counter/d").await.status, 404);
        gate.open().await;
    };
    let (answer, ()) = join(add(&a, "counter/c", 1, &[]), meanwhile).await;
    assert_eq!(place(&answer), (3, 4));
    let now = look(&b).await;
    assert_eq!((now.log, now.lines, now.versions), (vec![1, 2, 3, 4], 4, 4));
    assert_eq!((now.streams, now.total), (vec![(json!("c"), json!(3))], json!(4)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_hosts_append_waits_and_has_the_later_position() {
    let (mut gate, a, b) = two_hosts("counter", APPENDS).await;
    add(&a, "counter/c", 1, &[]).await.ok();
    let cursor = a.get("/v1/events").await.ok()["next"].take();
    gate.shut().await;
    let meanwhile = async {
        gate.until_held().await;
        let second = async {
            gate.until_queued(1).await;
            // A reader that asked now and went on from here would miss the first, were the second committed before it.
            assert_eq!(after(&b, &cursor).await, (vec![], cursor.clone()));
            gate.open().await;
        };
        join(add(&b, "counter/d", 1, &[]), second).await.0
    };
    let (first, second) = join!(add(&a, "counter/c", 1, &[]), meanwhile);
    assert_eq!((place(&first), place(&second)), ((1, 2), (0, 3)));
    for host in [&a, &b] {
        assert_eq!(after(host, &cursor).await.0, [2, 3], "in order and without a gap");
    }
}
