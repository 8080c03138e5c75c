//! Decisions that another host's held append makes wrong: they are made again, and only what holds is answered.

use futures_util::future::join;
use serde_json::json;
use tokio::join;

use super::{APPENDS, Gate, add, place, positions, two_hosts};
use crate::support::host::{Answer, Client};

/// Holds the first host's request open; sends the second's, which is decided on what was committed before; lets both go on.
async fn race(
    gate: &mut Gate,
    first: impl Future<Output = Answer>,
    second: impl Future<Output = Answer>,
) -> [Answer; 2] {
    gate.shut().await;
    let meanwhile = async {
        gate.until_held().await;
        let release = async {
            gate.until_queued(1).await;
            gate.open().await;
        };
        join(second, release).await.0
    };
    let (first, second) = join!(first, meanwhile);
    [first, second]
}

async fn pay(host: &Client, command: &str, amount: i64) -> Answer {
    host.command("account/x", command, &json!({ "amount": amount }).to_string(), &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_on_what_another_host_is_changing_is_decided_again() {
    let (mut gate, a, b) = two_hosts("bank-account", APPENDS).await;
    a.command("account/x", "Open", r#"{"owner":"Ada"}"#, &[]).await.ok();
    pay(&a, "Deposit", 5).await.ok();
    // Both hold the stream with a balance of 5.
    pay(&b, "Withdraw", 9).await.problem(422, "rejected");
    let [first, second] = race(&mut gate, pay(&a, "Withdraw", 5), pay(&b, "Withdraw", 5)).await;
    first.ok();
    assert_eq!(second.problem(422, "rejected")["rejection"]["details"], json!({"balance": 0}));
    assert_eq!(positions(&b.get("/v1/events").await.ok()), [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_on_what_another_host_is_changing_is_not_answered() {
    let (mut gate, a, b) = two_hosts("bank-account", APPENDS).await;
    a.command("account/x", "Open", r#"{"owner":"Ada"}"#, &[]).await.ok();
    pay(&b, "Withdraw", 5).await.problem(422, "rejected");
    // The second is decided on a balance of 0, and its check waits behind the deposit.
    let [first, second] = race(&mut gate, pay(&a, "Deposit", 5), pay(&b, "Withdraw", 5)).await;
    assert_eq!((first.ok()["version"].as_i64(), second.ok()["version"].as_i64()), (Some(1), Some(2)));
    assert_eq!(b.get("/v1/aggregates/account/x").await.ok()["state"]["balance"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expected_version_that_another_host_is_passing_is_a_conflict() {
    let (mut gate, a, b) = two_hosts("counter", APPENDS).await;
    add(&a, "counter/c", 1, &[]).await.ok();
    let at = [("expected-version", "0")];
    let [first, second] = race(&mut gate, add(&a, "counter/c", 1, &at), add(&b, "counter/c", 1, &at)).await;
    first.ok();
    let problem = second.problem(409, "version-conflict");
    assert_eq!(problem["actual"], 1, "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_with_one_key_execute_it_once() {
    let (mut gate, a, b) = two_hosts("counter", APPENDS).await;
    let key = [("idempotency-key", "k")];
    let [first, second] = race(&mut gate, add(&a, "counter/c", 7, &key), add(&b, "counter/c", 7, &key)).await;
    assert_eq!((place(&first), place(&second)), ((0, 1), (0, 1)));
    assert_eq!(first.ok()["events"], second.ok()["events"], "the same event");
    assert_eq!(positions(&b.get("/v1/events").await.ok()), [1]);
    for host in [&a, &b] {
        assert_eq!(host.get("/v1/aggregates/counter/c").await.ok()["state"]["total"], 7);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_key_for_two_requests_the_second_is_refused() {
    let (mut gate, a, b) = two_hosts("counter", APPENDS).await;
    let key = [("idempotency-key", "k")];
    let [first, second] = race(&mut gate, add(&a, "counter/c", 7, &key), add(&b, "counter/c", 8, &key)).await;
    assert_eq!(place(&first), (0, 1));
    second.problem(422, "idempotency-key-reused");
    assert_eq!(positions(&b.get("/v1/events").await.ok()), [1]);
}
