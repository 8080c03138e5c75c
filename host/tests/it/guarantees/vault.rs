//! The module that the torture harness swaps, in its variants: what the harness takes for granted of them.

use serde_json::{Value, json};

use super::state;
use crate::support::guests::wasm;
use crate::support::host::{Answer, Client, TestHost};
use crate::support::postgres::TestDatabase;

async fn swap(host: &TestHost, name: &str) {
    host.put_module("vault.wasm", &wasm(name));
    host.until_active(&wasm(name)).await;
}

async fn moved(host: &Client, token: &str, amounts: &[i64]) -> Answer {
    host.command("vault/a", "Move", &json!({"token": token, "amounts": amounts}).to_string(), &[]).await
}

/// The same figures stand in the harness's own tests: `torture/src/vault.rs`.
fn expected(entries: u64) -> Value {
    match entries {
        2 => json!({"balance": 2, "entries": 2, "digest": 14_856_086_265_825_054_515_u64, "last": "t/op-1"}),
        _ => json!({"balance": 10, "entries": 4, "digest": 7_961_818_667_712_535_074_u64, "last": "t/op-3"}),
    }
}

fn with_largest(mut state: Value, largest: i64) -> Value {
    state["largest"] = largest.into();
    state
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_fold_one_history_to_the_same() {
    let host = TestHost::start(&TestDatabase::new().await, &["vault"]).await;
    let events = moved(&host, "t/op-1", &[7, -5]).await.ok()["events"].take();
    assert_eq!(events.as_array().unwrap().len(), 2, "one for each amount");
    // A digest that needs all 64 bits.
    assert_eq!(state(&host, "vault/a").await, expected(2));
    swap(&host, "vault-v2").await;
    assert_eq!(state(&host, "vault/a").await, with_largest(expected(2), 7));

    let event = json!({"event_type": "Moved", "payload": {"token": "t/op-2", "amount": 9, "nth": 0}});
    host.append("vault/a", &json!({"events": [event]}).to_string(), &[]).await.ok();
    moved(&host, "t/op-3", &[-1]).await.ok();
    assert_eq!(state(&host, "vault/a").await, with_largest(expected(4), 9));
    swap(&host, "vault").await;
    assert_eq!(state(&host, "vault/a").await, expected(4));

    // Down to 1 and up again: it is the way that counts.
    let problem = moved(&host, "t/op-4", &[-9, -2, 5]).await.problem(422, "rejected");
    let rejection = &problem["rejection"];
    assert_eq!((&rejection["code"], &rejection["details"]), (&"short".into(), &json!({"balance": 10})));
    let touched = host.command("vault/a", "Touch", r#"{"token":"t/op-5"}"#, &[]).await.ok();
    assert_eq!((&touched["version"], &touched["events"]), (&3.into(), &json!([])));
    host.command("vault/a", "Trap", r#"{"token":"t/op-6"}"#, &[]).await.problem(500, "module-trapped");
    assert_eq!(state(&host, "vault/a").await, expected(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_versions_look_good_until_they_are_used() {
    let host = TestHost::start(&TestDatabase::new().await, &["vault"]).await;
    moved(&host, "t/op-1", &[7, -5]).await.ok();
    swap(&host, "vault-poison").await;
    // The former version has the stream in memory: it is no longer asked.
    moved(&host, "t/op-2", &[1]).await.problem(500, "module-trapped");
    assert_eq!(state(&host, "vault/a").await, expected(2), "it folds");
    swap(&host, "vault-unfolding").await;
    moved(&host, "t/op-3", &[1]).await.problem(500, "unfoldable-event");
    host.get("/v1/aggregates/vault/a").await.problem(500, "unfoldable-event");
    let other = json!({"token": "t/op-4", "amounts": [1]}).to_string();
    host.command("vault/new", "Move", &other, &[]).await.problem(500, "module-answer-invalid");
    swap(&host, "vault").await;
    assert_eq!(state(&host, "vault/a").await, expected(2));
    assert_eq!(moved(&host, "t/op-5", &[1]).await.ok()["version"], 2);
}
