//! Receipts: looked up before an error is answered, and removed after their time.

use std::time::Duration;

use time::OffsetDateTime;

use super::append::stored_outcome;
use super::{Store, StoreError};
use crate::model::{IdempotencyKey, StoredOutcome, Tenant};

/// A receipt as it stands in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// SHA-256 of the request that it belongs to.
    pub fingerprint: Vec<u8>,
    /// What came of that request.
    pub outcome: StoredOutcome,
}

/// Rows that one step of the removal deletes: small enough to be over in milliseconds.
const REMOVAL_STEP: i64 = 1_000;

impl Store {
    /// The receipt of a key.
    ///
    /// # Errors
    /// [`StoreError`] where the database can't be asked.
    pub async fn receipt(&self, tenant: &Tenant, key: &IdempotencyKey) -> Result<Option<Receipt>, StoreError> {
        let row = sqlx::query!(
            "SELECT fingerprint, first_version, first_position, event_count, rejection::text AS rejection
             FROM everfold.receipts WHERE tenant_id = $1 AND key = $2",
            tenant.as_str(),
            key.as_str(),
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let outcome = stored_outcome(row.first_version, row.first_position, row.event_count, row.rejection)?;
        Ok(Some(Receipt { fingerprint: row.fingerprint, outcome }))
    }

    /// Removes receipts older than `retention` by the database's clock, which is the one that they were written by.
    ///
    /// # Errors
    /// [`StoreError`] where the database can't be asked; what was removed stays removed.
    pub async fn remove_expired_receipts(&self, retention: Duration) -> Result<u64, StoreError> {
        let seconds = retention.as_secs_f64();
        let before =
            sqlx::query_scalar!(r#"SELECT clock_timestamp() - make_interval(secs => $1) AS "before!""#, seconds);
        let before = before.fetch_one(&self.pool).await?;
        self.remove_receipts(before).await
    }

    /// Removes receipts older than `before`, in small steps, and answers how many.
    ///
    /// # Errors
    /// [`StoreError`] where the database can't be asked; what was removed stays removed.
    pub async fn remove_receipts(&self, before: OffsetDateTime) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let step = sqlx::query!(
                "DELETE FROM everfold.receipts WHERE ctid = ANY (ARRAY(
                     SELECT ctid FROM everfold.receipts WHERE created_at < $1 LIMIT $2))",
                before,
                REMOVAL_STEP,
            )
            .execute(&self.pool)
            .await?
            .rows_affected();
            removed += step;
            if step < REMOVAL_STEP.unsigned_abs() {
                return Ok(removed);
            }
        }
    }
}
