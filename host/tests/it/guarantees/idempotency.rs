//! One key, one result: repeated, raced, late, after the domain or the module has changed its mind.

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use sqlx::Executor;

use super::{OPEN, add, amount, log, owner, state, two_hosts, until};
use crate::support::guests::wasm;
use crate::support::host::{Answer, Client, READ_CONNECTIONS, TestHost};
use crate::support::postgres::TestDatabase;

/// Connections that folds have: the others are for pages.
const FOLDS: u32 = READ_CONNECTIONS / 2;

async fn send(host: &Client, stream: &str, name: &str, body: &str, key: &str) -> Answer {
    host.command(stream, name, body, &[("idempotency-key", key)]).await
}

/// The answer is the first one, told again.
fn assert_replayed(first: &Value, again: &Answer) {
    let mut again = again.ok();
    assert_eq!(again["replayed"], true, "{again}");
    again["replayed"] = first["replayed"].clone();
    assert_eq!(again, *first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_command_gets_its_first_answer_whatever_has_happened_since() {
    let (_database, a, b) = two_hosts(&["counter"]).await;
    let many = send(&a, "counter/c", "Many", &add(3), "many").await.ok();
    let nothing = send(&a, "counter/c", "Nothing", "", "nothing").await.ok();
    assert_eq!((&many["replayed"], many["events"].as_array().unwrap().len()), (&false.into(), 3));
    let at_two = [("idempotency-key", "at two"), ("expected-version", "2")];
    let expected = a.command("counter/c", "Add", &add(1), &at_two).await.ok();
    for host in [&a, &b, &a] {
        host.command("counter/c", "Add", &add(1), &[]).await.ok();
        assert_replayed(&many, &send(host, "counter/c", "Many", &add(3), "many").await);
        assert_replayed(&nothing, &send(host, "counter/c", "Nothing", "", "nothing").await);
        // The stream was at that version only the first time.
        assert_replayed(&expected, &host.command("counter/c", "Add", &add(1), &at_two).await);
        host.command("counter/c", "Add", &add(1), &at_two[1..]).await.problem(409, "version-conflict");
    }
    assert_eq!((state(&b, "counter/c").await["total"].clone(), log(&b).await.len()), (7.into(), 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_rejection_stays_one() {
    let (_database, a, b) = two_hosts(&["bank-account"]).await;
    a.command("account/x", "Open", OPEN, &[]).await.ok();
    let first = send(&a, "account/x", "Withdraw", &amount(5), "w").await.problem(422, "rejected");
    a.command("account/x", "Deposit", &amount(5), &[]).await.ok();
    for host in [&a, &b] {
        let again = send(host, "account/x", "Withdraw", &amount(5), "w").await.problem(422, "rejected");
        assert_eq!((&again["replayed"], &again["rejection"]), (&true.into(), &first["rejection"]));
    }
    send(&b, "account/x", "Withdraw", &amount(5), "another").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_belongs_to_one_request() {
    let (_database, a, b) = two_hosts(&["counter"]).await;
    send(&a, "counter/c", "Add", &add(1), "k").await.ok();
    for host in [&a, &b] {
        let reused = async |stream: &str, name: &str, body: &str| {
            send(host, stream, name, body, "k").await.problem(422, "idempotency-key-reused");
        };
        reused("counter/c", "Add", &add(2)).await;
        reused("counter/c", "Many", &add(1)).await;
        reused("counter/d", "Add", &add(1)).await;
        let expecting = [("idempotency-key", "k"), ("expected-version", "0")];
        host.command("counter/c", "Add", &add(1), &expecting).await.problem(422, "idempotency-key-reused");
    }
    assert_eq!(log(&a).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_requests_that_race_with_one_key_one_is_executed() {
    let (_database, a, b) = two_hosts(&["counter"]).await;
    for round in 0..10 {
        let key = format!("race {round}");
        let requests = (0..16).map(|n| send(if n % 2 == 0 { &a } else { &b }, "counter/c", "Add", "{\"n\":1}", &key));
        let answers: Vec<Value> = join_all(requests).await.iter().map(Answer::ok).collect();
        let executed = answers.iter().filter(|answer| answer["replayed"] == false).count();
        assert_eq!(executed, 1, "{answers:?}");
        assert!(answers.iter().all(|answer| answer["events"] == answers[0]["events"]), "{answers:?}");
    }
    assert_eq!((state(&a, "counter/c").await["total"].clone(), log(&b).await.len()), (10.into(), 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_no_module_takes_any_more_keeps_its_answer() {
    let database = TestDatabase::new().await;
    let newer = TestHost::start(&database, &["counter-v2"]).await;
    newer.command("counter/c", "Add", &add(4), &[]).await.ok();
    let first = send(&newer, "counter/c", "Double", "", "k").await.ok();

    let (older, empty) = (TestHost::start(&database, &["counter"]).await, TestHost::start(&database, &[]).await);
    newer.put_module("counter-v2.wasm", &wasm("counter"));
    newer.until_active(&wasm("counter")).await;
    for (host, code) in [(&newer, "unknown-command"), (&older, "unknown-command"), (&empty, "unknown-aggregate")] {
        assert_replayed(&first, &send(host, "counter/c", "Double", "", "k").await);
        send(host, "counter/c", "Double", r#"{"n":1}"#, "k").await.problem(422, "idempotency-key-reused");
        send(host, "counter/c", "Double", "", "new").await.problem(404, code);
    }
    assert_eq!(state(&older, "counter/c").await, json!({"total": 8, "note": null}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_cannot_be_told_is_not_denied() {
    let database = TestDatabase::new().await;
    let host = TestHost::start(&database, &["counter"]).await;
    let first = send(&host, "counter/c", "Add", &add(1), "k").await.ok();
    // Folds stand still, appends and receipts don't; the folds take all connections of their pool.
    let (mut owner, mut lookout) = (owner(&database).await, owner(&database).await);
    owner.execute("BEGIN; LOCK TABLE everfold.snapshots IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let paths: Vec<String> = (0..FOLDS).map(|n| format!("/v1/aggregates/counter/other-{n}")).collect();
    let reads = join_all(paths.iter().map(|path| host.get(path)));
    let repeat = async {
        let all_wait = format!(
            "SELECT count(*) = {FOLDS} FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'everfold-reader' AND wait_event_type = 'Lock'"
        );
        until(&mut lookout, "the reads stand still", &all_wait).await;
        send(&host, "counter/c", "Add", &add(1), "k").await.problem(504, "outcome-unknown");
        owner.execute("COMMIT").await.unwrap();
    };
    join(reads, repeat).await;
    assert_replayed(&first, &send(&host, "counter/c", "Add", &add(1), "k").await);
}
