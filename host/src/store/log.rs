//! Reading the log by position, forward and backward, and from a time.

use std::ops::RangeInclusive;

use futures_util::{Stream, stream};
use time::OffsetDateTime;

use super::events::{select_events, take};
use super::{Store, StoreError};
use crate::model::{Cursor, Direction, RecordedEvent, Tenant};

/// Which part of a tenant's log to read.
#[derive(Debug, Clone)]
pub struct LogQuery {
    /// Whose events.
    pub tenant: Tenant,
    /// Which way.
    pub direction: Direction,
    /// Where the reader stands: forward it gets the events after this place, backward those before it. None begins at
    /// the first event, or at the last.
    pub from: Option<Cursor>,
    /// Most events in a page; large ones end it earlier.
    pub limit: i64,
    /// Only these event types; empty for all.
    pub event_types: Vec<String>,
    /// Only these aggregate types; empty for all.
    pub aggregate_types: Vec<String>,
}

/// A page of the log.
#[derive(Debug, Clone)]
pub struct LogPage {
    /// The events, in the order of reading. May be empty though there are more positions: those that this page looked
    /// at held no event of the query.
    pub events: Vec<RecordedEvent>,
    /// Where to go on, the same way.
    pub next: Cursor,
    /// Whether positions were left that way when the page was read.
    pub more: bool,
    /// The log's head when the page was read.
    pub head: Cursor,
}

impl LogQuery {
    /// All of a tenant's log from its first event on, in pages of this size.
    #[must_use]
    pub fn all(tenant: Tenant, limit: i64) -> Self {
        let direction = Direction::Forward;
        Self { tenant, direction, from: None, limit, event_types: Vec::new(), aggregate_types: Vec::new() }
    }

    /// The positions that a page looks at: at most so many, however few of their events match.
    fn positions(&self, head: Cursor, scan_limit: i64) -> Result<RangeInclusive<i64>, StoreError> {
        // Backward, the place behind the head is one too: all positions are before it.
        let (start, farthest) = match self.direction {
            Direction::Forward => (0, head.position),
            Direction::Backward => (head.position + 1, head.position + 1),
        };
        let from = self.from.unwrap_or(Cursor { epoch: head.epoch, position: start });
        if from.epoch != head.epoch || from.position > farthest {
            return Err(StoreError::EpochChanged { asked: from, current: head });
        }
        let place = from.position;
        Ok(match self.direction {
            Direction::Forward => place + 1..=head.position.min(place.saturating_add(scan_limit)),
            Direction::Backward => 1.max(place.saturating_sub(scan_limit))..=place - 1,
        })
    }
}

impl Store {
    /// The log's head.
    ///
    /// # Errors
    /// [`StoreError`] where the database can't be asked.
    pub async fn head(&self) -> Result<Cursor, StoreError> {
        let row = sqlx::query!(
            r#"SELECT epoch, greatest(floor, (SELECT max(position) FROM everfold.event_store)) AS "position!"
               FROM everfold.log_head"#
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(Cursor { epoch: row.epoch, position: row.position })
    }

    /// One page of a tenant's log. It looks at a bounded number of positions, however few events match.
    ///
    /// # Errors
    /// [`StoreError::EpochChanged`] where the cursor isn't of this log.
    pub async fn read_log(&self, query: &LogQuery) -> Result<LogPage, StoreError> {
        let head = self.head().await?;
        let positions = query.positions(head, self.scan_limit)?;
        let (events, full) = self.events_at(query, &positions).await?;
        let last = events.last().filter(|_| full).map(|event| event.position);
        let (position, more) = match query.direction {
            Direction::Forward => {
                let position = last.unwrap_or(*positions.end());
                (position, position < head.position)
            }
            Direction::Backward => {
                let position = last.unwrap_or(*positions.start());
                (position, position > 1)
            }
        };
        Ok(LogPage { events, next: Cursor { epoch: head.epoch, position }, more, head })
    }

    /// The query's events among these positions, and whether there may be more of them there.
    async fn events_at(
        &self,
        query: &LogQuery,
        positions: &RangeInclusive<i64>,
    ) -> Result<(Vec<RecordedEvent>, bool), StoreError> {
        let (first, last) = (*positions.start(), *positions.end());
        let (tenant, limit) = (query.tenant.as_str(), query.limit);
        let (event_types, aggregate_types) = (&query.event_types, &query.aggregate_types);
        let mut session = self.tenant_session(&query.tenant).await?;
        let rows = match query.direction {
            Direction::Forward => select_events!(
                "WHERE e.position >= $1 AND e.position <= $2 AND e.tenant_id = $3
                   AND (cardinality($4::text[]) = 0 OR e.event_type = ANY ($4))
                   AND (cardinality($5::text[]) = 0 OR e.aggregate_type = ANY ($5))
                 ORDER BY e.position LIMIT $6",
                first,
                last,
                tenant,
                event_types,
                aggregate_types,
                limit,
            )
            .fetch(&mut *session),
            Direction::Backward => select_events!(
                "WHERE e.position >= $1 AND e.position <= $2 AND e.tenant_id = $3
                   AND (cardinality($4::text[]) = 0 OR e.event_type = ANY ($4))
                   AND (cardinality($5::text[]) = 0 OR e.aggregate_type = ANY ($5))
                 ORDER BY e.position DESC LIMIT $6",
                first,
                last,
                tenant,
                event_types,
                aggregate_types,
                limit,
            )
            .fetch(&mut *session),
        };
        take(rows, limit).await
    }

    /// The pages of a tenant's log one after the other: forward up to the head that the first of them finds, so that a
    /// reader slower than the writers comes to an end too; backward down to the first event. Only one page is in
    /// memory at a time. After an error there are no more.
    pub fn log_pages(&self, query: LogQuery) -> impl Stream<Item = Result<LogPage, StoreError>> + Send + use<> {
        stream::unfold((self.clone(), Some((query, i64::MAX))), |(store, rest)| async move {
            let (mut query, end) = rest?;
            let mut page = store.read_log(&query).await;
            let rest = match &mut page {
                Ok(page) => {
                    let end = end.min(page.head.position);
                    page.events.retain(|event| event.position <= end);
                    query.from = Some(page.next);
                    let over = query.direction == Direction::Forward && page.next.position >= end;
                    (page.more && !over).then_some((query, end))
                }
                Err(_) => None,
            };
            Some((page, (store, rest)))
        })
    }

    /// The last place of the log that was committed before `time`: reading after it begins with that moment.
    ///
    /// Times never fall along positions, so this is a binary search on the primary key.
    ///
    /// # Errors
    /// [`StoreError`] where the database can't be asked.
    pub async fn position_before(&self, time: OffsetDateTime) -> Result<Cursor, StoreError> {
        let head = self.head().await?;
        let (mut before, mut beyond) = (0, head.position + 1);
        while before + 1 < beyond {
            let middle = before + (beyond - before) / 2;
            // Positions are dense but for a floor that was raised: there the next event stands for the gap.
            let created_at = sqlx::query_scalar!(
                "SELECT created_at FROM everfold.event_store WHERE position >= $1 ORDER BY position LIMIT 1",
                middle
            )
            .fetch_optional(&self.pool)
            .await?;
            match created_at {
                Some(created_at) if created_at < time => before = middle,
                _ => beyond = middle,
            }
        }
        Ok(Cursor { epoch: head.epoch, position: before })
    }
}
