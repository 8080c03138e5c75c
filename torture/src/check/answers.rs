//! The answers by themselves: each one that such a request can have, and every attempt at one operation answered alike.

use super::findings::Findings;
use super::index::Index;
use crate::history::{Answer, Call, Expected, Instant, Operation};
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

/// Every attempt that is told an outcome is told the same one, and one attempt at most that it's its own. What was sent
/// when the outcome had been told is told that again: no later attempt can find anything else, for the receipt comes first.
fn check_alike<'a>(index: &Index<'a>, operation: &'a Operation, findings: &mut Findings) {
    let mut outcomes = index.answers_to(operation).filter(|answer| answer.is_outcome());
    let Some(outcome) = outcomes.clone().next() else { return };
    let told = || format!("{} on {} was answered {:?}", operation.token(), operation.stream, heard(index, operation));
    let in_time = operation.attempts.iter().filter(|attempt| attempt.answer.is_outcome()).map(|attempt| attempt.done);
    let known = in_time.min().unwrap_or(Instant::MAX);
    let repeated = operation.attempts.iter().filter(|attempt| attempt.sent > known).map(|attempt| &attempt.answer);
    let late = index.late_answers_to(operation).iter().copied();
    let mut again = repeated.chain(late.filter(|_| known != Instant::MAX));

    let is_alike = outcomes.all(|other| is_same(outcome, other))
        && again.clone().all(|answer| !answer.is_settling() || answer.is_outcome());
    findings.hold("retries-answered-alike", is_alike, told);
    let own = index.answers_to(operation).filter(|answer| is_own(answer)).count();
    findings.hold("replays-say-so", own <= 1 && !again.any(is_own), told);
}

/// Whether it is said to be the outcome of this very attempt.
fn is_own(answer: &Answer) -> bool {
    matches!(answer, Answer::Executed { replayed: false, .. } | Answer::Rejected { replayed: false, .. })
}

/// All that was heard, with the times of sending and answer where they are known.
fn heard<'a>(index: &Index<'a>, operation: &'a Operation) -> Vec<(Option<(Instant, Instant)>, &'a Answer)> {
    let attempts = operation.attempts.iter().map(|attempt| (Some((attempt.sent, attempt.done)), &attempt.answer));
    attempts.chain(index.late_answers_to(operation).iter().map(|answer| (None, *answer))).collect()
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
        operation.attempts.push(attempt(90_000, 90_001, replayed(executed(&[(7, 8)]))));
        assert_eq!(of(&history), ["retries-answered-alike"]);
        let mut history = good();
        named(&mut history, "rejected").attempts.push(attempt(90_000, 90_001, Answer::Conflict { actual: 7 }));
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

    #[test]
    fn of_two_attempts_at_once_one_may_be_told_that_it_is_a_replay_and_the_other_a_conflict_before() {
        let with = |attempts| {
            let mut history = good();
            let operation = named(&mut history, "deposit");
            (operation.expected, operation.attempts) = (Expected::NoStream, attempts);
            history.late_retries.clear();
            of(&history)
        };
        let (own, replay, conflict) =
            (executed(&[(0, 1)]), replayed(executed(&[(0, 1)])), Answer::Conflict { actual: 3 });
        assert_eq!(with(vec![attempt(1, 9, replay.clone()), attempt(2, 8, own.clone())]), [""; 0]);
        assert_eq!(with(vec![attempt(1, 9, own.clone()), attempt(2, 8, own.clone())]), ["replays-say-so"]);
        assert_eq!(with(vec![attempt(1, 5, replay.clone()), attempt(6, 8, own.clone())]), ["replays-say-so"]);
        assert_eq!(with(vec![attempt(1, 9, own.clone()), attempt(2, 8, conflict.clone())]), [""; 0]);
        assert_eq!(with(vec![attempt(1, 2, own), attempt(3, 8, conflict)]), ["retries-answered-alike"]);
    }
}
