//! Operations as requests, and what is heard of them as answers.

use std::error::Error as _;
use std::time::Duration;

use anyhow::Result;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::history::{Answer, Attempt, Call, Expected, Operation, Place};

/// How much longer than the host a client waits, before it counts the answer as lost.
const GRACE: Duration = Duration::from_millis(1500);

/// Problem codes that say that nothing was executed, and that a host may answer while it is under torture. Which of them
/// only a bad module excuses is checked afterwards.
const NOT_EXECUTED: [&str; 10] = [
    "deadline",
    "overloaded",
    "database-unavailable",
    "not-ready",
    "module-trapped",
    "module-quarantined",
    "module-deadline",
    "unfoldable-event",
    // A host that starts while its modules directory has no module.
    "unknown-aggregate",
    // A module that can't fold any event can't fold those that it decides.
    "module-answer-invalid",
];

/// A client's way to all hosts.
#[derive(Clone)]
pub(crate) struct Http {
    client: reqwest::Client,
    /// Where the hosts are.
    urls: Vec<String>,
    clock: Clock,
}

impl Http {
    /// Clients of these hosts, with connections of their own.
    pub(crate) fn new(urls: Vec<String>, clock: Clock) -> Result<Self> {
        Ok(Self { client: client()?, urls, clock })
    }

    /// How many hosts there are.
    pub(crate) fn hosts(&self) -> usize {
        self.urls.len()
    }

    /// The URL of a path at a host.
    pub(crate) fn url(&self, host: usize, path: &str) -> String {
        format!("{}{path}", self.urls[host])
    }

    /// The client itself.
    pub(crate) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// The time.
    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// Sends an operation to a host once.
    pub(crate) async fn attempt(&self, operation: &Operation, host: usize, patience: Duration) -> Attempt {
        let sent = self.clock.now();
        let request = self.request(operation, host).timeout(patience + GRACE);
        let request = request.header("Everfold-Timeout", patience.as_millis().to_string());
        let answer = match request.send().await {
            Ok(response) => heard(operation, response).await,
            Err(error) => not_heard(&error),
        };
        Attempt { host, sent, done: self.clock.now(), answer }
    }

    fn request(&self, operation: &Operation, host: usize) -> RequestBuilder {
        let Operation { stream, call, .. } = operation;
        let id = &stream.id;
        let command =
            |name: &str| self.client.post(self.url(host, &format!("/v1/aggregates/vault/{id}/commands/{name}")));
        let request = match call {
            Call::Move { .. } | Call::Touch | Call::Trap => {
                let (name, payload) = command_of(operation);
                command(name).json(&payload)
            }
            Call::Append { amounts } => {
                let url = self.url(host, &format!("/v1/streams/vault/{id}/events"));
                self.client.post(url).json(&json!({ "events": raw_events(operation, amounts) }))
            }
            Call::Read { stale } => {
                let query = if *stale { "?stale=ok" } else { "" };
                self.client.get(self.url(host, &format!("/v1/aggregates/vault/{id}{query}")))
            }
        };
        let request = request.header("Everfold-Tenant", &stream.tenant);
        let request = match expected(operation.expected) {
            Some(demand) => request.header("Expected-Version", demand),
            None => request,
        };
        match &operation.key {
            Some(key) => request.header("Idempotency-Key", key),
            None => request,
        }
    }
}

/// A client that gives up a connection nobody answers on.
fn client() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(2))
        .pool_idle_timeout(Duration::from_secs(20))
        .build()?)
}

/// The command's name and payload, of an operation that is one.
pub(super) fn command_of(operation: &Operation) -> (&'static str, Value) {
    let token = operation.token();
    match &operation.call {
        Call::Move { amounts } => ("Move", json!({ "token": token, "amounts": amounts })),
        Call::Trap => ("Trap", json!({ "token": token })),
        Call::Touch | Call::Append { .. } | Call::Read { .. } => ("Touch", json!({ "token": token })),
    }
}

/// How a demand is written; `None` where there is none.
pub(super) fn expected(expected: Expected) -> Option<String> {
    match expected {
        Expected::Any => None,
        Expected::NoStream => Some("no-stream".to_owned()),
        Expected::Exists => Some("exists".to_owned()),
        Expected::Exact(version) => Some(version.to_string()),
    }
}

fn raw_events(operation: &Operation, amounts: &[i64]) -> Vec<Value> {
    let token = operation.token();
    let event = |(nth, amount): (usize, &i64)| json!({ "event_type": "Moved", "payload": { "token": token, "amount": amount, "nth": nth } });
    amounts.iter().enumerate().map(event).collect()
}

fn not_heard(error: &reqwest::Error) -> Answer {
    if error.is_connect() {
        return Answer::NotExecuted { code: "not-sent".to_owned() };
    }
    Answer::Unknown { why: causes(error) }
}

/// What an error says, and what it says that it comes from.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let mut said = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        said.push(error.to_string());
        cause = error.source();
    }
    said.join(": ")
}

async fn heard(operation: &Operation, response: Response) -> Answer {
    let status = response.status().as_u16();
    match response.bytes().await {
        Err(error) => Answer::Unknown { why: format!("{status}, then {}", causes(&error)) },
        Ok(body) => match serde_json::from_slice(&body) {
            Ok(body) => answer(operation, status, &body),
            Err(_) => Answer::Wrong { what: format!("{status} {}", String::from_utf8_lossy(&body)) },
        },
    }
}

/// What a status and a body say. The body is that of the request alone, or of its line.
pub(super) fn answer(operation: &Operation, status: u16, body: &Value) -> Answer {
    let is_read = matches!(operation.call, Call::Read { .. });
    let read = match (status, is_read) {
        (200, true) => state(operation, body),
        (200, false) => executed(body),
        _ => problem(status, body),
    };
    read.unwrap_or_else(|| Answer::Wrong { what: format!("{status} {body}") })
}

fn executed(body: &Value) -> Option<Answer> {
    let place = |event: &Value| {
        Some(Place {
            event_id: event["event_id"].as_str()?.parse().ok()?,
            version: event["version"].as_i64()?,
            position: event["position"].as_i64()?,
        })
    };
    let events = body["events"].as_array()?.iter().map(place).collect::<Option<Vec<_>>>()?;
    let is_last = body["position"].as_i64() == events.last().map(|last| last.position);
    is_last.then_some(())?;
    Some(Answer::Executed { version: body["version"].as_i64()?, events, replayed: body["replayed"].as_bool()? })
}

fn state(operation: &Operation, body: &Value) -> Option<Answer> {
    (body["stream_id"].as_str()? == operation.stream.id).then_some(())?;
    let state = serde_json::from_value(body["state"].clone()).ok()?;
    Some(Answer::State { version: body["version"].as_i64()?, state })
}

fn problem(status: u16, body: &Value) -> Option<Answer> {
    let code = body["code"].as_str()?;
    (body["status"].as_u64()? == u64::from(status)).then_some(())?;
    Some(match code {
        "rejected" => Answer::Rejected {
            code: body["rejection"]["code"].as_str()?.to_owned(),
            balance: body["rejection"]["details"]["balance"].as_i64()?,
            replayed: body["replayed"].as_bool()?,
        },
        "stream-not-found" => Answer::Absent,
        "version-conflict" => Answer::Conflict { actual: body["actual"].as_i64()? },
        "outcome-unknown" => Answer::Unknown { why: code.to_owned() },
        code if NOT_EXECUTED.contains(&code) => Answer::NotExecuted { code: code.to_owned() },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Stream;

    fn operation(call: Call) -> Operation {
        let stream = Stream { tenant: "t".into(), id: "s".into() };
        Operation { id: 1, client: 0, stream, call, expected: Expected::Any, key: None, attempts: Vec::new() }
    }

    #[test]
    fn answers_are_what_they_say() {
        let touch = operation(Call::Touch);
        let conflict = json!({ "code": "version-conflict", "status": 409, "actual": 3 });
        assert_eq!(answer(&touch, 409, &conflict), Answer::Conflict { actual: 3 });
        let overloaded = json!({ "code": "overloaded", "status": 429 });
        assert_eq!(answer(&touch, 429, &overloaded), Answer::NotExecuted { code: "overloaded".into() });
        let executed = json!({ "version": 4, "position": null, "events": [], "replayed": false });
        assert_eq!(answer(&touch, 200, &executed), Answer::Executed { version: 4, events: vec![], replayed: false });
    }

    #[test]
    fn what_a_host_must_not_say_is_wrong() {
        let touch = operation(Call::Touch);
        for (status, body) in [
            (500, json!({ "code": "internal", "status": 500 })),
            (503, json!({ "code": "overloaded", "status": 429 })),
            (200, json!({ "version": 4, "position": 9, "events": [], "replayed": false })),
            (409, json!({ "code": "version-conflict", "status": 409 })),
        ] {
            assert!(matches!(answer(&touch, status, &body), Answer::Wrong { .. }), "{body}");
        }
    }
}
