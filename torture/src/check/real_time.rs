//! Positions follow real time, over all clients and streams: what anyone had seen before an operation began lies before
//! what the operation wrote.

use super::findings::Findings;
use super::index::Index;
use super::seen::Seen;
use crate::history::Operation;

/// `seen` in the order of time.
pub(super) fn check(index: &Index<'_>, seen: &[Seen<'_>], findings: &mut Findings) {
    let mut writers: Vec<&Operation> = index.history.operations.iter().collect();
    writers.retain(|operation| !index.events_of(operation).is_empty());
    writers.sort_by_key(|operation| operation.began());
    let mut seen = seen.iter().peekable();
    let mut furthest: Option<&Seen<'_>> = None;
    for operation in writers {
        let began = operation.began();
        while let Some(next) = seen.next_if(|next| next.at < began) {
            if furthest.is_none_or(|furthest| furthest.row.position < next.row.position) {
                furthest = Some(next);
            }
        }
        let (Some(before), first) = (furthest, index.events_of(operation)[0]) else { continue };
        findings.hold("positions-follow-real-time", before.row.position < first.position, || {
            let Seen { at, row, by } = before;
            format!(
                "{} began at {began} ns, and has position {}; position {} ({}) was seen at {at} ns, in {by}",
                operation.token(),
                first.position,
                row.position,
                row.token,
            )
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::made::{finds, good, named};
    use super::super::seen;
    use super::*;
    use crate::history::{Answer, History};

    fn of(history: &History) -> Vec<&'static str> {
        finds(history, |index, findings| check(index, &seen::all(index), findings))
    }

    #[test]
    fn good_times_pass() {
        assert_eq!(of(&good()), [""; 0]);
    }

    #[test]
    fn an_acknowledgement_before_a_command_began_that_precedes_it_is_found() {
        let mut history = good();
        let late = named(&mut history, "other stream").attempts[0].done;
        for attempt in &mut named(&mut history, "deposit").attempts {
            (attempt.sent, attempt.done) = (late + 1, late + 2);
        }
        assert_eq!(of(&history), ["positions-follow-real-time"]);
    }

    #[test]
    fn what_readers_saw_counts_as_well() {
        let mut history = good();
        history.tails[0].events.last_mut().expect("some").got = 0;
        assert_eq!(of(&history), ["positions-follow-real-time"]);
        let mut history = good();
        history.snapshots.last_mut().expect("some").seen = 0;
        assert_eq!(of(&history), ["positions-follow-real-time"]);
    }

    #[test]
    fn an_attempt_that_surely_did_nothing_does_not_count_as_its_beginning() {
        let mut history = good();
        let acknowledged = named(&mut history, "other stream").attempts[0].done;
        let retried = named(&mut history, "retried");
        for attempt in &mut retried.attempts[1..] {
            (attempt.sent, attempt.done) = (acknowledged + 1, acknowledged + 2);
        }
        assert_eq!(of(&history), [""; 0], "the first attempt may have done it");
        named(&mut history, "retried").attempts[0].answer = Answer::NotExecuted { code: "deadline".to_owned() };
        assert_eq!(of(&history), ["positions-follow-real-time"]);
    }
}
