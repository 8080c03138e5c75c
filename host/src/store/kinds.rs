//! The event types that the log holds, known without a scan.

use super::{Store, StoreError};

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

impl Store {
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
