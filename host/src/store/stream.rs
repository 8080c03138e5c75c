//! Reading one stream by version, forward and backward.

use std::ops::RangeInclusive;

use super::events::{select_events, take};
use super::{Store, StoreError};
use crate::model::{Base, Direction, EventRef, NO_STREAM, RecordedEvent, StreamKey};

/// Which part of a stream to read.
#[derive(Debug, Clone)]
pub struct StreamQuery {
    /// The stream.
    pub stream: StreamKey,
    /// Which way.
    pub direction: Direction,
    /// The version to begin with, itself included; none begins at the first, or at the last.
    pub from_version: Option<i64>,
    /// Most events in a page; large ones end it earlier.
    pub limit: i64,
    /// Only these event types; empty for all.
    pub event_types: Vec<String>,
}

/// A page of a stream.
#[derive(Debug, Clone)]
pub struct StreamPage {
    /// The events, in the order of reading. May be empty though there is a version to go on with: those that this page
    /// looked at held no event of the query.
    pub events: Vec<RecordedEvent>,
    /// The stream's last event when the page was read; none where it has no events.
    pub head: Base,
    /// The version to go on with, the same way; none where the stream ends there.
    pub next: Option<i64>,
}

impl StreamPage {
    /// The stream's version when the page was read; -1 for none.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.head.map_or(NO_STREAM, |head| head.version)
    }
}

impl StreamQuery {
    /// All of a stream from its first event on, in pages of this size.
    #[must_use]
    pub fn all(stream: StreamKey, limit: i64) -> Self {
        Self { stream, direction: Direction::Forward, from_version: None, limit, event_types: Vec::new() }
    }

    /// The versions that a page looks at: at most so many, however few of their events match.
    fn versions(&self, head: i64, scan_limit: i64) -> RangeInclusive<i64> {
        match self.direction {
            Direction::Forward => {
                let first = self.from_version.unwrap_or(0);
                first..=head.min(first.saturating_add(scan_limit - 1))
            }
            Direction::Backward => {
                let last = head.min(self.from_version.unwrap_or(head));
                0.max(last - scan_limit + 1)..=last
            }
        }
    }

    /// Where to go on after a page that reached this version: none beyond the stream's ends.
    fn next(&self, reached: i64, head: i64) -> Option<i64> {
        match self.direction {
            Direction::Forward => (reached < head).then(|| reached + 1),
            Direction::Backward => (reached > 0).then(|| reached - 1),
        }
    }
}

impl Store {
    /// One page of a stream. It looks at a bounded number of versions, however few events match.
    ///
    /// # Errors
    /// [`StoreError`] where the database can't be asked.
    pub async fn read_stream(&self, query: &StreamQuery) -> Result<StreamPage, StoreError> {
        let Some(head) = self.stream_head(&query.stream).await? else {
            return Ok(StreamPage { events: Vec::new(), head: None, next: None });
        };
        let versions = query.versions(head.version, self.scan_limit);
        let (events, full) = self.events_of(query, &versions).await?;
        let edge = match query.direction {
            Direction::Forward => *versions.end(),
            Direction::Backward => *versions.start(),
        };
        let reached = events.last().filter(|_| full).map_or(edge, |event| event.version);
        Ok(StreamPage { events, head: Some(head), next: query.next(reached, head.version) })
    }

    /// The query's events among these versions, and whether there may be more of them there.
    async fn events_of(
        &self,
        query: &StreamQuery,
        versions: &RangeInclusive<i64>,
    ) -> Result<(Vec<RecordedEvent>, bool), StoreError> {
        let (first, last) = (*versions.start(), *versions.end());
        let (stream, event_types, limit) = (&query.stream, &query.event_types, query.limit);
        let mut session = self.tenant_session(&stream.tenant).await?;
        let rows = match query.direction {
            Direction::Forward => select_events!(
                "WHERE e.tenant_id = $1 AND e.aggregate_type = $2 AND e.stream_id = $3
                   AND e.version >= $4 AND e.version <= $5
                   AND (cardinality($6::text[]) = 0 OR e.event_type = ANY ($6))
                 ORDER BY e.version LIMIT $7",
                stream.tenant.as_str(),
                stream.aggregate_type.as_str(),
                stream.stream_id.as_str(),
                first,
                last,
                event_types,
                limit,
            )
            .fetch(&mut *session),
            Direction::Backward => select_events!(
                "WHERE e.tenant_id = $1 AND e.aggregate_type = $2 AND e.stream_id = $3
                   AND e.version >= $4 AND e.version <= $5
                   AND (cardinality($6::text[]) = 0 OR e.event_type = ANY ($6))
                 ORDER BY e.version DESC LIMIT $7",
                stream.tenant.as_str(),
                stream.aggregate_type.as_str(),
                stream.stream_id.as_str(),
                first,
                last,
                event_types,
                limit,
            )
            .fetch(&mut *session),
        };
        take(rows, limit).await
    }

    /// Names and places of a stream's events from `first_version` on, without their payloads.
    ///
    /// # Errors
    /// [`StoreError`] where the database can't be asked.
    pub async fn event_refs(
        &self,
        stream: &StreamKey,
        first_version: i64,
        count: i64,
    ) -> Result<Vec<EventRef>, StoreError> {
        Ok(sqlx::query_as!(
            EventRef,
            "SELECT event_id, event_type, version, position FROM everfold.event_store
             WHERE tenant_id = $1 AND aggregate_type = $2 AND stream_id = $3 AND version >= $4 AND version < $4 + $5
             ORDER BY version",
            stream.tenant.as_str(),
            stream.aggregate_type.as_str(),
            stream.stream_id.as_str(),
            first_version,
            count,
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
