//! Sessions that hold the log's head and do nothing: Everfold's own are ended, others are left alone.

use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use tokio::sync::oneshot::error::TryRecvError;

use super::{Log, answer, append, appended, stream, submit, until};

/// A session of that name that has run the statement in a transaction, and now does nothing.
async fn idle(log: &Log, name: &str, statement: &'static str) -> PgConnection {
    let mut connection = log.database.options().application_name(name).connect().await.unwrap();
    connection.execute("BEGIN").await.unwrap();
    connection.execute(statement).await.unwrap();
    connection
}

const HOLD: &str = "SELECT FROM everfold.log_head FOR UPDATE";

#[tokio::test]
async fn a_stuck_writer_is_ended() {
    let log = Log::new().await;
    let mut stuck = idle(&log, "everfold-writer", HOLD).await;
    assert_eq!(answer(submit(&log.writer, vec![append(&stream("s"), 1)])).await, [Ok(appended(0, 1))]);
    assert!(stuck.ping().await.is_err(), "it was ended");
}

#[tokio::test]
async fn a_session_of_someone_else_is_left_alone() {
    let log = Log::new().await;
    let mut holder = idle(&log, "psql", HOLD).await;
    // Idle for less long than the other, in a lock of the same mode, but named like Everfold's: its end shows that the
    // other was looked at.
    let mut shown = idle(&log, "everfold-writer", "LOCK TABLE everfold.log_head IN ROW SHARE MODE").await;
    let mut reply = submit(&log.writer, vec![append(&stream("s"), 1)]);
    let ended = "SELECT NOT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)
                                    WHERE l.relation = 'everfold.log_head'::regclass AND a.state = 'idle in transaction'
                                      AND a.application_name = 'everfold-writer')";
    until(&mut log.owner().await, "the end of Everfold's session", ended).await;
    assert!(shown.ping().await.is_err());
    assert!(matches!(reply.try_recv(), Err(TryRecvError::Empty)));
    holder.execute("COMMIT").await.unwrap();
    assert_eq!(answer(reply).await, [Ok(appended(0, 1))]);
}
