//! No answer comes from stale state: a host that doesn't know yet what another one committed finds out in time.

use serde_json::json;

use super::{OPEN, add, amount, state, two_hosts};

#[tokio::test(flavor = "multi_thread")]
async fn a_no_from_before_another_hosts_commit_is_never_answered() {
    let (_database, a, b) = two_hosts(&["bank-account"]).await;
    a.command("account/x", "Open", OPEN, &[]).await.ok();
    for round in 1..=10 {
        // Both hosts hold the stream with a balance of 0.
        for host in [&a, &b] {
            host.command("account/x", "Withdraw", &amount(round), &[]).await.problem(422, "rejected");
        }
        b.command("account/x", "Deposit", &amount(round), &[]).await.ok();
        let withdrawn = a.command("account/x", "Withdraw", &amount(round), &[]).await.ok();
        assert_eq!(withdrawn["version"], 2 * round, "on what the other host had committed");
    }
    assert_eq!(state(&b, "account/x").await["balance"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_from_before_another_hosts_commit_is_never_carried_out() {
    let (_database, a, b) = two_hosts(&["bank-account"]).await;
    a.command("account/x", "Open", OPEN, &[]).await.ok();
    for _ in 0..10 {
        a.command("account/x", "Deposit", &amount(5), &[]).await.ok();
        b.command("account/x", "Withdraw", &amount(5), &[]).await.ok();
        // For all that host `a` knows, there still are 5.
        let problem = a.command("account/x", "Withdraw", &amount(5), &[]).await.problem(422, "rejected");
        assert_eq!(problem["rejection"]["details"], json!({"balance": 0}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_that_a_decision_saw_is_the_committed_one() {
    let (_database, a, b) = two_hosts(&["counter"]).await;
    a.command("counter/c", "Add", &add(1), &[]).await.ok();
    b.command("counter/c", "Add", &add(1), &[]).await.ok();
    let nothing = a.command("counter/c", "Nothing", "", &[]).await.ok();
    assert_eq!((&nothing["version"], &nothing["events"]), (&1.into(), &json!([])), "nothing to do as of version 1");

    b.command("counter/c", "Add", &add(1), &[]).await.ok();
    let at = |version: i64| json!({"n": 10, "version": version}).to_string();
    assert_eq!(a.command("counter/c", "AddAt", &at(2), &[]).await.ok()["version"], 3);
    let problem = b.command("counter/c", "AddAt", &at(2), &[]).await.problem(422, "rejected");
    assert_eq!(problem["rejection"]["details"], json!({"actual": 3}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_the_committed_one_unless_a_stale_one_will_do() {
    let (_database, a, b) = two_hosts(&["counter"]).await;
    for total in 1..=10 {
        let (writer, reader) = if total % 2 == 0 { (&a, &b) } else { (&b, &a) };
        writer.command("counter/c", "Add", &add(1), &[]).await.ok();
        if total > 2 {
            let stale = reader.get("/v1/aggregates/counter/c?stale=ok").await.ok()["state"]["total"].as_i64();
            assert!(stale == Some(total - 1) || stale == Some(total), "{stale:?} of {total}");
        }
        assert_eq!(state(reader, "counter/c").await["total"], total);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_decision_leaves_nothing_behind() {
    let (_database, a, b) = two_hosts(&["counter"]).await;
    a.command("counter/c", "Add", &add(1), &[]).await.ok();
    for total in 1..=3 {
        // Decided and applied before the log was asked whether the stream is at that version.
        let elsewhere = [("expected-version", "100")];
        a.command("counter/c", "Add", &add(1000), &elsewhere).await.problem(409, "version-conflict");
        let stale = a.get("/v1/aggregates/counter/c?stale=ok").await.ok();
        assert_eq!((&stale["state"]["total"], &stale["version"]), (&total.into(), &(total - 1).into()));
        a.command("counter/c", "Add", &add(1000), &elsewhere).await.problem(409, "version-conflict");
        a.command("counter/c", "Add", &add(-1000), &[]).await.problem(422, "rejected");
        a.command("counter/c", "Add", &add(1), &[]).await.ok();
    }
    assert_eq!(state(&b, "counter/c").await["total"], 4);
}
