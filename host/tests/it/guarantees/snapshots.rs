//! Snapshots change speed and nothing else: written, used, passed over, lost, and never of what isn't committed.

use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor, Row};

use super::{add, log, owner, state, until};
use crate::support::host::TestHost;
use crate::support::postgres::TestDatabase;

/// A host and its database, where the counter `c` stands at 25 after as many events, with a snapshot.
struct Counted {
    database: TestDatabase,
    host: TestHost,
    owner: PgConnection,
}

impl Counted {
    async fn new() -> Self {
        let database = TestDatabase::new().await;
        let host = TestHost::start(&database, &["counter"]).await;
        let mut owner = owner(&database).await;
        for (n, version) in [(10, 9), (10, 19), (5, 24)] {
            let answer = host.command("counter/c", "Many", &add(n), &[]).await.ok();
            assert_eq!(answer["version"], version);
        }
        until(&mut owner, "the second snapshot", "SELECT max(version) = 19 FROM everfold.snapshots").await;
        Self { database, host, owner }
    }

    /// Changes the table of snapshots; one row must be concerned.
    async fn change(&mut self, statement: &str) {
        let changed = self.owner.execute(AssertSqlSafe(statement)).await.unwrap();
        assert_eq!(changed.rows_affected(), 1, "{statement}");
    }

    /// Replaces the snapshot's state by one that no history gives.
    async fn mark(&mut self) {
        self.change(r#"UPDATE everfold.snapshots SET state = '{"total":1020,"note":null}'"#).await;
    }

    /// The counter's total as a host that has nothing in memory answers it.
    async fn total_afresh(&self, guest: &str) -> Value {
        let fresh = TestHost::start(&self.database, &[guest]).await;
        state(&fresh, "counter/c").await["total"].take()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_written_at_the_interval_and_used() {
    let mut counted = Counted::new().await;
    let row = counted.owner.fetch_one("SELECT event_id::text, state_version, state::text FROM everfold.snapshots");
    let row = row.await.unwrap();
    let (event_id, state_version, text): (String, i32, String) = (row.get(0), row.get(1), row.get(2));
    assert_eq!(log(&counted.host).await[19]["event_id"], event_id);
    assert_eq!((state_version, text.as_str()), (1, r#"{"total":20,"note":null}"#));

    counted.mark().await;
    assert_eq!(counted.total_afresh("counter").await, 1025, "the snapshot's state and the five events after it");
    assert_eq!(state(&counted.host, "counter/c").await["total"], 25, "this host has no need for it");
    let past = counted.host.get("/v1/aggregates/counter/c?at_version=18").await.ok();
    assert_eq!(past["state"]["total"], 19, "before the snapshot");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_another_state_version_is_passed_over() {
    let mut counted = Counted::new().await;
    counted.mark().await;
    assert_eq!(counted.total_afresh("counter-v2").await, 25, "another module with another state version");
    assert_eq!(counted.total_afresh("counter").await, 1025);
    counted.change("UPDATE everfold.snapshots SET state_version = 2").await;
    assert_eq!(counted.total_afresh("counter").await, 25);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_another_history_is_passed_over() {
    let mut counted = Counted::new().await;
    counted.mark().await;
    counted.change("UPDATE everfold.snapshots SET event_id = gen_random_uuid()").await;
    assert_eq!(counted.total_afresh("counter").await, 25);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_the_module_cannot_read_is_passed_over() {
    let mut counted = Counted::new().await;
    counted.change(r#"UPDATE everfold.snapshots SET state = '{"sum":"?"}'"#).await;
    assert_eq!(counted.total_afresh("counter").await, 25);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_snapshot_changes_no_answer() {
    let mut counted = Counted::new().await;
    counted.mark().await;
    counted.change("DELETE FROM everfold.snapshots").await;
    assert_eq!(counted.total_afresh("counter").await, 25);
    let fresh = TestHost::start(&counted.database, &["counter"]).await;
    assert_eq!(fresh.command("counter/c", "Add", &add(1), &[]).await.ok()["version"], 25);
    until(&mut counted.owner, "a new snapshot", "SELECT max(version) = 25 FROM everfold.snapshots").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_at_a_version_is_the_fold_up_to_it() {
    let counted = Counted::new().await;
    counted.host.command("counter/c", "Note", r#"{"text":"half"}"#, &[]).await.ok();
    counted.host.command("counter/c", "Many", &add(30), &[]).await.ok();
    let fresh = TestHost::start(&counted.database, &["counter"]).await;
    for version in 0..=55 {
        let expected = match version {
            0..25 => json!({"total": version + 1, "note": null}),
            _ => json!({"total": version, "note": "half"}),
        };
        for host in [&counted.host, &fresh] {
            let past = host.get(&format!("/v1/aggregates/counter/c?at_version={version}")).await.ok();
            assert_eq!((&past["version"], &past["state"]), (&version.into(), &expected));
        }
    }
    counted.host.get("/v1/aggregates/counter/c?at_version=56").await.problem(404, "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_snapshot_is_taken_of_what_was_not_committed() {
    let mut counted = Counted::new().await;
    // The decision is made and applied, and a snapshot due, before the log says no.
    for stream in ["counter/c", "counter/never"] {
        let expecting = [("expected-version", "3")];
        counted.host.command(stream, "Many", &add(10), &expecting).await.problem(409, "version-conflict");
    }
    // Snapshots are written in the order in which they were taken.
    counted.host.command("counter/later", "Many", &add(10), &[]).await.ok();
    let written = "SELECT count(*) > 0 FROM everfold.snapshots WHERE stream_id = 'later'";
    until(&mut counted.owner, "the later snapshot", written).await;
    let known = "SELECT string_agg(stream_id || version, ' ' ORDER BY stream_id) FROM everfold.snapshots";
    assert_eq!(counted.owner.fetch_one(known).await.unwrap().get::<String, _>(0), "c19 later9");
    assert_eq!(counted.total_afresh("counter").await, 25);
    assert_eq!(state(&counted.host, "counter/c").await["total"], 25);
}
