//! The examples' stories, told to their compiled modules in a whole host, over HTTP.

mod job;
mod order;
mod schema_change;

use everfold::model::AggregateDescriptor;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::support::guests::module;
use crate::support::host::{Answer, Client};

/// The committed state of a stream, given as `type/id`.
async fn state(host: &Client, stream: &str) -> Value {
    host.get(&format!("/v1/aggregates/{stream}")).await.ok()["state"].take()
}

/// Each event of a stream as the host sends it, byte for byte.
async fn raw_events(host: &Client, stream: &str) -> Vec<String> {
    #[derive(Deserialize)]
    struct Page {
        events: Vec<Box<RawValue>>,
        links: Links,
    }
    #[derive(Deserialize)]
    struct Links {
        next: Option<String>,
    }
    let (mut path, mut events) = (Some(format!("/v1/streams/{stream}/events?limit=1000")), Vec::new());
    while let Some(next) = path {
        let answer = host.get(&next).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let page: Page = serde_json::from_str(&answer.text).unwrap();
        events.extend(page.events.iter().map(|event| event.get().to_owned()));
        path = page.links.next;
    }
    events
}

/// The types of a stream's events, in order.
async fn event_types(host: &Client, stream: &str) -> Vec<String> {
    let type_of = |event: &String| serde_json::from_str::<Value>(event).unwrap()["event_type"].as_str().unwrap().into();
    raw_events(host, stream).await.iter().map(type_of).collect()
}

/// The rejection in an answer, which must be one.
#[track_caller]
fn rejection(answer: &Answer) -> Value {
    answer.problem(422, "rejected")["rejection"].take()
}

/// What a guest's module says of an aggregate type.
fn descriptor(guest: &str, aggregate_type: &str) -> AggregateDescriptor {
    let module = module(guest);
    let found = module.descriptor().aggregates.iter().find(|it| it.aggregate_type.as_str() == aggregate_type);
    found.unwrap().clone()
}

/// Holds a value against a schema that a module declares.
#[track_caller]
fn assert_valid(schema: Option<&String>, value: &Value) {
    let schema = serde_json::from_str(schema.expect("the module declares a schema")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> = validator.iter_errors(value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}: {value}");
}
