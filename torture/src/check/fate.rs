//! What became of an operation, by all that was heard of it: what the log must, may and must not have of it.

use super::index::Index;
use crate::history::{Answer, Call, Expected, Operation, Place};

/// What is known of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate<'a> {
    /// It was answered with these events: the log has them.
    Executed(&'a [Place]),
    /// It made no events, for this reason.
    Nothing(&'static str),
    /// Nobody knows: the log has all of its events or none.
    Open,
}

impl<'a> Fate<'a> {
    pub(super) fn of(index: &Index<'a>, operation: &'a Operation) -> Self {
        if !matches!(operation.call, Call::Move { .. } | Call::Append { .. }) {
            return Self::Nothing("such a call makes no events");
        }
        let answers = index.answers_to(operation);
        match answers.clone().find(|answer| answer.is_outcome()) {
            Some(Answer::Executed { events, .. }) if !events.is_empty() => return Self::Executed(events),
            Some(_) => return Self::Nothing("it was answered that it made no events"),
            None => {}
        }
        if answers.clone().all(Answer::is_without_effect) {
            return Self::Nothing("every attempt was answered in a way that says that it did nothing");
        }
        if answers.clone().any(|answer| is_ruled_out(operation.expected, answer)) {
            return Self::Nothing("the stream had gone past the expected version");
        }
        Self::Open
    }
}

/// Whether a conflict says that no other attempt did anything either, or ever will.
///
/// A receipt is looked for before the expected version is, so no attempt had taken effect by then. Later none can where
/// the stream had gone past the expected version, for versions only grow. But one that is still under way, perhaps on a
/// host that is frozen, may find a stream that hadn't yet come to an exact version there, or one that didn't yet exist.
fn is_ruled_out(expected: Expected, answer: &Answer) -> bool {
    let Answer::Conflict { actual } = answer else { return false };
    match expected {
        Expected::Exact(version) => *actual > version,
        Expected::NoStream => *actual >= 0,
        Expected::Any | Expected::Exists => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::made::{answered, executed, operation, rejected};
    use super::*;
    use crate::history::History;

    /// Whether the operation is surely without events, open (`None`), or surely with.
    fn has_events(expected: Expected, answers: &[Answer], late: &[Answer]) -> Option<bool> {
        let mut operation = operation(1, Call::Move { amounts: vec![1] });
        operation.expected = expected;
        operation.attempts = answered(answers);
        let late_retries = late.iter().map(|answer| (1, answer.clone())).collect();
        let history = History { operations: vec![operation], late_retries, ..History::default() };
        match Fate::of(&Index::of(&history), &history.operations[0]) {
            Fate::Executed(_) => Some(true),
            Fate::Nothing(_) => Some(false),
            Fate::Open => None,
        }
    }

    const ANY: Expected = Expected::Any;

    fn unknown() -> Answer {
        Answer::Unknown { why: "silence".to_owned() }
    }

    fn not_executed() -> Answer {
        Answer::NotExecuted { code: "deadline".to_owned() }
    }

    fn conflict(actual: i64) -> Answer {
        Answer::Conflict { actual }
    }

    #[test]
    fn an_outcome_settles_it_whatever_came_before() {
        assert_eq!(has_events(ANY, &[unknown(), not_executed(), executed(&[(0, 1)])], &[]), Some(true));
        assert_eq!(has_events(ANY, &[unknown(), rejected(0)], &[]), Some(false));
        assert_eq!(has_events(ANY, &[unknown()], &[executed(&[(0, 1)])]), Some(true));
        assert_eq!(has_events(Expected::Exists, &[conflict(-1)], &[executed(&[(1, 2)])]), Some(true));
    }

    #[test]
    fn one_unknown_attempt_leaves_it_open() {
        assert_eq!(has_events(ANY, &[not_executed(), not_executed()], &[]), Some(false));
        assert_eq!(has_events(ANY, &[not_executed(), unknown(), not_executed()], &[]), None);
        assert_eq!(has_events(Expected::Exists, &[conflict(-1)], &[unknown()]), None);
    }

    #[test]
    fn a_conflict_rules_an_unknown_attempt_out_only_where_versions_have_gone_past() {
        assert_eq!(has_events(Expected::Exact(4), &[conflict(7)], &[]), Some(false));
        assert_eq!(has_events(Expected::Exact(4), &[unknown(), conflict(7)], &[]), Some(false));
        assert_eq!(has_events(Expected::NoStream, &[unknown(), conflict(0)], &[]), Some(false));
        assert_eq!(has_events(Expected::Exact(4), &[unknown(), conflict(3)], &[]), None);
        assert_eq!(has_events(Expected::Exists, &[unknown(), conflict(-1)], &[]), None);
    }
}
