//! Holds the whole log, as HTTP tells it, against the model of it: events, streams, states of now and then, snapshots,
//! and what a tenant without events is told.

use reqwest::Method;
use serde_json::{Value, json};

use super::counter::Counter;
use super::log_model::{Event, FOLDED, LogModel, Metadata, Stream};
use super::steps::{STREAMS, TENANTS, prefix, stream};
use crate::support::host::{Answer, Client};

/// States of the past that are read of each stream.
const LOOKS_BACK: usize = 5;

/// The log's head, as a cursor.
pub(super) async fn head(host: &Client) -> String {
    host.get("/v1/events?limit=1").await.ok()["head"].as_str().unwrap().to_owned()
}

/// The position of a cursor.
pub(super) fn position(cursor: &str) -> i64 {
    cursor.split_once('-').unwrap().1.parse().unwrap()
}

/// All that this host tells of the case is what the model says.
pub(super) async fn check(host: &Client, case: u32, start: &str, model: &LogModel, second: bool) {
    let of_case = OfCase { host, case, model };
    for (number, tenant) in TENANTS.into_iter().enumerate() {
        of_case.log(tenant, start).await;
        of_case.list(tenant).await;
        for place in (0..).take(STREAMS.len()) {
            let stream = stream(case, number, place);
            of_case.stream(&stream).await;
            if stream.aggregate_type == FOLDED && !model.events(&stream).is_empty() {
                of_case.states(&stream, second).await;
                of_case.snapshots(&stream).await;
            }
        }
    }
    of_case.stranger(start).await;
}

struct OfCase<'a> {
    host: &'a Client,
    case: u32,
    model: &'a LogModel,
}

impl OfCase<'_> {
    async fn get(&self, tenant: &str, path: &str) -> Answer {
        self.host.send(Method::GET, path, &[("everfold-tenant", tenant)], "").await
    }

    /// The tenant's part of the log.
    async fn log(&self, tenant: &str, start: &str) {
        let page = self.get(tenant, &format!("/v1/events?limit=1000&after={start}")).await.ok();
        let told = page["events"].as_array().unwrap();
        assert_eq!(page["next"], page["head"], "one page holds the case's events");
        assert_eq!(position(page["head"].as_str().unwrap()), self.model.head, "nobody else writes");
        let of_tenant = self.model.streams.iter().filter(|(stream, _)| stream.tenant == tenant);
        let mut expected: Vec<(&Stream, i64, &Event)> = of_tenant
            .flat_map(|(stream, events)| (0..).zip(events).map(move |(version, event)| (stream, version, event)))
            .collect();
        expected.sort_by_key(|(_, _, event)| event.position);
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (told, (stream, version, event)) in told.iter().zip(expected) {
            check_event(told, stream, version, event);
        }
    }

    /// The tenant's list of streams.
    async fn list(&self, tenant: &str) {
        let page = self.get(tenant, &format!("/v1/streams?prefix={}", prefix(self.case))).await.ok();
        let told = page["streams"].as_array().unwrap().iter();
        let told: Vec<_> = told
            .map(|told| json!([told["aggregate_type"], told["stream_id"], told["version"], told["position"]]))
            .collect();
        let of_tenant =
            self.model.streams.iter().filter(|(stream, events)| stream.tenant == tenant && !events.is_empty());
        let expected: Vec<_> = of_tenant
            .map(|(stream, events)| {
                json!([stream.aggregate_type, stream.id, events.len() - 1, events.last().unwrap().position])
            })
            .collect();
        assert_eq!(told, expected);
    }

    /// A stream by itself.
    async fn stream(&self, stream: &Stream) {
        let events = self.model.events(stream);
        let answer = self.get(stream.tenant, &format!("/v1/streams/{}/events?limit=1000", stream.path())).await;
        if events.is_empty() {
            answer.problem(404, "stream-not-found");
            return;
        }
        let page = answer.ok();
        assert_eq!(page["version"], events.len() - 1);
        let told = page["events"].as_array().unwrap();
        assert_eq!(told.len(), events.len());
        for ((version, event), told) in (0..).zip(events).zip(told) {
            check_event(told, stream, version, event);
        }
    }

    /// The state of now, and some of the past.
    async fn states(&self, stream: &Stream, second: bool) {
        let events = self.model.events(stream);
        let expect = |told: &Value, version: usize| {
            assert_eq!(told["version"], version);
            assert_eq!(told["state"], Counter::of(&events[..=version]).state(second), "{stream:?} at {version}");
        };
        let path = format!("/v1/aggregates/{}", stream.path());
        expect(&self.get(stream.tenant, &path).await.ok(), events.len() - 1);
        let step = events.len().div_ceil(LOOKS_BACK);
        for version in (0..events.len()).rev().step_by(step) {
            expect(&self.get(stream.tenant, &format!("{path}?at_version={version}")).await.ok(), version);
        }
        let beyond = format!("{path}?at_version={}", events.len());
        assert_eq!(self.get(stream.tenant, &beyond).await.problem(404, "not-found")["actual"], events.len() - 1);
    }

    /// What is kept of states is what the events fold to.
    async fn snapshots(&self, stream: &Stream) {
        let told = self.get(stream.tenant, &format!("/v1/snapshots/{}", stream.path())).await.ok();
        for snapshot in told["snapshots"].as_array().unwrap() {
            let version = usize::try_from(snapshot["version"].as_u64().unwrap()).unwrap();
            let folded = Counter::of(&self.model.events(stream)[..=version]);
            assert_eq!(snapshot["state"], folded.state(snapshot["state_version"] == 2), "{stream:?}: {snapshot}");
        }
    }

    /// A tenant that wrote nothing sees nothing of all this.
    async fn stranger(&self, start: &str) {
        let stranger = "stranger";
        let page = self.get(stranger, &format!("/v1/events?limit=1000&after={start}")).await.ok();
        assert_eq!((&page["events"], &page["next"]), (&json!([]), &page["head"]));
        assert_eq!(self.get(stranger, "/v1/streams").await.ok()["streams"], json!([]));
        for place in (0..).take(STREAMS.len()) {
            let stream = stream(self.case, 0, place);
            let path = stream.path();
            self.get(stranger, &format!("/v1/streams/{path}/events")).await.problem(404, "stream-not-found");
            if stream.aggregate_type == FOLDED {
                self.get(stranger, &format!("/v1/aggregates/{path}")).await.problem(404, "stream-not-found");
                self.get(stranger, &format!("/v1/snapshots/{path}")).await.problem(404, "stream-not-found");
            }
        }
    }
}

fn check_event(told: &Value, stream: &Stream, version: i64, event: &Event) {
    let found = json!([
        told["tenant"],
        told["aggregate_type"],
        told["stream_id"],
        told["version"],
        told["position"],
        told["event_id"],
        told["event_type"],
        told["schema_version"],
        told["payload"],
        told["module_digest"].is_string(),
    ]);
    let expected = json!([
        stream.tenant,
        stream.aggregate_type,
        stream.id,
        version,
        event.position,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.payload,
        event.decided,
    ]);
    assert_eq!(found, expected);
    match &event.metadata {
        Metadata::Exact(metadata) => assert_eq!(told["metadata"], *metadata, "{told}"),
        Metadata::Actor(actor) => {
            assert_eq!(told["metadata"]["actor"], json!(actor), "{told}");
            assert!(told["metadata"]["command_id"].is_string(), "{told}");
        }
    }
}
