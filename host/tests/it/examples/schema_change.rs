//! `schema-change`: history that version 1.0 wrote, swapped to version 2.0 while commands go on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use serde_json::{Value, json};

use super::{event_types, raw_events, state};
use crate::support::guests::wasm;
use crate::support::host::TestHost;
use crate::support::postgres::TestDatabase;

const FILE: &str = "schema-change.wasm";
const OLD: &str = "schema-change";
const NEW: &str = "schema-change-v2";
const BUSY: [&str; 3] = ["subscription/busy-0", "subscription/busy-1", "subscription/busy-2"];
const QUIET: &str = "subscription/quiet";

/// Plan changes that each busy stream must take under each of the two versions.
const ENOUGH: u64 = 10;

async fn send(host: &TestHost, stream: &str, command: &str, body: Value) -> Value {
    host.command(stream, command, &body.to_string(), &[]).await.ok()
}

/// A host that runs version 1.0, and streams that it wrote: each has one `Started`, one `EmailChanged`, and as many
/// `PlanChanged` that there is a snapshot.
async fn host_with_history(database: &TestDatabase) -> TestHost {
    let host = TestHost::start(database, &[OLD]).await;
    for stream in BUSY.into_iter().chain([QUIET]) {
        send(&host, stream, "Start", json!({"customer": "Ann", "plan": "basic", "price": 500})).await;
        send(&host, stream, "ChangeEmail", json!({"email": "ann@example.org"})).await;
        for price in 1..=6 {
            send(&host, stream, "ChangePlan", json!({"plan": "pro", "price": price})).await;
        }
    }
    host
}

async fn swap(host: &TestHost, guest: &str) {
    host.put_module(FILE, &wasm(guest));
    host.until_active(&wasm(guest)).await;
}

/// Changes a stream's plan over and over, from price 7 on, until told to stop; each change must succeed.
async fn change_plans(host: &TestHost, stream: &str, changes: &AtomicU64, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let price = 7 + changes.load(Ordering::Relaxed);
        send(host, stream, "ChangePlan", json!({"plan": "max", "price": price})).await;
        changes.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until each stream has taken enough changes beyond those it had.
async fn until_enough(changes: &[AtomicU64]) {
    let goals: Vec<u64> = changes.iter().map(|changes| changes.load(Ordering::Relaxed) + ENOUGH).collect();
    let reached = async {
        while changes.iter().zip(&goals).any(|(changes, goal)| changes.load(Ordering::Relaxed) < *goal) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reached).await.expect("commands go on");
}

/// What version 2.0 makes of a stream with so many changes of plan.
fn expected(plan: &str, changes: u64) -> Value {
    json!({
        "customer": "Ann", "contact": "ann@example.org", "plan": plan,
        "price": {"amount": changes, "currency": "EUR"}, "agreements": changes + 1,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_over_existing_history_loses_no_command_and_changes_no_event() {
    let database = TestDatabase::new().await;
    let host = host_with_history(&database).await;
    let before = join_all(BUSY.map(|stream| raw_events(&host, stream))).await;

    let (changes, over) = (BUSY.map(|_| AtomicU64::new(0)), AtomicBool::new(false));
    let clients =
        join_all(BUSY.iter().zip(&changes).map(|(stream, changes)| change_plans(&host, stream, changes, &over)));
    join(clients, async {
        until_enough(&changes).await;
        swap(&host, NEW).await;
        until_enough(&changes).await;
        over.store(true, Ordering::Relaxed);
    })
    .await;

    let fresh = TestHost::start(&database, &[NEW]).await;
    for ((stream, before), changes) in BUSY.into_iter().zip(before).zip(changes.map(AtomicU64::into_inner)) {
        assert_eq!(raw_events(&host, stream).await[..before.len()], before, "history is as it was, byte for byte");
        let types = event_types(&host, stream).await;
        let count = |name: &str| types.iter().filter(|it| *it == name).count() as u64;
        assert_eq!(count("PlanChanged") + count("PlanChosen"), changes + 6, "each command that was answered, once");
        assert!(count("PlanChanged") > 6 && count("PlanChosen") >= ENOUGH, "both versions wrote: {types:?}");
        assert_eq!(count("PriceAgreed"), count("PlanChosen"));
        let (known, folded) = (state(&host, stream).await, state(&fresh, stream).await);
        assert_eq!((&known, &folded), (&expected("max", changes + 6), &known), "in memory, and folded anew");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_events_of_every_kind_are_folded_by_the_new_version() {
    let host = host_with_history(&TestDatabase::new().await).await;
    assert_eq!(state(&host, QUIET).await["email"], "ann@example.org");
    let before = raw_events(&host, QUIET).await;
    swap(&host, NEW).await;

    assert_eq!(state(&host, QUIET).await, expected("pro", 6));
    let first = host.get("/v1/aggregates/subscription/quiet?at_version=0").await.ok();
    assert_eq!(first["state"]["price"], json!({"amount": 500, "currency": "EUR"}), "a currency that it never said");
    let unchanged = send(&host, QUIET, "ChangeEmail", json!({"email": "ann@example.org"})).await;
    assert_eq!(unchanged["events"], json!([]), "decided on the event that was called otherwise");
    assert_eq!(raw_events(&host, QUIET).await, before);

    send(&host, QUIET, "AgreePrice", json!({"price": 700, "currency": "USD"})).await;
    send(&host, "subscription/new", "Start", json!({"customer": "Bob", "plan": "basic", "price": 500})).await;
    let started: Value = serde_json::from_str(&raw_events(&host, "subscription/new").await[0]).unwrap();
    assert_eq!((&started["schema_version"], &started["payload"]["currency"]), (&2.into(), &"EUR".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_back_is_open_only_where_the_new_version_has_not_written() {
    let host = host_with_history(&TestDatabase::new().await).await;
    swap(&host, NEW).await;
    send(&host, BUSY[0], "ChangeEmail", json!({"email": "ann@example.com"})).await;
    swap(&host, OLD).await;

    send(&host, QUIET, "ChangePlan", json!({"plan": "basic", "price": 500})).await;
    let body = json!({"plan": "basic", "price": 500}).to_string();
    let problem = host.command(BUSY[0], "ChangePlan", &body, &[]).await.problem(500, "unfoldable-event");
    assert!(problem["detail"].as_str().unwrap().contains("ContactChanged"), "{problem}");
    swap(&host, NEW).await;
    send(&host, BUSY[0], "ChangePlan", json!({"plan": "basic", "price": 500})).await;
    assert_eq!(state(&host, BUSY[0]).await["contact"], "ann@example.com");
}
