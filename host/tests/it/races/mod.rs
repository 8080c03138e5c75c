//! Races that are set up, not hoped for: an append is held open inside the database while others pass, wait or die.

mod chains;
mod decisions;
mod held;
mod imports;
mod readers;
mod snapshots;

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, Row};
use tokio::time::Instant;

use crate::support::host::{Answer, Client, TestHost};
use crate::support::postgres::TestDatabase;

/// How long anything may take that must happen at some time.
const SOON: Duration = Duration::from_secs(60);

/// A gate in the database: while it is shut, a batch that has inserted its events waits there with them uncommitted, and
/// with the log's head in its hands. Batches without events, such as a rejection's check, wait as well.
const APPENDS: &str = "CREATE FUNCTION everfold.gate() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$;
    CREATE TRIGGER gate AFTER INSERT ON everfold.event_store FOR EACH STATEMENT EXECUTE FUNCTION everfold.gate()";

/// Another: the snapshot of version 9 waits before it is written.
const SNAPSHOTS: &str = "CREATE FUNCTION everfold.gate() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END $$;
    CREATE TRIGGER gate BEFORE INSERT ON everfold.snapshots FOR EACH ROW WHEN (NEW.version = 9)
    EXECUTE FUNCTION everfold.gate()";

struct Gate {
    owner: PgConnection,
}

impl Gate {
    /// Builds a gate, which stands open.
    async fn new(database: &TestDatabase, of: &'static str) -> Self {
        let mut owner = database.options().connect().await.unwrap();
        owner.execute(of).await.unwrap();
        Self { owner }
    }

    async fn shut(&mut self) {
        self.owner.execute("SELECT pg_advisory_lock(1)").await.unwrap();
    }

    async fn open(&mut self) {
        self.owner.execute("SELECT pg_advisory_unlock(1)").await.unwrap();
    }

    /// Waits until a statement waits at the gate.
    async fn until_held(&mut self) {
        let held = "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database =
                    (SELECT oid FROM pg_database WHERE datname = current_database())";
        self.until("a statement at the gate", held).await;
    }

    /// Waits until so many writers wait for the log's head.
    async fn until_queued(&mut self, writers: usize) {
        let queued = format!(
            "SELECT count(*) = {writers} FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'everfold-writer'
               AND wait_event IN ('transactionid', 'tuple')"
        );
        self.until("a writer that waits for the head", &queued).await;
    }

    /// Waits until a statement that asks for a truth answers so.
    async fn until(&mut self, what: &str, sql: &str) {
        let deadline = Instant::now() + SOON;
        while !self.owner.fetch_one(AssertSqlSafe(sql)).await.unwrap().get::<bool, _>(0) {
            assert!(Instant::now() < deadline, "{what} didn't happen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Two hosts with the same module on one database that has a gate.
async fn two_hosts(guest: &str, gate: &'static str) -> (Gate, TestHost, TestHost) {
    let database = TestDatabase::new().await;
    let gate = Gate::new(&database, gate).await;
    (gate, TestHost::start(&database, &[guest]).await, TestHost::start(&database, &[guest]).await)
}

/// Adds a number to a counter.
async fn add(host: &Client, stream: &str, n: i64, headers: &[(&str, &str)]) -> Answer {
    host.command(stream, "Add", &json!({ "n": n }).to_string(), headers).await
}

/// The version and the first event's position that a command was answered.
fn place(answer: &Answer) -> (i64, i64) {
    let answer = answer.ok();
    (answer["version"].as_i64().unwrap(), answer["events"][0]["position"].as_i64().unwrap())
}

/// The positions of a page.
fn positions(page: &Value) -> Vec<i64> {
    page["events"].as_array().unwrap().iter().map(|event| event["position"].as_i64().unwrap()).collect()
}
