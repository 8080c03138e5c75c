//! What can go wrong with the log, cut by what the caller can do about it.

use super::metrics::DATABASE_ERRORS;
use crate::model::Cursor;

/// A read, or a write beside the log, that failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// PostgreSQL can't be reached, or has no connection free: try again later.
    #[error("PostgreSQL can't be reached")]
    Unavailable(#[source] sqlx::Error),
    /// The cursor belongs to a log that is no more, or is ahead of it: begin again, or from a time.
    #[error("the cursor {asked} is not of this log, whose head is {current}")]
    EpochChanged {
        /// The cursor that was asked for.
        asked: Cursor,
        /// The log's head now.
        current: Cursor,
    },
    /// PostgreSQL refused the statement: a fault of the host or of the database's set-up.
    #[error("PostgreSQL refused a statement")]
    Failed(#[source] sqlx::Error),
    /// It holds what the host would never have written, or lacks a migration.
    #[error("the database isn't as this host needs it: {0}")]
    Corrupt(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let (kind, error) = match &error {
            sqlx::Error::Database(answer) if !is_unavailable(answer.code().as_deref()) => {
                ("failed", Self::Failed(error))
            }
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => ("corrupt", Self::Corrupt(error.to_string())),
            _ => ("unavailable", Self::Unavailable(error)),
        };
        // Every failed statement of a read comes through here, once.
        DATABASE_ERRORS.counter([kind]).increment(1);
        error
    }
}

/// Error classes by which PostgreSQL says "not now": connection exceptions, too few resources, shutdown and start.
fn is_unavailable(code: Option<&str>) -> bool {
    code.is_some_and(|code| ["08", "53", "57P"].iter().any(|class| code.starts_with(class)))
}

/// An append that has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The writer's queue is full; surely not executed.
    #[error("the writer's queue is full")]
    Overloaded,
    /// The time was up before it was sent; surely not executed.
    #[error("the deadline passed before the append was sent")]
    Deadline,
    /// The host is stopping; surely not executed.
    #[error("the host is stopping")]
    Stopping,
    /// PostgreSQL can't write just now; surely not executed.
    #[error("PostgreSQL can't take the append now: {0}")]
    Unavailable(String),
    /// PostgreSQL refuses its data; surely not executed.
    #[error("PostgreSQL refuses the append: {0}")]
    Refused(String),
    /// The connection was lost while it was out, and the time was up before that was settled.
    #[error("the connection to PostgreSQL was lost while the append was out")]
    Unknown,
}
