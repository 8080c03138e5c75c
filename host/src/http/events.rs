//! `GET /v1/events`: the tenant's whole log by position, in JSON pages or as one stream of lines.

use axum::Json as JsonAnswer;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use tokio::time::Instant;

use super::body::{LogEvent, LogEvents};
use super::extract::{Caller, Parameters};
use super::headers::wants_ndjson;
use super::ndjson::write_line;
use super::problem::Problem;
use super::query;
use super::{Api, within};
use crate::model::Cursor;
use crate::store::{LogPage, LogQuery, StoreError};

/// Events that a stream of lines reads at once: enough that the round trip hardly counts, and what one slow client
/// makes the host hold.
const LINES_PER_PAGE: i64 = 200;

/// Which events are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Those behind this cursor.
    after: Option<String>,
    /// Those committed at this time or later (RFC 3339).
    from_time: Option<String>,
    /// The most events: of a page, or of the whole stream of lines.
    limit: Option<i64>,
    /// Only these event types, separated by commas.
    event_type: Option<String>,
    /// Only these aggregate types, separated by commas.
    aggregate_type: Option<String>,
}

/// Reads the log: a page, or all there is as lines where the caller accepts `application/x-ndjson`.
pub(super) async fn read(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Parameters(which): Parameters<Which>,
) -> Result<Response, Problem> {
    let lines = wants_ndjson(&headers);
    let total = which.limit;
    let query = LogQuery {
        tenant: caller.tenant,
        after: start(&api, &which, caller.deadline).await?,
        limit: if lines { LINES_PER_PAGE } else { api.options.page(which.limit)? },
        event_types: query::event_types(which.event_type.as_deref())?,
        aggregate_types: query::aggregate_types(which.aggregate_type.as_deref())?,
    };
    if lines {
        return read_lines(&api, query, total, caller.deadline).await;
    }
    let page = within(caller.deadline, api.store.read_log(&query)).await?;
    let (next, head) = (page.next.to_string(), page.head.to_string());
    Ok(JsonAnswer(LogEvents { events: log_events(page).collect(), next, head }).into_response())
}

/// The cursor to begin behind.
async fn start(api: &Api, which: &Which, deadline: Instant) -> Result<Option<Cursor>, Problem> {
    match (&which.after, &which.from_time) {
        (Some(_), Some(_)) => Err(Problem::invalid("the query string: send after or from_time, not both")),
        (Some(after), None) => after.parse().map(Some).map_err(|error| Problem::invalid(format!("after: {error}"))),
        (None, Some(time)) => Ok(Some(within(deadline, api.store.position_before(query::time(time)?)).await?)),
        (None, None) => Ok(None),
    }
}

/// The log up to its head, one event a line. Pages are read as the client takes them, so memory stays bounded; what
/// fails before the first is a problem document, what fails later breaks the body off.
async fn read_lines(api: &Api, query: LogQuery, total: Option<i64>, deadline: Instant) -> Result<Response, Problem> {
    if total.is_some_and(|total| total < 1) {
        return Err(Problem::invalid("the query string: limit is 1 or more"));
    }
    let mut pages = api.store.log_pages(query).boxed();
    let first = match tokio::time::timeout_at(deadline, pages.next()).await {
        Err(_) => return Err(Problem::deadline()),
        Ok(None) => None,
        Ok(Some(page)) => Some(Ok(page?)),
    };
    let lines = lines(stream::iter(first).chain(pages), total);
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

/// The pages as lines, up to `total` events.
fn lines(
    pages: impl Stream<Item = Result<LogPage, StoreError>> + Send,
    total: Option<i64>,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send {
    let left = total.map_or(usize::MAX, |total| usize::try_from(total).unwrap_or(usize::MAX));
    pages.scan(left, |left, page| {
        if *left == 0 {
            return std::future::ready(None);
        }
        let chunk = page.map_err(broken_off).and_then(|mut page| {
            page.events.truncate(*left);
            *left -= page.events.len();
            encode(page)
        });
        std::future::ready(Some(chunk))
    })
}

/// The status is long sent: the client sees a body without its end, the host's log says why.
fn broken_off(error: StoreError) -> std::io::Error {
    tracing::warn!(%error, "a stream of events is broken off");
    std::io::Error::other(error)
}

fn encode(page: LogPage) -> Result<Bytes, std::io::Error> {
    let mut chunk = Vec::new();
    for event in log_events(page) {
        write_line(&mut chunk, &event)?;
    }
    Ok(chunk.into())
}

fn log_events(page: LogPage) -> impl Iterator<Item = LogEvent> {
    let epoch = page.next.epoch;
    page.events.into_iter().map(move |event| LogEvent::of(epoch, event))
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::*;
    use crate::model::{AggregateType, Json, RecordedEvent, StreamId, StreamKey, Tenant};

    fn page(positions: std::ops::Range<i64>) -> LogPage {
        let cursor = |position| Cursor { epoch: 7, position };
        let stream = StreamKey {
            tenant: Tenant::default_tenant(),
            aggregate_type: AggregateType::new("account").expect("valid"),
            stream_id: StreamId::new("a/1").expect("valid"),
        };
        let event = |position| RecordedEvent {
            position,
            stream: stream.clone(),
            version: position - 1,
            event_id: Uuid::nil(),
            event_type: "Deposited".into(),
            schema_version: 1,
            payload: Json::parse(br#"{"b":1.0, "a" : "\u0041"}"#).expect("valid"),
            metadata: Json::parse(b"{}").expect("valid"),
            occurred_at: OffsetDateTime::UNIX_EPOCH,
            created_at: OffsetDateTime::UNIX_EPOCH,
            module_digest: None,
        };
        let (next, head) = (cursor(positions.end - 1), cursor(99));
        LogPage { events: positions.map(event).collect(), next, head }
    }

    async fn text(pages: Vec<Result<LogPage, StoreError>>, total: Option<i64>) -> Vec<Result<String, std::io::Error>> {
        let chunks = lines(stream::iter(pages), total).collect::<Vec<_>>().await;
        chunks.into_iter().map(|chunk| Ok(String::from_utf8(chunk?.into()).expect("UTF-8"))).collect()
    }

    #[tokio::test]
    async fn a_line_is_an_event_with_its_cursor_and_its_payloads_bytes() {
        let lines = text(vec![Ok(page(4..5))], None).await;
        assert_eq!(
            lines[0].as_ref().expect("a chunk"),
            concat!(
                r#"{"cursor":"7-4","position":4,"tenant":"default","aggregate_type":"account","stream_id":"a/1","version":3,"#,
                r#""event_id":"00000000-0000-0000-0000-000000000000","event_type":"Deposited","schema_version":1,"#,
                r#""occurred_at":"1970-01-01T00:00:00Z","created_at":"1970-01-01T00:00:00Z","module_digest":null,"#,
                r#""payload":{"b":1.0, "a" : "\u0041"},"metadata":{}}"#,
                "\n",
            )
        );
    }

    #[tokio::test]
    async fn a_limit_counts_events_across_pages() {
        let count = |lines: Vec<Result<String, _>>| {
            lines
                .into_iter()
                .map(|chunk: Result<String, std::io::Error>| chunk.expect("a chunk").lines().count())
                .sum::<usize>()
        };
        let pages = || vec![Ok(page(1..4)), Ok(page(4..4)), Ok(page(4..7))];
        assert_eq!(count(text(pages(), Some(5)).await), 5);
        assert_eq!(count(text(pages(), Some(3)).await), 3);
        assert_eq!(count(text(pages(), None).await), 6);
    }

    #[tokio::test]
    async fn a_failure_between_pages_breaks_the_body_off() {
        let chunks = text(vec![Ok(page(1..4)), Err(StoreError::Corrupt("x".into()))], None).await;
        assert!(matches!(&chunks[..], [Ok(_), Err(_)]));
    }
}
