//! Whether a pooler such as pgbouncer stands before the server, and whether it keeps sessions apart.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use time::OffsetDateTime;

/// What stands between host and server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooler {
    /// Nothing that was noticed.
    None,
    /// Each connection has a session of its own, which may have served others before.
    Session,
    /// Connections share sessions between transactions: what one sets, another finds.
    Transaction,
}

struct Backend {
    process: i32,
    started_at: OffsetDateTime,
    now: OffsetDateTime,
}

/// Two connections that are open at once have two sessions, and a new connection has a session that is as new: where
/// either doesn't hold, somebody hands out sessions.
pub(super) async fn detect(options: &PgConnectOptions) -> Result<Pooler, sqlx::Error> {
    let (mut first, mut second) = (options.connect().await?, options.connect().await?);
    let (one, other) = (backend(&mut first).await?, backend(&mut second).await?);
    let shared = one.process == other.process;
    first.close().await?;
    second.close().await?;
    let mut third = options.connect().await?;
    let later = backend(&mut third).await?;
    third.close().await?;
    Ok(match (shared, later.started_at < other.now) {
        (true, _) => Pooler::Transaction,
        (false, true) => Pooler::Session,
        (false, false) => Pooler::None,
    })
}

async fn backend(connection: &mut PgConnection) -> Result<Backend, sqlx::Error> {
    // Not persistent: a session that others use too may have a statement of that name already.
    let row: (i32, OffsetDateTime, OffsetDateTime) = sqlx::query_as(
        "SELECT pid, backend_start, clock_timestamp() FROM pg_stat_activity WHERE pid = pg_backend_pid()",
    )
    .persistent(false)
    .fetch_one(connection)
    .await?;
    Ok(Backend { process: row.0, started_at: row.1, now: row.2 })
}
