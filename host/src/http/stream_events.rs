//! `/v1/streams/{type}/{id}/events`: a stream's events, read in pages and appended as they are.

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde::Deserialize;
use time::{OffsetDateTime, UtcOffset};
use utoipa::IntoParams;

use super::body::{Append, AppendEvent, Executed, StreamEvents};
use super::caching::{self, Freshness, KnownTag, Validator};
use super::commands::answer;
use super::description::problems::{APPENDING, READING, UPCASTING, problems};
use super::extract::{Caller, Conditions, Parameters, Payload, Provenance, StreamPath};
use super::limits::MAX_SCHEMA_VERSION;
use super::links::{Link, Links};
use super::problem::{Code, Problem};
use super::query::{event_type_name, event_types};
use super::{Api, upcast, within};
use crate::model::{Direction, Json};
use crate::pipeline::{RawAppend, RawEvent};
use crate::store::{StreamPage, StreamQuery};

problems!(ReadProblems: READING, UPCASTING, &[Code::StreamNotFound]);
problems!(AppendProblems: READING, APPENDING);

/// Which events of the stream are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// `forward`, from old to new, or `backward`.
    #[serde(default)]
    #[param(inline)]
    direction: Direction,
    /// The version to begin with, itself included; the stream's first where it isn't named, backward its last.
    #[param(minimum = 0)]
    from_version: Option<i64>,
    /// The most events.
    limit: Option<i64>,
    /// Only these event types, separated by commas.
    #[param(pattern = r"^[^,\x00-\x1f\x7f-\x9f]{1,200}(?:,[^,\x00-\x1f\x7f-\x9f]{1,200})*$")]
    event_type: Option<String>,
    /// Whether events are shown in the newest form that the active modules know. Filter and limit are about events as
    /// they are stored.
    #[serde(default)]
    upcast: bool,
}

/// Read a stream's events
///
/// A page, in the order of versions or backward, with links to the pages beside it.
#[utoipa::path(
    get,
    path = "/v1/streams/{type}/{id}/events",
    operation_id = "readStream",
    tag = "streams",
    params(StreamPath, Page, Caller, KnownTag),
    responses(
        (
            status = 200,
            description = "A page of the stream.",
            body = StreamEvents,
            headers(
                ("ETag" = String, description = "For `If-None-Match`; for `If-Match` of the next append by its version."),
                ("Link" = String, description = "The links to the pages beside this one."),
            ),
        ),
        (status = 304, description = "The caller has this page already.", headers(("ETag" = String))),
        ReadProblems,
    ),
)]
pub(super) async fn read(
    State(api): State<Api>,
    caller: Caller,
    path: StreamPath,
    uri: Uri,
    headers: HeaderMap,
    Parameters(page): Parameters<Page>,
) -> Result<Response, Problem> {
    if page.from_version.is_some_and(|version| version < 0) {
        return Err(Problem::invalid("the query string: from_version is 0 or more"));
    }
    let query = StreamQuery {
        stream: path.of(caller.tenant),
        direction: page.direction,
        from_version: page.from_version,
        limit: api.options.page(page.limit)?,
        event_types: event_types(page.event_type.as_deref())?,
    };
    let found = within(caller.deadline, api.store.read_stream(&query)).await?;
    let Some(head) = found.head else {
        let detail = format!("{} has no events: check tenant, type and id", query.stream);
        return Err(Problem::new(Code::StreamNotFound, detail));
    };
    let freshness = if page.is_fixed(&found) { Freshness::Fixed } else { Freshness::AskAgain };
    let links = page.links(uri.path(), &query, &found);
    let shown = upcast::show(&api.pipeline, found.events, page.upcast, caller.deadline).await?;
    let (tenant, limit) = (query.stream.tenant.as_str().as_bytes(), query.limit.to_be_bytes());
    let parts = [tenant, head.event_id.as_bytes(), &limit, shown.modules.as_bytes()];
    let validator = Validator::new(head.version, &parts);
    let body = StreamEvents { events: shown.events, version: head.version, links };
    Ok(caching::answer(&headers, &validator, freshness, body.links.header(), &body))
}

impl Page {
    /// Whether the same request will be answered with the same events for good: a full page, before the stream's last
    /// event, of stored events, whose bounds the request names itself.
    fn is_fixed(&self, found: &StreamPage) -> bool {
        let (Some(from), Some(limit)) = (self.from_version, self.limit) else { return false };
        let is_full = i64::try_from(found.events.len()).is_ok_and(|count| count >= limit);
        let last = found.events.iter().map(|event| event.version).max();
        is_full && !self.upcast && last.is_some_and(|last| last.max(from) < found.version())
    }

    /// The pages beside this one.
    fn links(&self, path: &str, query: &StreamQuery, found: &StreamPage) -> Links {
        let version = found.version();
        let prev = match (query.direction, query.from_version) {
            (_, None) => None,
            (Direction::Forward, Some(from)) => (from > 0).then(|| (Direction::Backward, from.min(version + 1) - 1)),
            (Direction::Backward, Some(from)) => (from < version).then(|| (Direction::Forward, from + 1)),
        };
        Links {
            next: found.next.map(|next| self.link(path, query.limit, query.direction, next)),
            prev: prev.map(|(direction, from)| self.link(path, query.limit, direction, from)),
        }
    }

    fn link(&self, path: &str, limit: i64, direction: Direction, from_version: i64) -> String {
        Link::to(path)
            .maybe("direction", (direction == Direction::Backward).then_some("backward"))
            .with("from_version", from_version)
            .with("limit", limit)
            .maybe("event_type", self.event_type.as_ref())
            .maybe("upcast", self.upcast.then_some(true))
            .finish()
    }
}

/// Append events to a stream
///
/// Appends them as they are, all or none, without a module's decision. Where an active module has the aggregate type,
/// it must know the events.
#[utoipa::path(
    post,
    path = "/v1/streams/{type}/{id}/events",
    operation_id = "appendEvents",
    tag = "streams",
    params(StreamPath, Caller, Conditions, Provenance),
    request_body(content = Append, description = "The events, in order."),
    responses(
        (
            status = 200,
            description = "The events are committed.",
            body = Executed,
            headers(("ETag" = String, description = "The stream's version, for `If-Match` of the next append.")),
        ),
        AppendProblems,
    ),
)]
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
            {"event_type":"Moved","schema_version":2.0,"payload":null,"metadata":{"by":"x"},
             "event_id":"01890a5d-ac96-774b-bcce-b302099a8057","occurred_at":"2026-01-02T03:04:05Z"}]}"#;
        let events = payload(body).read().and_then(raw_events).expect("valid");
        assert_eq!(events[0].payload.as_str(), r#"{"a" : 1.0}"#);
        assert_eq!((events[0].schema_version, events[0].event_id), (1, None));
        assert_eq!(events[1].schema_version, 2);
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
            (r#"{"events":[{"event_type":"A","payload":1,"schema_version":1.5}]}"#, "/events/0/schema_version", "1.5"),
            (
                r#"{"events":[{"event_type":"A","payload":1,"schema_version":"1"}]}"#,
                "/events/0/schema_version",
                "string",
            ),
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
