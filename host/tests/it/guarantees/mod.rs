//! What Everfold promises, shown on whole hosts: over HTTP, with compiled modules, on a PostgreSQL that may fail.

mod bad_guests;
mod bad_modules;
mod concurrency;
mod guesses;
mod history;
mod idempotency;
mod outages;
mod overload;
mod quarantine;
mod restarts;
mod snapshots;
mod swaps;
mod tenants;
mod truth;
mod vault;
mod wasi;

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, Row};
use tokio::time::Instant;

use crate::support::host::{Client, TestHost};
use crate::support::postgres::TestDatabase;

/// How long anything may take that must happen at some time.
const SOON: Duration = Duration::from_secs(90);

const OPEN: &str = r#"{"owner":"Ada"}"#;

/// Two hosts with the same modules on one database.
async fn two_hosts(guests: &[&str]) -> (TestDatabase, TestHost, TestHost) {
    let database = TestDatabase::new().await;
    let (a, b) = (TestHost::start(&database, guests).await, TestHost::start(&database, guests).await);
    (database, a, b)
}

fn add(n: i64) -> String {
    json!({ "n": n }).to_string()
}

fn amount(amount: u64) -> String {
    json!({ "amount": amount }).to_string()
}

/// The body of a `Note` of the counter.
fn note(text: &str) -> String {
    json!({ "text": text }).to_string()
}

/// How often each note is in the log.
async fn notes(connection: &mut PgConnection) -> HashMap<String, i64> {
    let sql = "SELECT payload->>'text', count(*) FROM everfold.event_store WHERE event_type = 'Noted' GROUP BY 1";
    let rows = connection.fetch_all(sql).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// The committed state of a stream, given as `type/id`.
async fn state(host: &Client, stream: &str) -> Value {
    host.get(&format!("/v1/aggregates/{stream}")).await.ok()["state"].take()
}

/// Everything that the default tenant's log holds.
async fn log(host: &Client) -> Vec<Value> {
    let page = host.get("/v1/events?limit=1000").await.ok();
    assert_eq!(page["next"], page["head"], "one page holds the test's events");
    page["events"].as_array().unwrap().clone()
}

/// A connection of the database's owner.
async fn owner(database: &TestDatabase) -> PgConnection {
    database.options().connect().await.unwrap()
}

/// Waits until a statement that asks for a truth answers so.
async fn until(connection: &mut PgConnection, what: &str, sql: &str) {
    let deadline = Instant::now() + SOON;
    while connection.fetch_one(AssertSqlSafe(sql)).await.unwrap().get::<Option<bool>, _>(0) != Some(true) {
        assert!(Instant::now() < deadline, "{what} didn't happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
