//! The demo's HTTP client: it shows each request as the curl command that does the same, and its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use ureq::Agent;

/// Above this, an answer is shown by its beginning.
const SHOWN_CHARACTERS: usize = 600;

/// One host, seen from outside.
#[derive(Clone)]
pub(super) struct Client {
    agent: Agent,
    base: String,
    interrupted: Arc<AtomicBool>,
}

/// A request about to be sent.
pub(super) struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Value>,
}

/// What the host answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Request {
    pub(super) fn get(path: impl Into<String>) -> Request {
        Request { method: "GET", path: path.into(), headers: Vec::new(), body: None }
    }

    /// A command to an aggregate.
    pub(super) fn command(aggregate_type: &str, id: &str, command: &str, payload: Value) -> Request {
        let path = format!("/v1/aggregates/{aggregate_type}/{id}/commands/{command}");
        Request { method: "POST", path, headers: Vec::new(), body: Some(payload) }
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Request {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The curl command that sends it.
    fn as_curl(&self, base: &str) -> String {
        let mut words = vec!["curl".to_owned()];
        if self.method != "GET" {
            words.push(format!("-X {}", self.method));
        }
        words.push(format!("{base}{}", self.path));
        words.extend(self.headers.iter().map(|(name, value)| format!("-H '{name}: {value}'")));
        if let Some(body) = &self.body {
            words.push("-H 'Content-Type: application/json'".to_owned());
            words.push(format!("-d '{body}'"));
        }
        words.join(" ")
    }
}

impl Client {
    pub(super) fn new(base: &str, interrupted: Arc<AtomicBool>) -> Client {
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(30)));
        Client { agent: config.build().into(), base: base.to_owned(), interrupted }
    }

    /// Sends a request and shows it with its answer.
    pub(super) fn show(&self, request: &Request) -> Result<Answer> {
        println!("$ {}", request.as_curl(&self.base));
        let answer = self.send(request)?;
        println!("{} {}\n", answer.status, shortened(&answer.body.to_string()));
        Ok(answer)
    }

    /// Sends a request.
    pub(super) fn send(&self, request: &Request) -> Result<Answer> {
        if self.interrupted.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        let uri = format!("{}{}", self.base, request.path);
        let mut builder = ureq::http::Request::builder().method(request.method).uri(&uri);
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        let sent = match &request.body {
            Some(body) => {
                let builder = builder.header("Content-Type", "application/json");
                self.agent.run(builder.body(body.to_string())?)
            }
            None => self.agent.run(builder.body(())?),
        };
        let mut response = sent.with_context(|| format!("{} {} got no answer", request.method, request.path))?;
        let text = response.body_mut().read_to_string()?;
        // Health checks answer in plain words.
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status: response.status().as_u16(), body })
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_reads_as_curl() {
        let request = Request::command("account", "a", "Deposit", json!({"amount": 1})).header("Idempotency-Key", "k");
        assert_eq!(
            request.as_curl("http://host"),
            "curl -X POST http://host/v1/aggregates/account/a/commands/Deposit -H 'Idempotency-Key: k' \
             -H 'Content-Type: application/json' -d '{\"amount\":1}'"
        );
        assert_eq!(Request::get("/v1/events").as_curl("http://host"), "curl http://host/v1/events");
    }

    #[test]
    fn a_long_answer_is_shortened_between_characters() {
        let long = "é".repeat(SHOWN_CHARACTERS + 1);
        assert_eq!(shortened(&long).chars().filter(|letter| *letter == 'é').count(), SHOWN_CHARACTERS);
        assert_eq!(shortened("short"), "short");
    }
}
