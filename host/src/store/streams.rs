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
    /// Position of its last event.
    pub position: i64,
    /// When that was committed.
    pub updated_at: OffsetDateTime,
}

impl StreamsQuery {
    /// The first type to look at, and the id behind which its streams begin; none where the last one seen is behind all.
    fn start(&self) -> Option<(&str, &str)> {
        let after =
            self.after.as_ref().map(|(aggregate_type, stream_id)| (aggregate_type.as_str(), stream_id.as_str()));
        match (self.aggregate_type.as_ref().map(AggregateType::as_str), after) {
            (Some(only), Some((seen, _))) if seen > only => None,
            (Some(only), Some((seen, _))) if seen < only => Some((only, "")),
            (Some(only), None) => Some((only, "")),
            (_, after) => Some(after.unwrap_or_default()),
        }
    }
}

impl Store {
    /// Streams in byte order of aggregate type and id. Steps from stream to stream along the index, within each type
    /// only between the ends of what is asked for: neither long streams nor streams beside the prefix cost anything.
    ///
    /// # Errors
    /// [`StoreError`] where the database can't be asked.
    pub async fn list_streams(&self, query: &StreamsQuery) -> Result<Vec<StreamSummary>, StoreError> {
        let Some((first_type, after_stream)) = query.start() else { return Ok(Vec::new()) };
        let prefix = query.prefix.as_deref().unwrap_or_default();
        let mut session = self.tenant_session(&query.tenant).await?;
        // Both bounds of the ids are texts in every case: a bound that may be null would be no condition of the index.
        let rows = sqlx::query!(
            r#"WITH RECURSIVE types AS (
                   (SELECT e.aggregate_type FROM everfold.event_store e
                    WHERE e.tenant_id = $1 AND e.aggregate_type >= $2
                    ORDER BY e.aggregate_type LIMIT 1)
                   UNION ALL
                   SELECT next.aggregate_type FROM types CROSS JOIN LATERAL (
                       SELECT e.aggregate_type FROM everfold.event_store e
                       WHERE e.tenant_id = $1 AND e.aggregate_type > types.aggregate_type
                       ORDER BY e.aggregate_type LIMIT 1
                   ) next
                   WHERE NOT $4
               )
               SELECT types.aggregate_type AS "aggregate_type!", ids.stream_id AS "stream_id!",
                      head.version AS "version!", head.position AS "position!", head.created_at AS "created_at!"
               FROM types CROSS JOIN LATERAL (
                   WITH RECURSIVE found AS (
                       (SELECT e.stream_id FROM everfold.event_store e
                        WHERE e.tenant_id = $1 AND e.aggregate_type = types.aggregate_type
                          AND e.stream_id > CASE WHEN types.aggregate_type = $2 THEN $3 ELSE '' END
                          AND e.stream_id >= $5 AND e.stream_id < $6
                        ORDER BY e.stream_id LIMIT 1)
                       UNION ALL
                       SELECT next.stream_id FROM found CROSS JOIN LATERAL (
                           SELECT e.stream_id FROM everfold.event_store e
                           WHERE e.tenant_id = $1 AND e.aggregate_type = types.aggregate_type
                             AND e.stream_id > found.stream_id AND e.stream_id < $6
                           ORDER BY e.stream_id LIMIT 1
                       ) next
                   )
                   SELECT stream_id FROM found LIMIT $7
               ) ids
               CROSS JOIN LATERAL (
                   SELECT e.version, e.position, e.created_at FROM everfold.event_store e
                   WHERE e.tenant_id = $1 AND e.aggregate_type = types.aggregate_type AND e.stream_id = ids.stream_id
                   ORDER BY e.version DESC LIMIT 1
               ) head
               WHERE NOT $4 OR types.aggregate_type = $2
               ORDER BY types.aggregate_type, ids.stream_id LIMIT $7"#,
            query.tenant.as_str(),
            first_type,
            after_stream,
            query.aggregate_type.is_some(),
            prefix,
            behind_prefix(prefix),
            query.limit,
        )
        .fetch_all(&mut *session)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(StreamSummary {
                    aggregate_type: AggregateType::new(&row.aggregate_type).map_err(corrupt)?,
                    stream_id: StreamId::new(&row.stream_id).map_err(corrupt)?,
                    version: row.version,
                    position: row.position,
                    updated_at: row.created_at,
                })
            })
            .collect()
    }
}

fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

/// The first text behind all ids that begin so, in byte order, which is the order of code points.
fn behind_prefix(prefix: &str) -> String {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            characters.push(next);
            return characters.into_iter().collect();
        }
    }
    // Longer than any id, of the last character that there is.
    char::MAX.to_string().repeat(StreamId::MAX_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_a_prefix_is_what_no_id_of_it_reaches() {
        assert_eq!(behind_prefix("a"), "b");
        assert_eq!(behind_prefix("order-é"), "order-ê");
        assert_eq!(behind_prefix("a\u{d7ff}"), "a\u{e000}", "what lies between is no character");
        assert_eq!(behind_prefix("a\u{10ffff}\u{10ffff}"), "b");
        let largest = "\u{10ffff}".repeat(50);
        for prefix in ["", "\u{10ffff}"] {
            assert!(behind_prefix(prefix) > largest, "{prefix:?}");
        }
        for (prefix, id) in [("a", "a\u{10ffff}"), ("z", "zz"), ("\u{7f}", "\u{7f}a")] {
            assert!(id < behind_prefix(prefix).as_str());
        }
    }
}
