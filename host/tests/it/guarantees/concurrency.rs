//! Many clients, two hosts, few streams: every acknowledged command is in the log once, and nothing else.

use std::collections::{BTreeMap, HashSet};

use futures_util::future::join_all;
use serde_json::Value;

use super::{add, log, state, two_hosts};
use crate::support::host::TestHost;

const CLIENTS: usize = 16;
const COMMANDS: usize = 25;
const STREAMS: usize = 4;

/// One client's commands, one after the other, on all streams in turn; answers the ids of their events.
async fn client(number: usize, host: &TestHost) -> Vec<Value> {
    let mut appended = Vec::new();
    for n in 0..COMMANDS {
        let stream = format!("counter/{}", (number + n) % STREAMS);
        let answer = host.command(&stream, "Add", &add(1), &[]).await.ok();
        appended.extend(answer["events"].as_array().unwrap().iter().map(|event| event["event_id"].clone()));
    }
    appended
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_two_hosts_lose_and_repeat_nothing() {
    let (_database, a, b) = two_hosts(&["counter"]).await;
    let clients = (0..CLIENTS).map(|number| client(number, if number % 2 == 0 { &a } else { &b }));
    let acknowledged: Vec<Value> = join_all(clients).await.into_iter().flatten().collect();
    assert_eq!(acknowledged.len(), CLIENTS * COMMANDS);

    let events = log(&a).await;
    let positions = events.iter().map(|event| event["position"].as_u64().unwrap());
    assert!(positions.eq(1..=(CLIENTS * COMMANDS) as u64), "dense, and no more than were acknowledged");
    let stored: HashSet<&Value> = events.iter().map(|event| &event["event_id"]).collect();
    assert_eq!(stored, acknowledged.iter().collect());

    let mut versions: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for event in &events {
        let stream = event["stream_id"].as_str().unwrap();
        versions.entry(stream).or_default().push(event["version"].as_u64().unwrap() as usize);
    }
    assert_eq!(versions.len(), STREAMS);
    for (stream, versions) in versions {
        assert!(versions.iter().copied().eq(0..versions.len()), "{stream}: {versions:?}");
        for host in [&a, &b] {
            assert_eq!(state(host, &format!("counter/{stream}")).await["total"], versions.len());
        }
    }
}
