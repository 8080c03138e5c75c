//! How much there was to check: a run in which nothing happened breaks no promise.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::history::{Answer, Call, History, Operation};

/// Counts of what a history holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// Operations of every kind.
    pub(crate) operations: usize,
    /// Requests: attempts at operations.
    pub(crate) attempts: usize,
    /// Operations answered with an outcome that isn't a rejection: with events, or without.
    pub(crate) acknowledged: usize,
    /// Operations answered with the domain's no.
    pub(crate) rejected: usize,
    /// Operations whose end was a conflict.
    pub(crate) conflicts: usize,
    /// Reads that were answered.
    pub(crate) reads: usize,
    /// Operations surely not executed, by answers other than conflicts.
    pub(crate) not_executed: usize,
    /// Operations with an unknown attempt that a later attempt settled.
    pub(crate) unknown_then_settled: usize,
    /// Operations, without reads, of which nobody heard what came of them.
    pub(crate) unknown_for_ever: usize,
    /// Attempts after everything was over at operations that had settled before.
    pub(crate) late_retries: usize,
    /// Events in the log.
    pub(crate) events: usize,
    /// Streams with operations, each checked for linearizability.
    pub(crate) streams: usize,
    /// Events that live readers got.
    pub(crate) tailed: usize,
    /// Snapshots seen.
    pub(crate) snapshots: usize,
    /// States read from each host after everything was over.
    pub(crate) last_reads: usize,
}

impl Summary {
    /// Counts.
    pub(crate) fn of(history: &History) -> Self {
        let mut summary = Self {
            operations: history.operations.len(),
            attempts: history.operations.iter().map(|operation| operation.attempts.len()).sum(),
            late_retries: history.late_retries.len(),
            events: history.log.len(),
            streams: history.operations.iter().map(|operation| &operation.stream).collect::<HashSet<_>>().len(),
            tailed: history.raw_tail.len() + history.tails.iter().map(|tail| tail.events.len()).sum::<usize>(),
            snapshots: history.snapshots.len(),
            last_reads: history.last_reads.len(),
            ..Self::default()
        };
        history.operations.iter().for_each(|operation| summary.count(operation));
        summary
    }

    fn count(&mut self, operation: &Operation) {
        let is_unknown = operation.attempts.iter().any(|attempt| matches!(attempt.answer, Answer::Unknown { .. }));
        let settled = operation.settled().map(|attempt| &attempt.answer);
        if is_unknown && settled.is_some() {
            self.unknown_then_settled += 1;
        }
        match settled {
            Some(Answer::Executed { .. }) => self.acknowledged += 1,
            Some(Answer::Rejected { .. }) => self.rejected += 1,
            Some(Answer::Conflict { .. }) => self.conflicts += 1,
            Some(_) => self.reads += 1,
            None if operation.surely_not_executed() => self.not_executed += 1,
            None if matches!(operation.call, Call::Read { .. }) => {}
            None => self.unknown_for_ever += 1,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operations, attempts, acknowledged, rejected, conflicts, reads, not_executed, .. } = self;
        let Self { unknown_then_settled, unknown_for_ever, late_retries, events, .. } = self;
        let Self { streams, tailed, snapshots, last_reads, .. } = self;
        writeln!(out, "{operations} operations in {attempts} attempts on {streams} streams:")?;
        writeln!(out, "  {acknowledged} acknowledged, {rejected} rejected, {conflicts} conflicts, {reads} reads,")?;
        writeln!(out, "  {not_executed} surely not executed, {unknown_then_settled} unknown and then settled,")?;
        writeln!(out, "  {unknown_for_ever} unknown for ever; {late_retries} tried again after everything was over")?;
        write!(out, "{events} events in the log, {tailed} got by live readers, ")?;
        write!(out, "{snapshots} snapshots seen, {last_reads} last reads")
    }
}

#[cfg(test)]
mod tests {
    use super::super::made::good;
    use super::*;

    #[test]
    fn every_operation_is_counted_once() {
        let summary = Summary::of(&good());
        let Summary { acknowledged, rejected, conflicts, reads, not_executed, unknown_for_ever, .. } = summary;
        let counted = acknowledged + rejected + conflicts + reads + not_executed + unknown_for_ever;
        assert_eq!(counted, summary.operations);
        assert_eq!([rejected, conflicts, reads, not_executed, unknown_for_ever], [1, 1, 2, 1, 2]);
        assert_eq!(summary.unknown_then_settled, 1);
        let told = summary.to_string();
        assert!(told.contains("2 unknown for ever"), "{told}");
    }
}
