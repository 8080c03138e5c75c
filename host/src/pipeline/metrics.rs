//! What a request's path measures: outcomes, the time of each stage, what is under way, what is kept.

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};
use std::time::Instant;

use metrics::{Counter, Histogram};

use super::RequestError;
use crate::model::{AggregateType, Executed, Outcome, metric_table};

metric_table! {
    /// Commands by aggregate type and outcome: ok, rejected, or the code of the problem that was answered. Without a type
    /// where no module has declared it.
    counter COMMANDS {"aggregate_type", "outcome"} = "everfold_commands_total";
    /// Raw appends by outcome, as for commands.
    counter RAW_APPENDS {"outcome"} = "everfold_raw_appends_total";
    /// Reads of states by outcome, as for commands.
    counter STATE_READS {"outcome"} = "everfold_state_reads_total";
    /// Time of a command from its parsed request to its answer, whatever that was.
    histogram COMMAND_SECONDS = "everfold_command_seconds" in TIMES;
    /// Time of a command's stages: queue (until its stream's turn), fold (where the aggregate wasn't in memory), decide
    /// (the module's decide and apply), append (until the commit that holds it is confirmed).
    histogram STAGE_SECONDS {"stage"} = "everfold_command_stage_seconds" in TIMES;
    /// Requests that a shard has, those that wait for their stream's turn among them.
    gauge SHARD_REQUESTS {"shard"} = "everfold_shard_requests";
    /// Requests that the host has, over all shards: beyond `writer_queue` they are answered overloaded.
    gauge REQUESTS = "everfold_requests";
    /// Aggregates that are kept in memory between commands.
    gauge RESIDENTS = "everfold_residents";
    /// Aggregates that had to make room for others.
    counter EVICTIONS = "everfold_resident_evictions_total";
    /// Streams that were folded from the log.
    counter FOLDS = "everfold_folds_total";
    /// Streams that weren't in memory and were taken for new without a look at the log: where that is wrong, the append
    /// says so, which counts as a conflict, and the stream is folded.
    counter GUESSES = "everfold_guesses_total";
    /// Events that were folded from the log.
    counter FOLDED_EVENTS = "everfold_folded_events_total";
    /// Decisions that another host's append overtook, and that were made again.
    counter CONFLICTS = "everfold_command_conflicts_total";
    /// Commands that were tried again alone in a fresh instance, because the guest failed.
    counter RETRIES = "everfold_command_retries_total";
    /// Answers that came from the receipt of an earlier request with the same idempotency key.
    counter REPLAYS = "everfold_receipts_replayed_total";
    /// Snapshots: written, dropped (too many waited), failed (PostgreSQL didn't take it), restored (a fold began with it),
    /// unusable (its module can't take it).
    counter SNAPSHOTS {"fate"} = "everfold_snapshots_total";
}

/// The stages of a command.
pub(super) struct Stages {
    pub(super) queue: Histogram,
    pub(super) fold: Histogram,
    pub(super) decide: Histogram,
    pub(super) append: Histogram,
}

pub(super) static STAGES: LazyLock<Stages> = LazyLock::new(|| Stages {
    queue: STAGE_SECONDS.histogram(["queue"]),
    fold: STAGE_SECONDS.histogram(["fold"]),
    decide: STAGE_SECONDS.histogram(["decide"]),
    append: STAGE_SECONDS.histogram(["append"]),
});

/// What became of snapshots.
pub(super) struct Snapshots {
    pub(super) written: Counter,
    pub(super) dropped: Counter,
    pub(super) failed: Counter,
    pub(super) restored: Counter,
    pub(super) unusable: Counter,
}

pub(super) static SNAPSHOT: LazyLock<Snapshots> = LazyLock::new(|| Snapshots {
    written: SNAPSHOTS.counter(["written"]),
    dropped: SNAPSHOTS.counter(["dropped"]),
    failed: SNAPSHOTS.counter(["failed"]),
    restored: SNAPSHOTS.counter(["restored"]),
    unusable: SNAPSHOTS.counter(["unusable"]),
});

/// The counters of commands, found once for each type and outcome that there is.
#[derive(Default)]
pub(super) struct CommandCounters(RwLock<HashMap<AggregateType, HashMap<&'static str, Counter>>>);

impl CommandCounters {
    /// Counts a command; `declared` where a module has its type: what callers invent must not make metrics.
    pub(super) fn count(
        &self,
        aggregate_type: &AggregateType,
        declared: bool,
        answer: &Result<Executed, RequestError>,
        begun: Instant,
    ) {
        COMMAND_SECONDS.record(begun.elapsed());
        let outcome = outcome_of(answer);
        if !declared {
            COMMANDS.counter(["", outcome]).increment(1);
            return;
        }
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = known.get(aggregate_type).and_then(|outcomes| outcomes.get(outcome)) {
            return counter.increment(1);
        }
        drop(known);
        let counter = COMMANDS.counter([aggregate_type.as_str().to_owned(), outcome.to_owned()]);
        counter.increment(1);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(aggregate_type.clone()).or_default().insert(outcome, counter);
    }
}

/// `ok`, `rejected`, or a problem's code.
pub(super) fn outcome_of(answer: &Result<Executed, RequestError>) -> &'static str {
    match answer {
        Ok(Executed { outcome: Outcome::Rejected { .. }, .. }) => "rejected",
        Ok(_) => "ok",
        Err(error) => error.code(),
    }
}
