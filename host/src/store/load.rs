//! What folding a stream needs: its snapshot and the events after it, in one round trip.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, StoreError, page};
use crate::model::{Digest, Head, Snapshot, StreamKey};

/// An event as `apply` takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailEvent {
    /// Its place in the stream.
    pub version: i64,
    /// Its id.
    pub event_id: Uuid,
    /// Name of its type.
    pub event_type: String,
    /// Version of its payload's shape.
    pub schema_version: u32,
    /// When it happened.
    pub occurred_at: OffsetDateTime,
    /// The payload's text.
    pub payload: String,
}

/// A stream, or a page of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedStream {
    /// A snapshot of this history by the module that was asked for; the events begin after it.
    pub snapshot: Option<Snapshot>,
    /// The events, in order.
    pub events: Vec<TailEvent>,
    /// The page was filled, by rows or by bytes: there may be more events.
    pub more: bool,
}

impl Store {
    /// The newest usable snapshot of a stream and at most `limit` events after it. `digest` names the module whose
    /// snapshots are used, in its state version; `up_to` leaves out what lies after that version.
    ///
    /// A snapshot counts only where its event id stands in the log at its version.
    ///
    /// # Errors
    /// [`StoreError`] where the database can't be asked.
    pub async fn load_stream(
        &self,
        stream: &StreamKey,
        digest: &Digest,
        state_version: u32,
        up_to: Option<i64>,
        limit: i64,
    ) -> Result<LoadedStream, StoreError> {
        let rows = sqlx::query!(
            r#"WITH snapshot AS MATERIALIZED (
                   SELECT s.version, s.event_id, s.state_version, s.state
                   FROM everfold.snapshots s
                   WHERE s.tenant_id = $1 AND s.aggregate_type = $2 AND s.stream_id = $3 AND s.module_id = $4
                     AND s.state_version = $5 AND s.version <= $6
                     AND s.event_id = (SELECT e.event_id FROM everfold.event_store e
                                       WHERE e.tenant_id = $1 AND e.aggregate_type = $2 AND e.stream_id = $3
                                         AND e.version = s.version)
               )
               (SELECT true AS "is_snapshot!", version AS "version!", event_id AS "event_id!",
                       NULL::text AS event_type, state_version AS "schema_version!",
                       NULL::timestamptz AS occurred_at, state::text AS "payload!" FROM snapshot)
               UNION ALL
               (SELECT false, e.version, e.event_id, e.event_type, e.schema_version, e.occurred_at, e.payload::text
                FROM everfold.event_store e
                WHERE e.tenant_id = $1 AND e.aggregate_type = $2 AND e.stream_id = $3
                  AND e.version > coalesce((SELECT version FROM snapshot), -1) AND e.version <= $6
                ORDER BY e.version LIMIT $7)"#,
            stream.tenant.as_str(),
            stream.aggregate_type.as_str(),
            stream.stream_id.as_str(),
            self.module_id(digest).unwrap_or(-1),
            i32::try_from(state_version).unwrap_or(i32::MAX),
            up_to.unwrap_or(i64::MAX),
            limit,
        )
        .fetch(&self.pool);
        let (rows, cut) = page::take(rows, |row| row.payload.len()).await?;

        let mut loaded = LoadedStream { snapshot: None, events: Vec::with_capacity(rows.len()), more: false };
        for row in rows {
            let number = row.schema_version.unsigned_abs();
            if row.is_snapshot {
                let (version, event_id) = (row.version, row.event_id);
                loaded.snapshot =
                    Some(Snapshot { version, event_id, state_version: number, state: row.payload.into_bytes() });
            } else {
                loaded.events.push(TailEvent {
                    version: row.version,
                    event_id: row.event_id,
                    event_type: row.event_type.unwrap_or_default(),
                    schema_version: number,
                    occurred_at: row.occurred_at.unwrap_or(OffsetDateTime::UNIX_EPOCH),
                    payload: row.payload,
                });
            }
        }
        loaded.more = cut || loaded.events.len() as i64 == limit;
        Ok(loaded)
    }

    /// At most `limit` events of a stream after `version`, and not after `up_to`.
    ///
    /// # Errors
    /// [`StoreError`] where the database can't be asked.
    pub async fn load_tail(
        &self,
        stream: &StreamKey,
        version: i64,
        up_to: Option<i64>,
        limit: i64,
    ) -> Result<LoadedStream, StoreError> {
        let events = sqlx::query_as!(
            TailRow,
            "SELECT version, event_id, event_type, schema_version, occurred_at, payload::text AS \"payload!\"
             FROM everfold.event_store
             WHERE tenant_id = $1 AND aggregate_type = $2 AND stream_id = $3 AND version > $4 AND version <= $5
             ORDER BY version LIMIT $6",
            stream.tenant.as_str(),
            stream.aggregate_type.as_str(),
            stream.stream_id.as_str(),
            version,
            up_to.unwrap_or(i64::MAX),
            limit,
        )
        .fetch(&self.pool);
        let (events, cut) = page::take(events, |row| row.payload.len()).await?;
        let more = cut || events.len() as i64 == limit;
        Ok(LoadedStream { snapshot: None, events: events.into_iter().map(TailEvent::from).collect(), more })
    }

    /// The stream's last committed event: one index probe.
    ///
    /// # Errors
    /// [`StoreError`] where the database can't be asked.
    pub async fn stream_head(&self, stream: &StreamKey) -> Result<Option<Head>, StoreError> {
        Ok(sqlx::query_as!(
            Head,
            "SELECT version, event_id FROM everfold.event_store
             WHERE tenant_id = $1 AND aggregate_type = $2 AND stream_id = $3 ORDER BY version DESC LIMIT 1",
            stream.tenant.as_str(),
            stream.aggregate_type.as_str(),
            stream.stream_id.as_str(),
        )
        .fetch_optional(&self.pool)
        .await?)
    }
}

struct TailRow {
    version: i64,
    event_id: Uuid,
    event_type: String,
    schema_version: i32,
    occurred_at: OffsetDateTime,
    payload: String,
}

impl From<TailRow> for TailEvent {
    fn from(row: TailRow) -> Self {
        Self {
            version: row.version,
            event_id: row.event_id,
            event_type: row.event_type,
            schema_version: row.schema_version.unsigned_abs(),
            occurred_at: row.occurred_at,
            payload: row.payload,
        }
    }
}
