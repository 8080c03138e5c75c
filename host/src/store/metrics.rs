//! What the log's room measures: the writer and its batches, the database, the log's head.

use std::sync::LazyLock;

use metrics::Counter;

use crate::model::{AppendOutcome, metric_table};

metric_table! {
    /// Statements that carried appends to PostgreSQL and were committed.
    counter BATCHES = "everfold_writer_batches_total";
    /// Appends of one statement, decisions without events among them.
    histogram BATCH_APPENDS = "everfold_writer_batch_appends" in COUNTS;
    /// Events of one statement.
    histogram BATCH_EVENTS = "everfold_writer_batch_events" in COUNTS;
    /// Payload and metadata of one statement.
    histogram BATCH_BYTES = "everfold_writer_batch_bytes" in SIZES;
    /// Time from sending a statement to its commit's confirmation.
    histogram COMMIT_SECONDS = "everfold_writer_commit_seconds" in TIMES;
    /// Appends (chains of them) that wait for the writer, or for the statement that they are in.
    gauge WAITING = "everfold_writer_waiting";
    /// Appends by what became of them in the log: appended, confirmed (a decision without events), replayed (a receipt),
    /// key-reused, conflict (the caller's expected version), stale (another host went on), predecessor-failed.
    counter APPENDS {"outcome"} = "everfold_appends_total";
    /// Events that this host has committed.
    counter EVENTS = "everfold_events_appended_total";
    /// Statements and connections of the writer that failed: unreachable, refused (data that PostgreSQL doesn't take),
    /// unavailable (a server that can't write), lost (no answer while a statement was out).
    counter WRITER_FAILURES {"kind"} = "everfold_writer_failures_total";
    /// Connections that the writer has opened: one, and one more for each that was lost.
    counter CONNECTS = "everfold_writer_connects_total";
    /// 1 while the writer has its connection to PostgreSQL. After a loss it is 0 until the next append makes it connect.
    gauge CONNECTED = "everfold_writer_connected";
    /// Appends that were out when the connection was lost, once their fate was known: committed, not-executed (sent again
    /// where the caller still waited).
    counter SETTLED {"outcome"} = "everfold_writer_settled_total";
    /// Failed statements beside the writer's: unavailable (no connection, or "not now"), failed (refused by PostgreSQL),
    /// corrupt (not what the host would have written).
    counter DATABASE_ERRORS {"kind"} = "everfold_database_errors_total";
    /// Connections of the pools that serve reads: used, idle.
    gauge CONNECTIONS {"state"} = "everfold_database_connections";
    /// The log's last position, as this host knows it: by its own commits at once, by those of others when it last looked.
    gauge LOG_HEAD = "everfold_log_head_position";
    /// Time since the log's last event was committed, by the database's clock, when this host last looked.
    gauge LOG_AGE = "everfold_log_last_commit_age_seconds";
    /// Positions that other hosts had committed and this one didn't know of when it last looked. Nothing in this host
    /// waits for them yet: with publishers it will be what they have to catch up with.
    gauge LOG_UNSEEN = "everfold_log_unseen_positions";
    /// 1 where the last look at the log succeeded, 0 where PostgreSQL didn't answer it.
    gauge DATABASE_UP = "everfold_database_up";
}

/// Counts an append's outcome.
pub(super) fn count(outcome: &AppendOutcome) {
    const NAMES: [&str; 7] =
        ["appended", "confirmed", "replayed", "key-reused", "conflict", "stale", "predecessor-failed"];
    static COUNTERS: LazyLock<[Counter; 7]> = LazyLock::new(|| NAMES.map(|name| APPENDS.counter([name])));
    let place = match outcome {
        AppendOutcome::Appended { .. } => 0,
        AppendOutcome::Confirmed { .. } => 1,
        AppendOutcome::Replayed(_) => 2,
        AppendOutcome::KeyReused => 3,
        AppendOutcome::Conflict { .. } => 4,
        AppendOutcome::Stale { .. } => 5,
        AppendOutcome::PredecessorFailed => 6,
    };
    COUNTERS[place].increment(1);
}
