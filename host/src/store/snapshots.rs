//! Snapshots: written off the command's path and forward only, read together with the tail.

use time::OffsetDateTime;

use super::modules::digest_of;
use super::{Store, StoreError};
use crate::model::{AggregateType, Digest, Json, Snapshot, StreamKey, Tenant};

/// A snapshot and where it comes from, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSnapshot {
    /// The version up to which events are folded in.
    pub version: i64,
    /// The module's number for the state's shape.
    pub state_version: u32,
    /// When it was written.
    pub taken_at: OffsetDateTime,
    /// The state.
    pub state: Json,
    /// Name of the module that computed it.
    pub module: String,
    /// Version of that module.
    pub module_version: String,
    /// Its digest.
    pub digest: Digest,
}

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

    /// Every snapshot of a stream, the newest version first, whether or not a module that is active can use it.
    ///
    /// # Errors
    /// [`StoreError`] where the database can't be asked.
    pub async fn snapshots(&self, stream: &StreamKey) -> Result<Vec<StoredSnapshot>, StoreError> {
        let mut session = self.tenant_session(&stream.tenant).await?;
        let rows = sqlx::query!(
            r#"SELECT s.version, s.state_version, s.created_at, s.state::text AS "state!",
                      m.name, m.version AS module_version, m.digest
               FROM everfold.snapshots s JOIN everfold.modules m USING (module_id)
               WHERE s.tenant_id = $1 AND s.aggregate_type = $2 AND s.stream_id = $3
               ORDER BY s.version DESC, s.module_id DESC"#,
            stream.tenant.as_str(),
            stream.aggregate_type.as_str(),
            stream.stream_id.as_str(),
        )
        .fetch_all(&mut *session)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(StoredSnapshot {
                    version: row.version,
                    state_version: row.state_version.unsigned_abs(),
                    taken_at: row.created_at,
                    state: Json::from_stored(row.state).map_err(|error| StoreError::Corrupt(error.to_string()))?,
                    module: row.name,
                    module_version: row.module_version,
                    digest: digest_of(&row.digest)?,
                })
            })
            .collect()
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

    /// Drops at most `limit` snapshots of a tenant, of one aggregate type or of all. Answers how many were dropped, and
    /// whether the step was full, so that there may be more. Steps keep locks and transactions short.
    ///
    /// # Errors
    /// [`StoreError`] where the database can't be asked.
    pub async fn drop_some_snapshots(
        &self,
        tenant: &Tenant,
        aggregate_type: Option<&AggregateType>,
        limit: i64,
    ) -> Result<(u64, bool), StoreError> {
        // What another session replaces or drops meanwhile isn't dropped by this one, but fills the step.
        let row = sqlx::query!(
            r#"WITH found AS MATERIALIZED (
                   SELECT ctid FROM everfold.snapshots
                   WHERE tenant_id = $1 AND ($2::text IS NULL OR aggregate_type = $2) LIMIT $3
               ), dropped AS (
                   DELETE FROM everfold.snapshots WHERE ctid = ANY (ARRAY(SELECT ctid FROM found)) RETURNING 1
               )
               SELECT (SELECT count(*) FROM dropped) AS "dropped!", (SELECT count(*) FROM found) >= $3 AS "full!""#,
            tenant.as_str(),
            aggregate_type.map(AggregateType::as_str),
            limit,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok((row.dropped.unsigned_abs(), row.full))
    }
}
