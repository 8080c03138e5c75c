//! An import that is held open while commands of both hosts go on.

use futures_util::future::{join, join_all};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{APPENDS, add, positions, two_hosts};

/// Lines of a history; more than one batch of them.
const LINES: i64 = 2_500;
const COMMANDS: usize = 8;

fn line(version: i64) -> String {
    json!({
        "aggregate_type": "note", "stream_id": "n", "version": version, "event_id": Uuid::now_v7(),
        "event_type": "Noted", "payload": {"n": version},
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_go_on_around_an_import_that_is_held() {
    let (mut gate, a, b) = two_hosts("counter", APPENDS).await;
    let lines: Vec<String> = (0..LINES).map(line).collect();
    let body = lines.join("\n");
    gate.shut().await;
    let meanwhile = async {
        gate.until_held().await;
        let names: Vec<String> = (0..COMMANDS).map(|n| format!("counter/{n}")).collect();
        let commands = names.iter().enumerate().map(|(n, name)| add(if n % 2 == 0 { &a } else { &b }, name, 1, &[]));
        let release = async {
            gate.until_queued(1).await;
            assert!(positions(&b.get("/v1/events").await.ok()).is_empty());
            gate.open().await;
        };
        let (answers, ()) = join(join_all(commands), release).await;
        answers.iter().for_each(|answer| drop(answer.ok()));
    };
    let (imported, ()) = join(a.send(Method::POST, "/v1/events", &[], &body), meanwhile).await;
    let answers: Vec<Value> = imported.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let own: Vec<i64> = answers.iter().filter_map(|answer| answer["position"].as_i64()).collect();
    assert_eq!(own.len(), LINES as usize);
    assert!(own.is_sorted(), "positions follow the lines");

    let (mut seen, mut path) = (Vec::new(), "/v1/events?limit=1000".to_owned());
    while seen.len() < LINES as usize + COMMANDS {
        let page = b.get(&path).await.ok();
        seen.extend(positions(&page));
        path = format!("/v1/events?limit=1000&after={}", page["next"].as_str().unwrap());
    }
    assert!(seen.iter().copied().eq(1..=LINES + COMMANDS as i64), "dense, and everything once");
}
