//! Reads over HTTP in depth: pages in every direction, what may be cached, newest forms, snapshots, event types, time
//! travel.

mod caching;
mod event_types;
mod paging;
mod snapshots;
mod time_travel;
mod upcast;

use serde_json::{Value, json};

use crate::support::host::Client;

/// Appends raw events of these types to a stream, given as `type/id`; each has its number as payload.
async fn append(host: &Client, stream: &str, types: &[&str]) {
    let event = |(n, event_type): (usize, &&str)| json!({ "event_type": event_type, "payload": n });
    let events: Vec<_> = types.iter().enumerate().map(event).collect();
    host.append(stream, &json!({ "events": events }).to_string(), &[]).await.ok();
}

/// The numbers that the events of a page, or of lines, have under this name.
fn numbers<'a>(events: impl IntoIterator<Item = &'a Value>, name: &str) -> Vec<i64> {
    events.into_iter().map(|event| event[name].as_i64().unwrap()).collect()
}

fn events(page: &Value) -> &Vec<Value> {
    page["events"].as_array().unwrap()
}
