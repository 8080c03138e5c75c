//! Rows of the log as events: the one place that names their columns.

use futures_util::Stream;
use time::OffsetDateTime;
use uuid::Uuid;

use super::modules::digest_of;
use super::{StoreError, page};
use crate::model::{AggregateType, Json, RecordedEvent, StreamId, StreamKey, Tenant};

/// A query for events; `$which` picks and orders them. An order can't be a parameter, so that each way to read has a
/// statement of its own.
macro_rules! select_events {
    ($which:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            $crate::store::events::EventRow,
            r#"SELECT e.position, e.version, e.occurred_at, e.created_at, e.event_id, e.schema_version, e.tenant_id,
                      e.aggregate_type, e.stream_id, e.event_type, e.payload::text AS "payload!",
                      e.metadata::text AS "metadata!", m.digest AS "digest?"
               FROM everfold.event_store e LEFT JOIN everfold.modules m USING (module_id) "# + $which,
            $($argument),+
        )
    };
}
pub(super) use select_events;

/// One event as the statement answers it.
pub(super) struct EventRow {
    pub(super) position: i64,
    pub(super) version: i64,
    pub(super) occurred_at: OffsetDateTime,
    pub(super) created_at: OffsetDateTime,
    pub(super) event_id: Uuid,
    pub(super) schema_version: i32,
    pub(super) tenant_id: String,
    pub(super) aggregate_type: String,
    pub(super) stream_id: String,
    pub(super) event_type: String,
    pub(super) payload: String,
    pub(super) metadata: String,
    pub(super) digest: Option<Vec<u8>>,
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

/// The rows of a page of at most `limit` events, and whether the page is full, in events or in bytes: then there may
/// be more where it looked.
pub(super) async fn take(
    rows: impl Stream<Item = Result<EventRow, sqlx::Error>>,
    limit: i64,
) -> Result<(Vec<RecordedEvent>, bool), StoreError> {
    let (rows, cut) = page::take(rows, EventRow::size).await?;
    let full = cut || rows.len() as i64 == limit;
    let events = rows.into_iter().map(RecordedEvent::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok((events, full))
}
