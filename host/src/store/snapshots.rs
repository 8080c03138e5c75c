//! Snapshots: written off the command's path and forward only, read together with the tail.

use super::{Store, StoreError};
use crate::model::{Digest, Snapshot, StreamKey};

impl Store {
    /// Keeps a snapshot that the module `digest` computed; an older one of the same module is replaced, a newer one
    /// stays. Snapshots of other modules are dropped once they are a day old.
    ///
    /// # Errors
    /// [`StoreError`] where the database can't be asked. Nothing depends on a snapshot being there.
    pub async fn save_snapshot(
        &self,
        stream: &StreamKey,
        digest: &Digest,
        snapshot: &Snapshot,
    ) -> Result<(), StoreError> {
        let Some(module_id) = self.module_id(digest) else { return Ok(()) };
        let state = std::str::from_utf8(&snapshot.state)
            .map_err(|error| StoreError::Corrupt(format!("the state of {stream} is not UTF-8: {error}")))?;
        sqlx::query!(
            "WITH dropped AS (
                 DELETE FROM everfold.snapshots
                 WHERE tenant_id = $1 AND aggregate_type = $2 AND stream_id = $3 AND module_id <> $4
                   AND created_at < clock_timestamp() - interval '1 day')
             INSERT INTO everfold.snapshots AS old
                 (tenant_id, aggregate_type, stream_id, module_id, version, event_id, state_version, state)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::json)
             ON CONFLICT (tenant_id, aggregate_type, stream_id, module_id) DO UPDATE
             SET version = excluded.version, event_id = excluded.event_id, state_version = excluded.state_version,
                 state = excluded.state, created_at = excluded.created_at
             WHERE old.version < excluded.version",
            stream.tenant.as_str(),
            stream.aggregate_type.as_str(),
            stream.stream_id.as_str(),
            module_id,
            snapshot.version,
            snapshot.event_id,
            i32::try_from(snapshot.state_version).unwrap_or(i32::MAX),
            state,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The snapshot of a stream that the module `digest` computed, whether or not it can still be used.
    ///
    /// # Errors
    /// [`StoreError`] where the database can't be asked.
    pub async fn load_snapshot(&self, stream: &StreamKey, digest: &Digest) -> Result<Option<Snapshot>, StoreError> {
        let row = sqlx::query!(
            r#"SELECT version, event_id, state_version, state::text AS "state!" FROM everfold.snapshots
               WHERE tenant_id = $1 AND aggregate_type = $2 AND stream_id = $3
                 AND module_id = (SELECT module_id FROM everfold.modules WHERE digest = $4)"#,
            stream.tenant.as_str(),
            stream.aggregate_type.as_str(),
            stream.stream_id.as_str(),
            &digest.0[..],
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| Snapshot {
            version: row.version,
            event_id: row.event_id,
            state_version: row.state_version.unsigned_abs(),
            state: row.state.into_bytes(),
        }))
    }

    /// Drops every snapshot of a stream, and answers how many there were.
    ///
    /// # Errors
    /// [`StoreError`] where the database can't be asked.
    pub async fn drop_snapshots(&self, stream: &StreamKey) -> Result<u64, StoreError> {
        let dropped = sqlx::query!(
            "DELETE FROM everfold.snapshots WHERE tenant_id = $1 AND aggregate_type = $2 AND stream_id = $3",
            stream.tenant.as_str(),
            stream.aggregate_type.as_str(),
            stream.stream_id.as_str(),
        )
        .execute(&self.pool)
        .await?;
        Ok(dropped.rows_affected())
    }
}
