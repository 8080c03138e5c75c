//! Who is held and what becomes of it: the session is killed, the caller's time is up, the module is exchanged.

use futures_util::future::join;
use serde_json::json;
use sqlx::Executor;
use tokio::join;

use super::{APPENDS, Gate, add, place, positions, two_hosts};
use crate::support::guests::wasm;
use crate::support::host::TestHost;
use crate::support::postgres::TestDatabase;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_killed_while_it_is_held_leaves_nothing() {
    let (mut gate, a, b) = two_hosts("counter", APPENDS).await;
    add(&a, "counter/c", 1, &[]).await.ok();
    gate.shut().await;
    let meanwhile = async {
        gate.until_held().await;
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND application_name = 'everfold-writer' AND wait_event = 'advisory'";
        gate.owner.execute(kill).await.unwrap();
        gate.until("a new session", "SELECT count(*) = 0 FROM everfold.event_store WHERE position > 1").await;
        assert_eq!(positions(&b.get("/v1/events").await.ok()), [1]);
        // The host finds out that it wasn't committed, and sends it again.
        gate.until_held().await;
        assert_eq!(positions(&b.get("/v1/events").await.ok()), [1]);
        gate.open().await;
    };
    let (answer, ()) = join(add(&a, "counter/c", 1, &[]), meanwhile).await;
    assert_eq!(place(&answer), (1, 2), "once, and without a hole");
    assert_eq!(positions(&b.get("/v1/events").await.ok()), [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_time_is_up_hears_the_truth() {
    let (mut gate, a, b) = two_hosts("counter", APPENDS).await;
    add(&a, "counter/c", 1, &[]).await.ok();
    gate.shut().await;
    let sent = [("everfold-timeout", "1500"), ("idempotency-key", "k")];
    let meanwhile = async {
        gate.until_held().await;
        // This one waits in the host: it was never sent.
        add(&a, "counter/d", 1, &[("everfold-timeout", "100")]).await.problem(503, "deadline");
        // This one was sent, and waits for the head.
        add(&b, "counter/e", 1, &[("everfold-timeout", "700")]).await
    };
    let (held, queued) = join!(add(&a, "counter/c", 1, &sent), meanwhile);
    held.problem(504, "outcome-unknown");
    queued.problem(504, "outcome-unknown");
    gate.open().await;
    // It was committed in the end, and the key says so.
    assert_eq!(place(&add(&a, "counter/c", 1, &sent).await), (1, 2));
    gate.until("the other's commit", "SELECT max(position) = 3 FROM everfold.event_store").await;
    assert_eq!(a.get("/v1/aggregates/counter/d").await.status, 404, "surely not executed");
    assert_eq!(place(&add(&a, "counter/d", 1, &[]).await), (0, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_is_exchanged_while_an_append_is_held() {
    let database = TestDatabase::new().await;
    let mut gate = Gate::new(&database, APPENDS).await;
    let host = TestHost::start(&database, &["counter"]).await;
    add(&host, "counter/c", 2, &[]).await.ok();
    gate.shut().await;
    let meanwhile = async {
        gate.until_held().await;
        host.put_module("counter.wasm", &wasm("counter-v2"));
        host.until_active(&wasm("counter-v2")).await;
        gate.open().await;
    };
    let (answer, ()) = join(add(&host, "counter/c", 3, &[]), meanwhile).await;
    assert_eq!(place(&answer), (1, 2));
    host.command("counter/c", "Double", "", &[]).await.ok();
    let state = host.get("/v1/aggregates/counter/c").await.ok()["state"].take();
    assert_eq!(state, json!({"total": 10, "note": null, "additions": 3}), "folded again by the new module");
}
