//! Commands in bulk: the lines of one request, each an operation of its own.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::http::{Http, answer, causes, command_of, expected};
use crate::history::{Answer, Attempt, Instant, Operation};

/// How long all lines together may take.
const PATIENCE: Duration = Duration::from_secs(8);

/// Sends operations as the lines of one request, all of one tenant, and writes each one's attempt into it.
pub(super) async fn attempt(http: &Http, operations: &mut [Operation], host: usize) {
    let Some(tenant) = operations.first().map(|first| first.stream.tenant.clone()) else { return };
    let body: String = operations.iter().map(|operation| format!("{}\n", line(operation))).collect();
    let sent = http.clock().now();
    let request = http.client().post(http.url(host, "/v1/commands")).header("Everfold-Tenant", tenant);
    let request = request.header("Content-Type", "application/x-ndjson").header("Everfold-Timeout", "3000");
    let heard = match request.timeout(PATIENCE).body(body).send().await {
        Ok(response) if response.status().is_success() => answers(http, operations, response).await,
        Ok(response) => refused(http, operations, response).await,
        Err(error) if error.is_connect() => all(http, operations, &Answer::NotExecuted { code: "not-sent".to_owned() }),
        Err(error) => all(http, operations, &Answer::Unknown { why: causes(&error) }),
    };
    for (operation, (done, answer)) in operations.iter_mut().zip(heard) {
        operation.attempts.push(Attempt { host, sent, done, answer });
    }
}

fn line(operation: &Operation) -> Value {
    let (command, payload) = command_of(operation);
    let mut line = json!({
        "aggregate_type": "vault", "stream_id": operation.stream.id, "command": command, "payload": payload,
    });
    if let Some(demand) = expected(operation.expected) {
        line["expected_version"] = demand.parse::<i64>().map_or_else(|_| demand.into(), Value::from);
    }
    if let Some(key) = &operation.key {
        line["idempotency_key"] = key.as_str().into();
    }
    line
}

/// The same answer for all, now.
fn all(http: &Http, operations: &[Operation], answer: &Answer) -> Vec<(Instant, Answer)> {
    operations.iter().map(|_| (http.clock().now(), answer.clone())).collect()
}

/// The whole request was refused, before any line was read.
async fn refused(http: &Http, operations: &[Operation], response: reqwest::Response) -> Vec<(Instant, Answer)> {
    let status = response.status().as_u16();
    match response.bytes().await {
        Err(error) => all(http, operations, &Answer::Unknown { why: causes(&error) }),
        Ok(body) => {
            let body = serde_json::from_slice(&body).unwrap_or_default();
            operations.iter().map(|operation| (http.clock().now(), answer(operation, status, &body))).collect()
        }
    }
}

/// The lines as they come. What has no line when they end is unknown, unless the last line says that it wasn't read.
async fn answers(http: &Http, operations: &[Operation], response: reqwest::Response) -> Vec<(Instant, Answer)> {
    let mut heard = Vec::new();
    let mut why = "the answer ended".to_owned();
    let (mut stream, mut buffer) = (response.bytes_stream(), Vec::new());
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => buffer.extend_from_slice(&chunk),
            Err(error) => {
                why = causes(&error);
                break;
            }
        }
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            let now = http.clock().now();
            match (serde_json::from_slice::<Value>(&line), operations.get(heard.len())) {
                (Ok(line), _) if line["end"].is_string() => {
                    let left = match line["end"].as_str() {
                        Some("input") | None => Answer::Wrong { what: format!("all lines were read: {line}") },
                        Some(end) => Answer::NotExecuted { code: format!("end-{end}") },
                    };
                    heard.resize(operations.len(), (now, left));
                }
                (Ok(line), Some(operation)) => heard.push((now, of_line(operation, heard.len(), &line))),
                (line, _) => {
                    let what = format!("a line that is none, or one too many: {line:?}");
                    heard.resize(operations.len(), (now, Answer::Wrong { what }));
                }
            }
        }
    }
    heard.resize(operations.len().max(heard.len()), (http.clock().now(), Answer::Unknown { why }));
    heard
}

fn of_line(operation: &Operation, place: usize, line: &Value) -> Answer {
    let status = line["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or_default();
    let is_its_line = line["line"].as_u64() == u64::try_from(place + 1).ok();
    match (&line["result"], &line["problem"]) {
        (result, Value::Null) if is_its_line => answer(operation, status, result),
        (Value::Null, problem) if is_its_line => answer(operation, status, problem),
        _ => Answer::Wrong { what: line.to_string() },
    }
}
