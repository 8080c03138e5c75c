//! Reading the log: by position, from a time, by stream.

use futures_util::{Stream, stream};
use time::OffsetDateTime;
use uuid::Uuid;

use super::modules::digest_of;
use super::{Store, StoreError, page};
use crate::model::{AggregateType, Cursor, EventRef, Json, RecordedEvent, StreamId, StreamKey, Tenant};

/// Which part of a tenant's log to read.
#[derive(Debug, Clone)]
pub struct LogQuery {
    /// Whose events.
    pub tenant: Tenant,
    /// The last place seen; none begins at the first event.
    pub after: Option<Cursor>,
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
    /// The events, in order of position. May be empty though `next` is before the head: the positions that this page
    /// looked at held no event of the query.
    pub events: Vec<RecordedEvent>,
    /// Where to go on.
    pub next: Cursor,
    /// The log's head when the page was read.
    pub head: Cursor,
}

/// A page of a stream.
#[derive(Debug, Clone)]
pub struct StreamPage {
    /// The events, in order of version.
    pub events: Vec<RecordedEvent>,
    /// The stream's version when the page was read; -1 for none.
    pub version: i64,
}

/// An event type, in one schema version, that the log holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedKind {
    /// Its aggregate type.
    pub aggregate_type: String,
    /// Its name.
    pub event_type: String,
    /// Its schema version.
    pub schema_version: u32,
    /// Position of the first such event.
    pub first_position: i64,
}

struct EventRow {
    position: i64,
    version: i64,
    occurred_at: OffsetDateTime,
    created_at: OffsetDateTime,
    event_id: Uuid,
    schema_version: i32,
    tenant_id: String,
    aggregate_type: String,
    stream_id: String,
    event_type: String,
    payload: String,
    metadata: String,
    digest: Option<Vec<u8>>,
}

impl EventRow {
    fn size(&self) -> usize {
        self.payload.len() + self.metadata.len()
    }
}

impl TryFrom<EventRow> for RecordedEvent {
    type Error = StoreError;

    fn try_from(row: EventRow) -> Result<Self, StoreError> {
        let corrupt = |error: &dyn std::fmt::Display| StoreError::Corrupt(format!("event {}: {error}", row.position));
        Ok(Self {
            stream: StreamKey {
                tenant: Tenant::new(&row.tenant_id).map_err(|error| corrupt(&error))?,
                aggregate_type: AggregateType::new(&row.aggregate_type).map_err(|error| corrupt(&error))?,
                stream_id: StreamId::new(&row.stream_id).map_err(|error| corrupt(&error))?,
            },
            payload: Json::from_stored(row.payload).map_err(|error| StoreError::Corrupt(error.to_string()))?,
            metadata: Json::from_stored(row.metadata).map_err(|error| StoreError::Corrupt(error.to_string()))?,
            module_digest: row.digest.as_deref().map(digest_of).transpose()?,
            position: row.position,
            version: row.version,
            event_id: row.event_id,
            event_type: row.event_type,
            schema_version: row.schema_version.unsigned_abs(),
            occurred_at: row.occurred_at,
            created_at: row.created_at,
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
        let after = query.after.unwrap_or(Cursor { epoch: head.epoch, position: 0 });
        if after.epoch != head.epoch || after.position > head.position {
            return Err(StoreError::EpochChanged { asked: after, current: head });
        }
        let last = head.position.min(after.position.saturating_add(self.scan_limit));
        let rows = sqlx::query_as!(
            EventRow,
            r#"SELECT e.position, e.version, e.occurred_at, e.created_at, e.event_id, e.schema_version, e.tenant_id,
                      e.aggregate_type, e.stream_id, e.event_type, e.payload::text AS "payload!",
                      e.metadata::text AS "metadata!", m.digest AS "digest?"
               FROM everfold.event_store e LEFT JOIN everfold.modules m USING (module_id)
               WHERE e.position > $1 AND e.position <= $2 AND e.tenant_id = $3
                 AND (cardinality($4::text[]) = 0 OR e.event_type = ANY ($4))
                 AND (cardinality($5::text[]) = 0 OR e.aggregate_type = ANY ($5))
               ORDER BY e.position LIMIT $6"#,
            after.position,
            last,
            query.tenant.as_str(),
            &query.event_types,
            &query.aggregate_types,
            query.limit,
        )
        .fetch(&self.pool);
        let (rows, cut) = page::take(rows, EventRow::size).await?;
        let full = cut || rows.len() as i64 == query.limit;
        let events = rows.into_iter().map(RecordedEvent::try_from).collect::<Result<Vec<_>, _>>()?;
        let position = events.last().filter(|_| full).map_or(last, |event| event.position);
        Ok(LogPage { events, next: Cursor { epoch: head.epoch, position }, head })
    }

    /// The pages of a tenant's log one after the other, up to the head that the first of them finds: a reader slower
    /// than the writers comes to an end too. Only one page is in memory at a time. After an error there are no more.
    pub fn log_pages(&self, query: LogQuery) -> impl Stream<Item = Result<LogPage, StoreError>> + Send + use<> {
        stream::unfold((self.clone(), Some((query, i64::MAX))), |(store, rest)| async move {
            let (mut query, end) = rest?;
            let mut page = store.read_log(&query).await;
            let rest = match &mut page {
                Ok(page) => {
                    let end = end.min(page.head.position);
                    page.events.retain(|event| event.position <= end);
                    query.after = Some(page.next);
                    (page.next.position < end).then_some((query, end))
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

    /// At most `limit` events of a stream from `from_version` on; large ones end the page earlier.
    ///
    /// # Errors
    /// [`StoreError`] where the database can't be asked.
    pub async fn read_stream(
        &self,
        stream: &StreamKey,
        from_version: i64,
        limit: i64,
    ) -> Result<StreamPage, StoreError> {
        let version = self.stream_head(stream).await?.map_or(crate::model::NO_STREAM, |head| head.version);
        let rows = sqlx::query_as!(
            EventRow,
            r#"SELECT e.position, e.version, e.occurred_at, e.created_at, e.event_id, e.schema_version, e.tenant_id,
                      e.aggregate_type, e.stream_id, e.event_type, e.payload::text AS "payload!",
                      e.metadata::text AS "metadata!", m.digest AS "digest?"
               FROM everfold.event_store e LEFT JOIN everfold.modules m USING (module_id)
               WHERE e.tenant_id = $1 AND e.aggregate_type = $2 AND e.stream_id = $3
                 AND e.version >= $4 AND e.version <= $5
               ORDER BY e.version LIMIT $6"#,
            stream.tenant.as_str(),
            stream.aggregate_type.as_str(),
            stream.stream_id.as_str(),
            from_version,
            version,
            limit,
        )
        .fetch(&self.pool);
        let (rows, _) = page::take(rows, EventRow::size).await?;
        let events = rows.into_iter().map(RecordedEvent::try_from).collect::<Result<Vec<_>, _>>()?;
        Ok(StreamPage { events, version })
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

    /// Every event type that the log holds, over all tenants.
    ///
    /// # Errors
    /// [`StoreError`] where the database can't be asked.
    pub async fn event_kinds(&self) -> Result<Vec<RecordedKind>, StoreError> {
        let rows = sqlx::query!(
            "SELECT aggregate_type, event_type, schema_version, first_position FROM everfold.event_kinds
             ORDER BY aggregate_type, event_type, schema_version"
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| RecordedKind {
                aggregate_type: row.aggregate_type,
                event_type: row.event_type,
                schema_version: row.schema_version.unsigned_abs(),
                first_position: row.first_position,
            })
            .collect())
    }
}
