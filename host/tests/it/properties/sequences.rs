//! Whatever is written, in whatever order, through whichever host and module: every answer is the one that a model of
//! the log gives, and the log is the model's in the end.

use std::cell::Cell;
use std::num::NonZeroUsize;

use everfold::model::ExpectedVersion;
use everfold::pipeline::PipelineOptions;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::comparison;
use super::counter::Counter;
use super::log_model::{Event, FOLDED, LogModel, RawEvent, Reply, Stream, What, Write};
use super::steps::{Draft, Part, Step, TENANTS, sequences, stream};
use super::{Property, Steps};
use crate::support::guests::wasm;
use crate::support::host::{Answer, Client, Setup, TestHost};
use crate::support::postgres::TestDatabase;

/// The file in the modules directory that swaps replace.
const FILE: &str = "counter.wasm";

/// Two hosts on one log. The second has room for one aggregate a shard: it folds anew all the time.
struct World {
    hosts: [TestHost; 2],
    /// Which of them run the second version of the module.
    second: [Cell<bool>; 2],
    _database: TestDatabase,
}

async fn world() -> World {
    let database = TestDatabase::new().await;
    let setup = Setup::new(database.options());
    let crowded = PipelineOptions { residents: NonZeroUsize::MIN, ..setup.pipeline };
    let hosts = [
        TestHost::start(&database, &["counter"]).await,
        TestHost::launch(Setup { pipeline: crowded, ..Setup::new(database.options()) }, &["counter"]).await,
    ];
    World { hosts, second: [false, false].map(Cell::new), _database: database }
}

impl World {
    /// Makes this version of the module serve on a host.
    async fn activate(&self, host: usize, second: bool) {
        if self.second[host].replace(second) != second {
            let module = wasm(if second { "counter-v2" } else { "counter" });
            self.hosts[host].put_module(FILE, &module);
            self.hosts[host].until_active(&module).await;
        }
    }
}

#[test]
fn every_answer_and_the_log_are_those_of_a_model() {
    let property = Property { seeds: "tests/proptest-regressions/sequences.txt", cases: 24 };
    property.holds(world(), sequences(40), async |world, case, steps: Steps<Step>| {
        for host in 0..2 {
            world.activate(host, false).await;
        }
        let start = comparison::head(&world.hosts[0]).await;
        let mut run = Run { world, case, model: LogModel::new(comparison::position(&start)), sent: Vec::new() };
        for step in &steps.0 {
            run.step(step).await;
        }
        for (host, second) in world.hosts.iter().zip(&world.second) {
            comparison::check(host, case, &start, &run.model, second.get()).await;
        }
    });
}

/// A case under way.
struct Run<'a> {
    world: &'a World,
    case: u32,
    model: LogModel,
    /// Writes with a key.
    sent: Vec<Write>,
}

impl Run<'_> {
    async fn step(&mut self, step: &Step) {
        match step {
            Step::Write { host, write, by_precondition } => {
                let write = write.resolve(self.case, &self.model);
                self.send(*host, write, *by_precondition).await;
            }
            Step::Again { host, which } => {
                if let Some(count @ 1..) = Some(self.sent.len()) {
                    let write = self.sent[which % count].clone();
                    self.send(*host, write, false).await;
                }
            }
            Step::Commands { host, tenant, writes } => self.commands(*host, *tenant, writes).await,
            Step::Import { host, tenant, parts } => self.import(*host, *tenant, parts).await,
            Step::Look { host, tenant, stream, stale } => self.look(*host, *tenant, *stream, *stale).await,
            Step::Swap { host } => self.world.activate(*host, !self.world.second[*host].get()).await,
            Step::DropSnapshots { tenant } => {
                let headers = [("everfold-tenant", TENANTS[*tenant])];
                self.world.hosts[0].send(Method::DELETE, "/v1/snapshots", &headers, "").await.ok();
            }
        }
    }

    /// Sends one write by itself.
    async fn send(&mut self, host: usize, write: Write, by_precondition: bool) {
        let reply = self.model.write(&write, self.world.second[host].get());
        let (demand, status) = demand(write.expected, by_precondition);
        let mut headers = vec![("everfold-tenant", write.stream.tenant.to_owned())];
        headers.extend(demand);
        headers.extend(write.actor.map(|actor| ("everfold-actor", actor.to_owned())));
        headers.extend(write.key.clone().map(|key| ("idempotency-key", key)));
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (client, path): (&Client, _) = (&self.world.hosts[host], write.stream.path());
        let answer = match &write.what {
            What::Command(order) => client.command(&path, order.name(), &order.payload().to_string(), &headers).await,
            What::Events(events) => {
                let events: Vec<_> = events.iter().map(raw_event).collect();
                client.append(&path, &json!({ "events": events }).to_string(), &headers).await
            }
        };
        let runs = self.learn(&write, &reply, answer.status, &answer.json(), status);
        self.model.advance(runs);
        if write.key.is_some() {
            self.sent.push(write);
        }
    }

    /// Sends commands as lines. Those of several streams go side by side: their positions are known by the answers.
    async fn commands(&mut self, host: usize, tenant: usize, drafts: &[Draft]) {
        let (mut lines, mut expected) = (Vec::new(), Vec::new());
        for draft in drafts {
            let write = draft.of(tenant).resolve_by_itself(self.case, &self.model);
            let What::Command(order) = write.what else { unreachable!("lines are drawn of commands") };
            let mut line = json!({
                "aggregate_type": write.stream.aggregate_type, "stream_id": write.stream.id, "command": order.name(),
                "payload": order.payload(), "expected_version": expected_version(write.expected), "actor": write.actor,
            });
            line["idempotency_key"] = json!(write.key);
            lines.push(line.to_string());
            expected.push((self.model.write(&write, self.world.second[host].get()), write));
        }
        let answers = self.post_lines(host, "/v1/commands", tenant, &lines).await;
        assert_eq!(answers.len(), lines.len());
        let mut runs = Vec::new();
        for ((reply, write), line) in expected.into_iter().zip(answers) {
            let body = if line["status"] == 200 { &line["result"] } else { &line["problem"] };
            runs.extend(self.learn(&write, &reply, status_of(&line), body, 409));
            self.sent.extend(write.key.is_some().then_some(write));
        }
        self.model.advance(runs);
    }

    /// Sends histories as lines, one line of each stream in turn.
    async fn import(&mut self, host: usize, tenant: usize, parts: &[Part]) {
        let mut of_streams = Vec::new();
        for (place, part) in parts.iter().enumerate() {
            // A stream's history is told once.
            if parts[..place].iter().all(|earlier| earlier.stream != part.stream) {
                of_streams.push(part.resolve(self.case, tenant, &self.model).into_iter());
            }
        }
        let mut lines = Vec::new();
        while of_streams.iter().any(|lines| lines.len() > 0) {
            lines.extend(of_streams.iter_mut().filter_map(Iterator::next));
        }
        let texts: Vec<String> = lines.iter().map(import_line).collect();
        let answers = self.post_lines(host, "/v1/events", tenant, &texts).await;
        assert_eq!(answers.len(), lines.len());
        let (mut diverged, mut run) = (Vec::new(), Vec::new());
        for ((stream, version, event), line) in lines.iter().zip(answers) {
            match self.model.import(stream, *version, event, &mut diverged) {
                Ok(there) => {
                    assert_eq!((status_of(&line), &line["already_there"]), (200, &there.into()), "{stream:?}: {line}");
                    let position = line["position"].as_i64().unwrap();
                    run.extend((!there).then_some(position));
                    let version = usize::try_from(*version).unwrap();
                    let known = &mut self.model.streams.get_mut(stream).unwrap()[version];
                    assert_eq!(*known.position.get_or_insert(position), position, "{line}");
                }
                Err(reply) => check_problem(&reply, status_of(&line), &line["problem"], 409),
            }
        }
        self.model.advance(vec![run]);
    }

    async fn post_lines(&self, host: usize, path: &str, tenant: usize, lines: &[String]) -> Vec<Value> {
        let headers = [("everfold-tenant", TENANTS[tenant])];
        let answer = self.world.hosts[host].send(Method::POST, path, &headers, &lines.join("\n")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let mut answers: Vec<Value> = answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(answers.pop().unwrap()["end"], "input");
        answers
    }

    /// Reads a state in between: the fold of the whole stream, or, where it may be stale, of its begin.
    async fn look(&self, host: usize, tenant: usize, number: u8, stale: bool) {
        let (stream, second) = (stream(self.case, tenant, number), self.world.second[host].get());
        let query = if stale { "?stale=ok" } else { "" };
        let headers = [("everfold-tenant", stream.tenant)];
        let path = format!("/v1/aggregates/{}{query}", stream.path());
        let answer: Answer = self.world.hosts[host].send(Method::GET, &path, &headers, "").await;
        let events = self.model.events(&stream);
        if stream.aggregate_type != FOLDED {
            answer.problem(404, "unknown-aggregate");
        } else if events.is_empty() {
            answer.problem(404, "stream-not-found");
        } else {
            let told = answer.ok();
            let version = told["version"].as_i64().unwrap();
            assert!(
                if stale { version < events.len() as i64 } else { version == self.model.version(&stream) },
                "{told}"
            );
            let folded = Counter::of(&events[..=usize::try_from(version).unwrap()]);
            assert_eq!(told["state"], folded.state(second), "{told}");
        }
    }

    /// Holds an answer against the reply that it must be, and notes what the host made up. Answers new positions.
    fn learn(&mut self, write: &Write, reply: &Reply, status: u16, body: &Value, conflict: u16) -> Vec<Vec<i64>> {
        let Reply::Done { first_version, count, replayed } = *reply else {
            check_problem(reply, status, body, conflict);
            return Vec::new();
        };
        assert_eq!((status, &body["replayed"]), (200, &replayed.into()), "{write:?}: {body}");
        assert_eq!(body["version"], first_version + count as i64 - 1, "{write:?}: {body}");
        let told = body["events"].as_array().unwrap();
        assert_eq!(told.len(), count, "{write:?}: {body}");
        assert_eq!(body["position"], told.last().map_or(Value::Null, |last| last["position"].clone()), "{body}");
        let first = usize::try_from(first_version).unwrap();
        let events = &mut self.model.streams.get_mut(&write.stream).map_or(&mut [][..], |all| &mut all[..])[first..];
        let positions = (first_version..).zip(events).zip(told).map(|((version, event), told)| {
            assert_eq!(told["version"], version, "{body}");
            note(event, told)
        });
        let run: Vec<i64> = positions.collect();
        if replayed || run.is_empty() { Vec::new() } else { vec![run] }
    }
}

/// Notes an event's id and position, which must be those that are known already.
fn note(event: &mut Event, told: &Value) -> i64 {
    let (event_id, position): (Uuid, i64) =
        (told["event_id"].as_str().unwrap().parse().unwrap(), told["position"].as_i64().unwrap());
    assert_eq!(told["event_type"], event.event_type);
    assert_eq!(*event.event_id.get_or_insert(event_id), event_id);
    assert_eq!(*event.position.get_or_insert(position), position);
    position
}

fn check_problem(reply: &Reply, status: u16, body: &Value, conflict: u16) {
    match reply {
        Reply::Rejected { code, message, replayed } => {
            assert_eq!((status, &body["code"]), (422, &"rejected".into()), "not {reply:?}: {body}");
            let rejection = &body["rejection"];
            assert_eq!((&rejection["code"], &rejection["message"]), (&json!(code), &json!(message)), "{body}");
            assert_eq!(body["replayed"] == true, *replayed, "{body}");
        }
        Reply::Conflict { expected, actual } => {
            assert_eq!((status, &body["code"]), (conflict, &"version-conflict".into()), "not {reply:?}: {body}");
            let told = (&body["expected"], &body["actual"]);
            assert_eq!(told, (&expected_version(*expected), &json!(actual)), "{body}");
        }
        Reply::Problem(expected, code) => {
            assert_eq!((status, &body["code"]), (*expected, &json!(code)), "{body}");
        }
        Reply::Done { .. } => panic!("it should have gone well, as {reply:?}: {body}"),
    }
}

/// The header that demands a version, and the status of a conflict then.
fn demand(expected: ExpectedVersion, by_precondition: bool) -> (Option<(&'static str, String)>, u16) {
    match expected {
        ExpectedVersion::Any => (None, 409),
        ExpectedVersion::Exists if by_precondition => (Some(("if-match", "*".to_owned())), 412),
        ExpectedVersion::NoStream if by_precondition => (Some(("if-none-match", "*".to_owned())), 412),
        ExpectedVersion::Exact(version) if by_precondition => (Some(("if-match", format!("\"{version}\""))), 412),
        expected => (Some(("expected-version", expected.to_string())), 409),
    }
}

fn expected_version(expected: ExpectedVersion) -> Value {
    match expected {
        ExpectedVersion::Exact(version) => json!(version),
        word => json!(word.to_string()),
    }
}

fn raw_event(event: &RawEvent) -> Value {
    let mut told = json!({
        "event_type": event.event_type, "schema_version": event.schema_version, "payload": event.payload,
    });
    if let Some(event_id) = event.event_id {
        told["event_id"] = json!(event_id);
    }
    if let Some(metadata) = &event.metadata {
        told["metadata"] = metadata.clone();
    }
    told
}

fn import_line((stream, version, event): &(Stream, i64, RawEvent)) -> String {
    let mut line = raw_event(event);
    line["aggregate_type"] = json!(stream.aggregate_type);
    line["stream_id"] = json!(stream.id);
    line["version"] = json!(version);
    line.to_string()
}

fn status_of(line: &Value) -> u16 {
    line["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap()
}
