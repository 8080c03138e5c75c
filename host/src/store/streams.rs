//! The list of streams, from the one index that knows them.

use time::OffsetDateTime;

use super::{Store, StoreError};
use crate::model::{AggregateType, StreamId, Tenant};

/// Which streams to list.
#[derive(Debug, Clone)]
pub struct StreamsQuery {
    /// Whose streams.
    pub tenant: Tenant,
    /// Only of this aggregate type.
    pub aggregate_type: Option<AggregateType>,
    /// Only those whose id begins so.
    pub prefix: Option<String>,
    /// The last one seen.
    pub after: Option<(AggregateType, StreamId)>,
    /// Most streams in a page.
    pub limit: i64,
}

/// A stream in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSummary {
    /// Its aggregate type.
    pub aggregate_type: AggregateType,
    /// Its id.
    pub stream_id: StreamId,
    /// Version of its last event.
    pub version: i64,
    /// When that was committed.
    pub updated_at: OffsetDateTime,
}

impl Store {
    /// Streams in byte order of aggregate type and id. Steps from stream to stream along the index, so a long stream
    /// costs no more than a short one.
    ///
    /// # Errors
    /// [`StoreError`] where the database can't be asked.
    pub async fn list_streams(&self, query: &StreamsQuery) -> Result<Vec<StreamSummary>, StoreError> {
        let only_type = query.aggregate_type.as_ref().map(AggregateType::as_str);
        let prefix = query.prefix.as_deref().unwrap_or_default();
        let (after_type, after_stream) = match &query.after {
            Some((aggregate_type, stream_id)) => (aggregate_type.as_str(), stream_id.as_str()),
            None => ("", ""),
        };
        let rows = sqlx::query!(
            r#"WITH RECURSIVE found AS (
                   (SELECT e.aggregate_type, e.stream_id, 1 AS n FROM everfold.event_store e
                    WHERE e.tenant_id = $1 AND (e.aggregate_type, e.stream_id) > ($2, $3)
                      AND ($4::text IS NULL OR e.aggregate_type = $4) AND starts_with(e.stream_id, $5)
                    ORDER BY e.aggregate_type, e.stream_id LIMIT 1)
                   UNION ALL
                   SELECT next.aggregate_type, next.stream_id, found.n + 1
                   FROM found CROSS JOIN LATERAL (
                       SELECT e.aggregate_type, e.stream_id FROM everfold.event_store e
                       WHERE e.tenant_id = $1 AND (e.aggregate_type, e.stream_id) > (found.aggregate_type, found.stream_id)
                         AND ($4::text IS NULL OR e.aggregate_type = $4) AND starts_with(e.stream_id, $5)
                       ORDER BY e.aggregate_type, e.stream_id LIMIT 1
                   ) next
                   WHERE found.n < $6
               )
               SELECT found.aggregate_type AS "aggregate_type!", found.stream_id AS "stream_id!",
                      head.version AS "version!", head.created_at AS "created_at!"
               FROM found CROSS JOIN LATERAL (
                   SELECT e.version, e.created_at FROM everfold.event_store e
                   WHERE e.tenant_id = $1 AND e.aggregate_type = found.aggregate_type AND e.stream_id = found.stream_id
                   ORDER BY e.version DESC LIMIT 1
               ) head
               ORDER BY found.n"#,
            query.tenant.as_str(),
            after_type,
            after_stream,
            only_type,
            prefix,
            i32::try_from(query.limit).unwrap_or(i32::MAX),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(StreamSummary {
                    aggregate_type: AggregateType::new(&row.aggregate_type).map_err(corrupt)?,
                    stream_id: StreamId::new(&row.stream_id).map_err(corrupt)?,
                    version: row.version,
                    updated_at: row.created_at,
                })
            })
            .collect()
    }
}

fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}
