//! The log as one stream of lines: pages are read as the client takes them, so memory stays bounded.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use tokio::time::Instant;

use super::body::LogEvent;
use super::caching::VARY;
use super::ndjson::{MEDIA_TYPE, write_line};
use super::problem::Problem;
use super::{Api, upcast};
use crate::store::{LogPage, LogQuery, StoreError};

/// Events that a stream of lines reads at once: enough that the round trip hardly counts, and what one slow client
/// makes the host hold.
pub(super) const PER_PAGE: i64 = 200;

/// The log as far as the query leads, one event a line. What fails before the first line is a problem document, what
/// fails later breaks the body off.
pub(super) async fn answer(
    api: &Api,
    query: LogQuery,
    total: Option<i64>,
    upcast: bool,
    deadline: Instant,
) -> Result<Response, Problem> {
    if total.is_some_and(|total| total < 1) {
        return Err(Problem::invalid("the query string: limit is 1 or more"));
    }
    let mut pages = up_to(api.store.log_pages(query), total).boxed();
    let first = match tokio::time::timeout_at(deadline, pages.next()).await {
        Err(_) => return Err(Problem::deadline()),
        Ok(None) => None,
        Ok(Some(page)) => Some(encode(api, page?, upcast, deadline).await?),
    };
    let api = api.clone();
    let rest = pages.then(move |page| {
        let api = api.clone();
        async move {
            // Each page has a time of its own: the whole may take as long as the client reads.
            let deadline = Instant::now() + api.options.default_timeout;
            encode(&api, page?, upcast, deadline).await
        }
    });
    let lines = stream::iter(first.map(Ok)).chain(rest).map(|chunk| chunk.map_err(broken_off));
    let content_type = (header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    Ok(([content_type, VARY], Body::from_stream(lines)).into_response())
}

/// The pages up to `total` events.
fn up_to(
    pages: impl Stream<Item = Result<LogPage, StoreError>> + Send,
    total: Option<i64>,
) -> impl Stream<Item = Result<LogPage, StoreError>> + Send {
    let left = total.map_or(usize::MAX, |total| usize::try_from(total).unwrap_or(usize::MAX));
    pages.scan(left, |left, mut page| {
        if *left == 0 {
            return std::future::ready(None);
        }
        if let Ok(page) = &mut page {
            page.events.truncate(*left);
            *left -= page.events.len();
        }
        std::future::ready(Some(page))
    })
}

async fn encode(api: &Api, page: LogPage, upcast: bool, deadline: Instant) -> Result<Bytes, Problem> {
    let epoch = page.next.epoch;
    let shown = upcast::show(&api.pipeline, page.events, upcast, deadline).await?;
    let events = shown.events.into_iter().map(|event| LogEvent::of(epoch, event));
    lines(events).map_err(|error| Problem::internal(&format!("an event has no JSON form: {error}")))
}

fn lines(events: impl Iterator<Item = LogEvent>) -> Result<Bytes, serde_json::Error> {
    let mut chunk = Vec::new();
    for event in events {
        write_line(&mut chunk, &event)?;
    }
    Ok(chunk.into())
}

/// The status is long sent: the client sees a body without its end, the host's log says why.
fn broken_off(problem: Problem) -> std::io::Error {
    let body = problem.body();
    tracing::warn!(code = body.code, detail = body.detail, "a stream of events is broken off");
    std::io::Error::other(body.code)
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::*;
    use crate::model::{AggregateType, Cursor, Json, RecordedEvent, StreamId, StreamKey, Tenant};

    fn event(position: i64) -> RecordedEvent {
        RecordedEvent {
            position,
            stream: StreamKey {
                tenant: Tenant::default_tenant(),
                aggregate_type: AggregateType::new("account").expect("valid"),
                stream_id: StreamId::new("a/1").expect("valid"),
            },
            version: position - 1,
            event_id: Uuid::nil(),
            event_type: "Deposited".into(),
            schema_version: 1,
            payload: Json::parse(br#"{"b":1.0, "a" : "\u0041"}"#).expect("valid"),
            metadata: Json::parse(b"{}").expect("valid"),
            occurred_at: OffsetDateTime::UNIX_EPOCH,
            created_at: OffsetDateTime::UNIX_EPOCH,
            module_digest: None,
        }
    }

    fn page(positions: std::ops::Range<i64>) -> LogPage {
        let (next, head) = (Cursor { epoch: 7, position: positions.end - 1 }, Cursor { epoch: 7, position: 99 });
        LogPage { events: positions.map(event).collect(), next, more: true, head }
    }

    #[test]
    fn a_line_is_an_event_with_its_cursor_and_its_payloads_bytes() {
        let lines = lines([LogEvent::of(7, event(4).into())].into_iter()).expect("lines");
        assert_eq!(
            std::str::from_utf8(&lines).expect("UTF-8"),
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
        let count = async |total| {
            let pages = [page(1..4), page(4..4), page(4..7)].map(Ok);
            let counts = up_to(stream::iter(pages), total).map(|page| page.expect("a page").events.len());
            counts.collect::<Vec<_>>().await.iter().sum::<usize>()
        };
        assert_eq!([count(Some(5)).await, count(Some(3)).await, count(None).await], [5, 3, 6]);
    }

    #[tokio::test]
    async fn a_failure_between_pages_is_passed_on() {
        let pages = [Ok(page(1..4)), Err(StoreError::Corrupt("x".into()))];
        let read: Vec<_> = up_to(stream::iter(pages), None).collect().await;
        assert!(matches!(&read[..], [Ok(_), Err(StoreError::Corrupt(_))]));
    }
}
