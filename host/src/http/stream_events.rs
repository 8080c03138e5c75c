//! `/v1/streams/{type}/{id}/events`: a stream's events, read in pages and appended as they are.

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use serde::Deserialize;
use time::{OffsetDateTime, UtcOffset};

use super::body::{Append, AppendEvent, Executed, StreamEvents};
use super::commands::answer;
use super::extract::{Caller, Conditions, Parameters, Payload, Provenance, StreamPath};
use super::problem::{Code, Problem};
use super::query::event_type_name;
use super::{Api, etag, within};
use crate::model::{Json, NO_STREAM};
use crate::pipeline::{RawAppend, RawEvent};

/// The largest schema version that the log can hold.
pub(super) const MAX_SCHEMA_VERSION: u32 = i32::MAX.unsigned_abs();

/// Which events of the stream are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// The first version; 0 where it isn't named.
    #[serde(default)]
    from_version: i64,
    /// The most events.
    limit: Option<i64>,
}

/// Reads a page of the stream.
pub(super) async fn read(
    State(api): State<Api>,
    caller: Caller,
    path: StreamPath,
    uri: Uri,
    Parameters(page): Parameters<Page>,
) -> Result<(HeaderMap, JsonAnswer<StreamEvents>), Problem> {
    if page.from_version < 0 {
        return Err(Problem::invalid("the query string: from_version is 0 or more"));
    }
    let limit = api.options.page(page.limit)?;
    let stream = path.of(caller.tenant);
    let found = within(caller.deadline, api.store.read_stream(&stream, page.from_version, limit)).await?;
    if found.version == NO_STREAM {
        let detail = format!("{stream} has no events: check tenant, type and id");
        return Err(Problem::new(Code::StreamNotFound, detail));
    }
    let next = found.events.last().map(|last| last.version).filter(|last| *last < found.version);
    let answer = StreamEvents {
        next: next.map(|last| format!("{}?from_version={}&limit={limit}", uri.path(), last + 1)),
        version: found.version,
        events: found.events.into_iter().map(Into::into).collect(),
    };
    Ok((etag(answer.version), JsonAnswer(answer)))
}

/// Appends events as they are, all or none.
pub(super) async fn append(
    State(api): State<Api>,
    caller: Caller,
    path: StreamPath,
    conditions: Conditions,
    Provenance(origin): Provenance,
    payload: Payload,
) -> Result<(HeaderMap, JsonAnswer<Executed>), Problem> {
    let append = RawAppend {
        stream: path.of(caller.tenant),
        expected: conditions.precondition.expected,
        idempotency_key: conditions.idempotency_key.clone(),
        origin,
        events: raw_events(payload.read()?)?,
    };
    let executed = api.pipeline.append(append, caller.deadline).await.map_err(|error| conditions.problem(error))?;
    answer(executed)
}

fn raw_events(append: Append) -> Result<Vec<RawEvent>, Problem> {
    if append.events.is_empty() {
        return Err(faulty("/events".to_owned(), "send one event at least"));
    }
    append.events.into_iter().enumerate().map(|(index, event)| raw_event(index, event)).collect()
}

fn raw_event(index: usize, event: AppendEvent) -> Result<RawEvent, Problem> {
    event_type_name(&event.event_type).map_err(|reason| faulty(format!("/events/{index}/event_type"), reason))?;
    if !(1..=MAX_SCHEMA_VERSION).contains(&event.schema_version) {
        let reason = format!("is a number from 1 to {MAX_SCHEMA_VERSION}");
        return Err(faulty(format!("/events/{index}/schema_version"), reason));
    }
    Ok(RawEvent {
        event_id: event.event_id,
        event_type: event.event_type,
        schema_version: event.schema_version,
        payload: checked(index, "payload", &event.payload)?,
        metadata: event.metadata.map(|metadata| checked(index, "metadata", &metadata)).transpose()?,
        occurred_at: event.occurred_at.map(|time| in_utc(index, time)).transpose()?,
    })
}

fn in_utc(index: usize, time: OffsetDateTime) -> Result<OffsetDateTime, Problem> {
    utc(time).map_err(|reason| faulty(format!("/events/{index}/occurred_at"), reason))
}

/// A time that has a form everywhere: near the ends of the calendar an offset leads out of it.
pub(super) fn utc(time: OffsetDateTime) -> Result<OffsetDateTime, &'static str> {
    let utc = time.checked_to_offset(UtcOffset::UTC).filter(|utc| (1..=9999).contains(&utc.year()));
    utc.ok_or("is not in the years 1 to 9999 in UTC")
}

/// A part of a body was read as JSON, but its nesting not looked at.
fn checked(index: usize, name: &str, json: &Json) -> Result<Json, Problem> {
    Json::parse(json.as_str().as_bytes()).map_err(|error| faulty(format!("/events/{index}/{name}"), error))
}

fn faulty(pointer: String, reason: impl std::fmt::Display) -> Problem {
    Problem::invalid(format!("{pointer}: {reason}")).with(|body| body.pointer = Some(pointer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::extract::testing::payload;

    fn refusal(body: &str) -> (String, String) {
        let problem = payload(body).read().and_then(raw_events).expect_err("must be refused");
        assert_eq!(problem.summary(), (400, "invalid"));
        (problem.body().pointer.clone().expect("a pointer"), problem.body().detail.clone())
    }

    #[test]
    fn events_are_read_with_their_defaults_and_payload_bytes() {
        let body = r#"{"events":[{"event_type":"Opened","payload":{"a" : 1.0}},
            {"event_type":"Moved","schema_version":2,"payload":null,"metadata":{"by":"x"},
             "event_id":"01890a5d-ac96-774b-bcce-b302099a8057","occurred_at":"2026-01-02T03:04:05Z"}]}"#;
        let events = payload(body).read().and_then(raw_events).expect("valid");
        assert_eq!(events[0].payload.as_str(), r#"{"a" : 1.0}"#);
        assert_eq!((events[0].schema_version, events[0].event_id), (1, None));
        assert_eq!(events[1].occurred_at.map(time::OffsetDateTime::unix_timestamp), Some(1_767_323_045));
        assert_eq!(events[1].metadata.as_ref().map(Json::as_str), Some(r#"{"by":"x"}"#));
    }

    #[test]
    fn a_faulty_body_is_refused_with_a_pointer_to_the_fault() {
        let cases = [
            (r#"{"events":[]}"#, "/events", "one event"),
            (r#"{"events":[{"event_type":"A","payload":1},{"payload":1}]}"#, "/events/1", "event_type"),
            (r#"{"events":[{"event_type":"","payload":1}]}"#, "/events/0/event_type", "1 to 200"),
            (r#"{"events":[{"event_type":7,"payload":1}]}"#, "/events/0/event_type", "expected a string"),
            (r#"{"events":[{"event_type":"A","payload":1,"schema_version":0}]}"#, "/events/0/schema_version", "from 1"),
            (r#"{"events":[{"event_type":"A","payload":1,"typo":0}]}"#, "/events/0/typo", "unknown field"),
            (r#"{"events":[{"event_type":"A","payload":1,"occurred_at":"now"}]}"#, "/events/0/occurred_at", ""),
            (
                r#"{"events":[{"event_type":"A","payload":1,"occurred_at":"9999-12-31T23:59:59-01:00"}]}"#,
                "/events/0/occurred_at",
                "years 1 to 9999",
            ),
            (
                r#"{"events":[{"event_type":"A","payload":1,"occurred_at":"0000-01-01T00:00:00+01:00"}]}"#,
                "/events/0/occurred_at",
                "years 1 to 9999",
            ),
            (r#"{"events":[{"event_type":"A","payload":{"a":}}]}"#, "/events/0/payload", "line 1 column"),
        ];
        for (body, at, reason) in cases {
            let (pointer, detail) = refusal(body);
            assert!(pointer == at && detail.contains(reason), "{body}: {pointer} {detail}");
        }
        let deep = format!(r#"{{"events":[{{"event_type":"A","payload":{}{}}}]}}"#, "[".repeat(128), "]".repeat(128));
        assert_eq!(refusal(&deep).0, "/events/0/payload");
    }
}
