//! The answers by themselves: each one that such a request can have, and every attempt at one operation answered alike.

use super::findings::Findings;
use super::index::Index;
use crate::history::{Answer, Call, Expected, Operation};
use crate::vault::overdrawn;

pub(super) fn check(index: &Index<'_>, findings: &mut Findings) {
    for operation in &index.history.operations {
        for answer in index.answers_to(operation) {
            check_answer(index, operation, answer, findings);
        }
        check_alike(index, operation, findings);
    }
    for (id, answer) in &index.history.late_retries {
        findings.hold("late-retry-settles", answer.is_settling(), || {
            format!("op-{id} was tried again after everything was over, and answered {answer:?}")
        });
    }
}

fn check_answer(index: &Index<'_>, operation: &Operation, answer: &Answer, findings: &mut Findings) {
    let told = || {
        format!(
            "{} on {}: {:?} if {:?} was answered {answer:?}",
            operation.token(),
            operation.stream,
            operation.call,
            operation.expected
        )
    };
    match answer {
        Answer::Wrong { .. } => findings.add("no-wrong-answers", told),
        // Every operation has a key of its own, and every attempt asks for the same.
        Answer::NotExecuted { code } => findings.hold("no-wrong-answers", code != "idempotency-key-reused", told),
        Answer::Conflict { actual } => {
            findings.hold("conflict-founded", is_conflict(operation.expected, *actual), told);
        }
        Answer::Rejected { .. } => findings.hold("rejection-founded", is_rejection(index, operation, answer), told),
        Answer::Executed { .. } | Answer::State { .. } | Answer::Absent => {
            findings.hold("answer-fits", fits(operation, answer), told);
        }
        Answer::Unknown { .. } => {}
    }
}

/// Whether a stream at this version isn't as expected.
fn is_conflict(expected: Expected, actual: i64) -> bool {
    match expected {
        Expected::Any => false,
        Expected::NoStream => actual >= 0,
        Expected::Exists => actual < 0,
        Expected::Exact(version) => actual != version,
    }
}

/// Whether the domain says this no, on a state of which the expected version tells that it was so.
fn is_rejection(index: &Index<'_>, operation: &Operation, answer: &Answer) -> bool {
    let (Call::Move { amounts }, Answer::Rejected { code, balance, .. }) = (&operation.call, answer) else {
        return false;
    };
    let was = match operation.expected {
        Expected::NoStream => Some(0),
        Expected::Exact(version) => index.balance(&operation.stream, version),
        Expected::Any | Expected::Exists => Some(*balance),
    };
    code == "short" && overdrawn(*balance, amounts) && was == Some(*balance)
}

/// Whether a success is one that the call can have.
fn fits(operation: &Operation, answer: &Answer) -> bool {
    match (&operation.call, answer) {
        (Call::Move { amounts } | Call::Append { amounts }, Answer::Executed { version, events, .. }) => {
            events.len() == amounts.len() && events.last().is_some_and(|last| last.version == *version)
        }
        (Call::Touch, Answer::Executed { version, events, .. }) => {
            events.is_empty() && *version >= -1 && !is_conflict(operation.expected, *version)
        }
        (Call::Read { .. }, Answer::State { .. } | Answer::Absent) => true,
        _ => false,
    }
}

/// From the outcome on every attempt is answered with it, as a replay. Before it stand only attempts that say nothing of
/// an outcome.
fn check_alike(index: &Index<'_>, operation: &Operation, findings: &mut Findings) {
    let mut answers = index.answers_to(operation).skip_while(|answer| !answer.is_outcome());
    let Some(first) = answers.next() else { return };
    for again in answers.filter(|answer| answer.is_settling()) {
        let told =
            || format!("{} on {} was answered {first:?}, and again {again:?}", operation.token(), operation.stream);
        if !is_same(first, again) {
            findings.add("retries-answered-alike", told);
        } else if !matches!(again, Answer::Executed { replayed: true, .. } | Answer::Rejected { replayed: true, .. }) {
            findings.add("replays-say-so", told);
        }
    }
}

/// Whether both name the same outcome.
fn is_same(one: &Answer, other: &Answer) -> bool {
    match (one, other) {
        (
            Answer::Executed { version, events, .. },
            Answer::Executed { version: other_version, events: other_events, .. },
        ) => version == other_version && events == other_events,
        (Answer::Rejected { code, balance, .. }, Answer::Rejected { code: other_code, balance: other_balance, .. }) => {
            code == other_code && balance == other_balance
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::made::{answered, attempt, executed, finds, good, named, replayed};
    use super::*;
    use crate::history::History;

    fn of(history: &History) -> Vec<&'static str> {
        finds(history, check)
    }

    /// What is found where the named operation is answered like this.
    fn if_answered(name: &str, answer: Answer) -> Vec<&'static str> {
        let mut history = good();
        named(&mut history, name).attempts = answered(&[answer]);
        history.late_retries.clear();
        of(&history)
    }

    #[test]
    fn good_answers_pass() {
        assert_eq!(of(&good()), [""; 0]);
    }

    #[test]
    fn answers_that_no_host_may_give_are_found() {
        let wrong = Answer::Wrong { what: "500 internal".to_owned() };
        assert_eq!(if_answered("deposit", wrong), ["no-wrong-answers"]);
        let reused = Answer::NotExecuted { code: "idempotency-key-reused".to_owned() };
        assert_eq!(if_answered("deposit", reused), ["no-wrong-answers"]);
    }

    #[test]
    fn conflicts_that_are_none_are_found() {
        assert_eq!(if_answered("deposit", Answer::Conflict { actual: 3 }), ["conflict-founded"]);
        assert_eq!(if_answered("conflict", Answer::Conflict { actual: -1 }), ["conflict-founded"]);
        for (expected, actual) in [(Expected::Exact(2), 2), (Expected::NoStream, -1), (Expected::Exists, 0)] {
            assert!(!is_conflict(expected, actual), "{expected:?}");
        }
        for (expected, actual) in [(Expected::Exact(2), 1), (Expected::NoStream, 0), (Expected::Exists, -1)] {
            assert!(is_conflict(expected, actual), "{expected:?}");
        }
    }

    #[test]
    fn rejections_without_reason_are_found() {
        let rejected = |code: &str, balance| Answer::Rejected { code: code.to_owned(), balance, replayed: false };
        assert_eq!(if_answered("rejected", rejected("short", 1_000)), ["rejection-founded"]);
        assert_eq!(if_answered("rejected", rejected("closed", 0)), ["rejection-founded"]);
        assert_eq!(if_answered("touch", rejected("short", 0)), ["rejection-founded"]);
        let mut history = good();
        named(&mut history, "rejected").expected = Expected::NoStream;
        assert_eq!(of(&history), ["rejection-founded"]);
    }

    #[test]
    fn successes_that_such_a_call_cannot_have_are_found() {
        assert_eq!(if_answered("touch", executed(&[(4, 9)])), ["answer-fits"]);
        assert_eq!(if_answered("deposit", executed(&[])), ["answer-fits"]);
        assert_eq!(if_answered("deposit", Answer::Absent), ["answer-fits"]);
        assert_eq!(if_answered("trap", executed(&[])), ["answer-fits"]);
        let mut history = good();
        named(&mut history, "touch").expected = Expected::NoStream;
        assert_eq!(of(&history), ["answer-fits"]);
    }

    #[test]
    fn retries_that_are_answered_otherwise_are_found() {
        let mut history = good();
        let operation = named(&mut history, "deposit");
        operation.attempts.push(attempt(90, 91, replayed(executed(&[(7, 8)]))));
        assert_eq!(of(&history), ["retries-answered-alike"]);
        let mut history = good();
        named(&mut history, "rejected").attempts.push(attempt(90, 91, Answer::Conflict { actual: 7 }));
        assert_eq!(of(&history), ["conflict-founded", "retries-answered-alike"]);
    }

    #[test]
    fn late_retries_that_do_not_say_that_they_are_replays_are_found() {
        let mut history = good();
        let id = named(&mut history, "retried").id;
        history.late_retries = vec![(id, executed(&[(5, 6)]))];
        assert_eq!(of(&history), ["replays-say-so"]);
        history.late_retries = vec![(id, Answer::Unknown { why: "silence".to_owned() })];
        assert_eq!(of(&history), ["late-retry-settles"]);
    }
}
