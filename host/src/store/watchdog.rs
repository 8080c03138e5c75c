//! Ends a session that holds the log's head and does nothing: neither statement nor idle timeouts see it.
//!
//! A host that is frozen between sending a statement and its Sync leaves such a session, and every other host waits.

use std::time::Duration;

use sqlx::Connection as _;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::Store;

/// A batch takes milliseconds; one that waits this long is worth a look, and a holder silent for as long is stuck.
const PATIENCE: Duration = Duration::from_secs(2);

/// Awaits a batch, and while that takes unusually long looks for a stuck holder of the head.
pub(super) async fn guard<T>(store: &Store, batch: impl Future<Output = T>) -> T {
    let mut batch = std::pin::pin!(batch);
    // Not an interval that begins at once: its first tick would cost the batch a millisecond of the timer's.
    let mut looks = interval_at(Instant::now() + PATIENCE, PATIENCE);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            done = &mut batch => return done,
            _ = looks.tick() => {
                tokio::select! {
                    done = &mut batch => return done,
                    ended = end_stuck_holders(store) => match ended {
                        Ok(0) => {}
                        Ok(ended) => tracing::warn!(ended, "ended a session that held the log's head and did nothing"),
                        Err(error) => tracing::warn!(%error, "can't look for a stuck holder of the log's head"),
                    },
                }
            }
        }
    }
}

async fn end_stuck_holders(store: &Store) -> Result<usize, sqlx::Error> {
    let mut connection = store.supervising_session().await?;
    let ended = sqlx::query!(
        r#"SELECT pg_terminate_backend(a.pid) AS "told!"
           FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid
           WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
             AND l.relation = 'everfold.log_head'::regclass AND l.mode = 'RowShareLock' AND l.granted
             AND a.application_name LIKE 'everfold-%' AND a.wait_event IN ('ClientRead', 'ClientWrite')
             AND clock_timestamp() - greatest(a.query_start, a.state_change) > make_interval(secs => $1)"#,
        PATIENCE.as_secs_f64(),
    )
    .fetch_all(&mut connection)
    .await?
    .len();
    connection.close().await?;
    Ok(ended)
}
