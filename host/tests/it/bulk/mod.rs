//! Bodies of many lines: commands and history in bulk, and the command line's verbs that use them.

mod cli;
mod commands;
mod connections;
mod history;
mod imports;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions, Executor, Row};
use uuid::Uuid;

use crate::support::host::Client;
use crate::support::postgres::TestDatabase;

/// Keeps every writer waiting until the end of the transaction.
const HOLD_THE_LOG: &str = "BEGIN; SELECT FROM everfold.log_head FOR UPDATE";

/// Sends lines, and answers those that came back: the last one is told apart.
async fn post_lines(host: &Client, path: &str, lines: &[String]) -> (Vec<Value>, Value) {
    let answer = host.send(Method::POST, path, &[], &lines.join("\n")).await;
    assert_eq!((answer.status, answer.content_type.as_str()), (200, "application/x-ndjson"), "{}", answer.text);
    told(&answer.text)
}

/// The lines of an answer, and the last one.
fn told(text: &str) -> (Vec<Value>, Value) {
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.pop().unwrap();
    assert!(last["end"].is_string(), "{last}");
    (lines, last)
}

/// A line with a command to a stream, given as `type/id`.
fn command(stream: &str, name: &str, payload: Value) -> Value {
    let (aggregate_type, stream_id) = stream.split_once('/').unwrap();
    json!({"aggregate_type": aggregate_type, "stream_id": stream_id, "command": name, "payload": payload})
}

/// A line with an event; its id follows from stream and version.
fn event(stream: &str, version: i64, event_type: &str, payload: Value) -> Value {
    let (aggregate_type, stream_id) = stream.split_once('/').unwrap();
    json!({
        "aggregate_type": aggregate_type, "stream_id": stream_id, "version": version,
        "event_id": event_id(stream, version), "event_type": event_type, "payload": payload,
    })
}

fn event_id(stream: &str, version: i64) -> Uuid {
    let hash = stream
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    Uuid::from_u64_pair(hash, version.unsigned_abs())
}

fn texts(lines: &[Value]) -> Vec<String> {
    lines.iter().map(ToString::to_string).collect()
}

fn statuses(lines: &[Value]) -> Vec<i64> {
    lines.iter().map(|line| line["status"].as_i64().unwrap()).collect()
}

/// What the log holds, as `type/id@version`, in the order of positions.
async fn log(database: &TestDatabase) -> Vec<String> {
    let sql = "SELECT aggregate_type || '/' || stream_id || '@' || version FROM everfold.event_store ORDER BY position";
    owner(database).await.fetch_all(sql).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// The same of lines.
fn places(lines: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let place =
        |line: &Value| format!("{}/{}@{}", text(&line["aggregate_type"]), text(&line["stream_id"]), line["version"]);
    lines.iter().map(place).collect()
}

/// A connection of the database's owner.
async fn owner(database: &TestDatabase) -> PgConnection {
    database.options().connect().await.unwrap()
}
