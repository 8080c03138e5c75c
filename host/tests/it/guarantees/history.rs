//! History that the active module doesn't know: named where it is in the way, and in nobody else's.

use serde_json::Value;

use super::{add, log, state};
use crate::support::guests::wasm;
use crate::support::host::TestHost;
use crate::support::postgres::TestDatabase;

const ADDED: &str = r#"{"event_type":"Added","payload":{"n":1}}"#;

fn events(events: &[&str]) -> String {
    format!(r#"{{"events":[{}]}}"#, events.join(","))
}

fn types(page: &Value) -> Vec<&str> {
    page.as_array().unwrap().iter().map(|event| event["event_type"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_no_module_declares_is_named_and_still_read() {
    // While there is no module, there is nobody to say that it doesn't know an event.
    let host = TestHost::start(&TestDatabase::new().await, &[]).await;
    let mystery = r#"{"event_type":"Mystery","schema_version":3,"payload":{"who":"knows"}}"#;
    host.append("counter/odd", &events(&[ADDED, mystery, ADDED]), &[]).await.ok();
    host.append("counter/newer", &events(&[r#"{"event_type":"Added","schema_version":9,"payload":{}}"#]), &[])
        .await
        .ok();
    host.append("counter/broken", &events(&[r#"{"event_type":"Added","payload":{"n":"one"}}"#]), &[]).await.ok();
    host.append("counter/even", &events(&[ADDED, ADDED]), &[]).await.ok();
    host.command("counter/even", "Add", &add(1), &[]).await.problem(404, "unknown-aggregate");
    host.put_module("counter.wasm", &wasm("counter"));
    host.until_active(&wasm("counter")).await;

    for (stream, named) in [
        ("odd", ["at version 1", "Mystery", "schema version 3", "counter 1.0.0"]),
        ("newer", ["at version 0", "Added", "schema version 9", "counter 1.0.0"]),
        ("broken", ["at version 0", "Added", "schema version 1", "counter 1.0.0"]),
    ] {
        let command = host.command(&format!("counter/{stream}"), "Add", &add(1), &[]).await;
        let read = host.get(&format!("/v1/aggregates/counter/{stream}")).await;
        for problem in [command.problem(500, "unfoldable-event"), read.problem(500, "unfoldable-event")] {
            let detail = problem["detail"].as_str().unwrap();
            assert!(named.iter().all(|name| detail.contains(name)), "{detail}");
        }
    }
    let before = host.get("/v1/aggregates/counter/odd?at_version=0").await.ok();
    assert_eq!(before["state"]["total"], 1, "what lies before it can be folded");
    assert_eq!(host.command("counter/even", "Add", &add(1), &[]).await.ok()["version"], 2);
    assert_eq!(state(&host, "counter/even").await["total"], 3);

    let stream = host.get("/v1/streams/counter/odd/events").await.ok();
    assert_eq!(types(&stream["events"]), ["Added", "Mystery", "Added"]);
    assert_eq!(types(&log(&host).await.into())[1..3], ["Mystery", "Added"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_knows_the_event_makes_the_stream_usable_again() {
    let host = TestHost::start(&TestDatabase::new().await, &["bank-account-v1.1"]).await;
    host.command("account/a", "Open", super::OPEN, &[]).await.ok();
    host.command("account/a", "Close", "", &[]).await.ok();
    host.put_module("bank-account-v1.1.wasm", &wasm("bank-account"));
    host.until_active(&wasm("bank-account")).await;
    let problem = host.command("account/a", "Open", super::OPEN, &[]).await.problem(500, "unfoldable-event");
    assert!(problem["detail"].as_str().unwrap().contains("Closed"), "{problem}");

    host.put_module("bank-account-v1.1.wasm", &wasm("bank-account-v1.1"));
    host.until_active(&wasm("bank-account-v1.1")).await;
    assert_eq!(host.command("account/a", "Open", super::OPEN, &[]).await.ok()["version"], 2);
}
