//! What anyone saw of the log while the run went on, and when: whatever was seen was committed by then.

use std::fmt;

use super::index::Index;
use crate::history::{Answer, Call, Instant, LogRow, Operation};

/// An event that was committed at some time at the latest, for something that followed from it was seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    /// When.
    pub(super) at: Instant,
    /// The event, with all before it.
    pub(super) row: &'a LogRow,
    /// By whom.
    pub(super) by: Witness<'a>,
}

/// Who saw.
#[derive(Debug, Clone, Copy)]
pub(super) enum Witness<'a> {
    /// The client of this operation, by an answer.
    Client(&'a Operation),
    /// A live reader.
    Tail,
    /// The reader of `snapshots`.
    Snapshot,
}

impl fmt::Display for Witness<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(operation) => {
                let call = match operation.call {
                    Call::Move { .. } => "move",
                    Call::Touch => "touch",
                    Call::Trap => "trap",
                    Call::Append { .. } => "append",
                    Call::Read { stale: false } => "read",
                    Call::Read { stale: true } => "stale read",
                };
                write!(out, "the answer to {} ({call})", operation.token())
            }
            Self::Tail => out.write_str("a live reader"),
            Self::Snapshot => out.write_str("a snapshot"),
        }
    }
}

/// The version that an answer shows the stream at.
pub(super) fn version_in(answer: &Answer) -> Option<i64> {
    match answer {
        Answer::Executed { version, .. } | Answer::State { version, .. } => Some(*version),
        Answer::Conflict { actual } => Some(*actual),
        Answer::Absent => Some(-1),
        Answer::Rejected { .. } | Answer::NotExecuted { .. } | Answer::Unknown { .. } | Answer::Wrong { .. } => None,
    }
}

/// All that was seen, in the order of time. What the log doesn't have is another check's matter.
pub(super) fn all<'a>(index: &Index<'a>) -> Vec<Seen<'a>> {
    let history = index.history;
    let mut seen = Vec::with_capacity(history.operations.len());
    for operation in &history.operations {
        for attempt in &operation.attempts {
            let row = version_in(&attempt.answer).and_then(|version| index.row(&operation.stream, version));
            seen.extend(row.map(|row| Seen { at: attempt.done, row, by: Witness::Client(operation) }));
        }
    }
    for event in history.tails.iter().flat_map(|tail| &tail.events) {
        let row = index.row(&event.stream, event.version);
        seen.extend(row.map(|row| Seen { at: event.got, row, by: Witness::Tail }));
    }
    for snapshot in &history.snapshots {
        let row = index.row(&snapshot.stream, snapshot.version);
        seen.extend(row.map(|row| Seen { at: snapshot.seen, row, by: Witness::Snapshot }));
    }
    seen.sort_by_key(|seen| seen.at);
    seen
}
