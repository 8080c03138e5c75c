//! Reads: every state that was ever shown is a fold of what is committed, and a strong one isn't older than what anyone
//! had seen before it was asked for.

use std::collections::HashMap;

use super::findings::Findings;
use super::index::Index;
use super::seen::{Seen, version_in};
use crate::history::{Answer, Call, Instant, Operation, Stream, VaultState};

/// `seen` in the order of time.
pub(super) fn check(index: &Index<'_>, seen: &[Seen<'_>], findings: &mut Findings) {
    check_shown(index, findings);
    check_fresh(index, seen, findings);
    check_last(index, findings);
}

fn check_shown(index: &Index<'_>, findings: &mut Findings) {
    for operation in &index.history.operations {
        for attempt in &operation.attempts {
            if let Answer::State { version, state } = &attempt.answer {
                check_state(index, &operation.stream, (*version, state), || operation.token(), findings);
            }
        }
    }
}

fn check_state(
    index: &Index<'_>,
    stream: &Stream,
    (version, state): (i64, &VaultState),
    reader: impl Fn() -> String,
    findings: &mut Findings,
) {
    findings.hold("states-are-committed-folds", index.is_state(stream, version, state), || {
        let folded = index.tell_state(stream, version);
        format!("{} was shown {stream} at version {version} as {state:?}; the log has {folded}", reader())
    });
}

/// An answer that shows the stream at a version, as of some time after it was asked for.
struct Claim<'a> {
    asked: Instant,
    version: i64,
    operation: &'a Operation,
    answer: &'a Answer,
}

/// Sweeps over time with the newest version that anyone had seen of each stream.
fn check_fresh(index: &Index<'_>, seen: &[Seen<'_>], findings: &mut Findings) {
    let mut claims: Vec<Claim<'_>> = index.history.operations.iter().flat_map(claims_of).collect();
    claims.sort_by_key(|claim| claim.asked);
    let mut newest: HashMap<&Stream, &Seen<'_>> = HashMap::new();
    let mut seen = seen.iter().peekable();
    for Claim { asked, version, operation, answer } in claims {
        while let Some(next) = seen.next_if(|next| next.at < asked) {
            let newest = newest.entry(&next.row.stream).or_insert(next);
            if newest.row.version < next.row.version {
                *newest = next;
            }
        }
        let Some(before) = newest.get(&operation.stream) else { continue };
        findings.hold("strong-answers-are-fresh", before.row.version <= version, || {
            format!(
                "{} was sent at {asked} ns, and answered {answer:?}; {} was seen at version {} at {} ns, in {}",
                operation.token(),
                operation.stream,
                before.row.version,
                before.at,
                before.by,
            )
        });
    }
}

/// What the operation's answers claim. Answers with events are left to what says more of them; an outcome without events
/// may be an earlier attempt's.
fn claims_of(operation: &Operation) -> impl Iterator<Item = Claim<'_>> {
    let is_stale = operation.call == Call::Read { stale: true };
    let attempts = operation.attempts.iter().filter(move |_| !is_stale);
    attempts.filter_map(|attempt| {
        let answer = &attempt.answer;
        let asked = if answer.is_outcome() { operation.began() } else { attempt.sent };
        Some(Claim { asked, version: version_in(answer)?, operation, answer })
    })
}

/// After everything was over every host shows the end of every stream.
fn check_last(index: &Index<'_>, findings: &mut Findings) {
    for (host, stream, answer) in &index.history.last_reads {
        let head = index.head(stream);
        let is_last = match answer {
            Answer::State { version, state } => {
                check_state(index, stream, (*version, state), || format!("host {host} at last"), findings);
                *version == head
            }
            Answer::Absent => head == -1,
            _ => false,
        };
        findings.hold("hosts-agree-at-last", is_last, || {
            format!("host {host} answered {answer:?} for {stream}, which ends at version {head}")
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::made::{finds, good, named};
    use super::super::seen;
    use super::*;
    use crate::history::History;

    fn of(history: &History) -> Vec<&'static str> {
        finds(history, |index, findings| check(index, &seen::all(index), findings))
    }

    /// The state that the named read was shown.
    fn shown<'a>(history: &'a mut History, name: &str) -> (&'a mut i64, &'a mut VaultState) {
        match &mut named(history, name).attempts.last_mut().expect("it has one").answer {
            Answer::State { version, state } => (version, state),
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn good_reads_pass() {
        assert_eq!(of(&good()), [""; 0]);
    }

    #[test]
    fn a_state_that_was_never_committed_is_found() {
        for name in ["read", "stale read"] {
            let changes: [fn(&mut VaultState); 4] = [
                |state| state.balance += 1,
                |state| state.entries += 1,
                |state| state.digest ^= 1,
                |state| state.last.push('0'),
            ];
            for change in changes {
                let mut history = good();
                change(shown(&mut history, name).1);
                assert_eq!(of(&history), ["states-are-committed-folds"]);
            }
        }
        let mut history = good();
        *shown(&mut history, "stale read").0 = 1_000;
        assert_eq!(of(&history), ["states-are-committed-folds"]);
    }

    #[test]
    fn a_strong_read_of_an_older_state_is_found_and_a_stale_one_is_fine() {
        let mut history = good();
        named(&mut history, "stale read").call = Call::Read { stale: false };
        assert_eq!(of(&history), ["strong-answers-are-fresh"]);
        let mut history = good();
        named(&mut history, "read").attempts[0].answer = Answer::Absent;
        assert_eq!(of(&history), ["strong-answers-are-fresh"]);
    }

    #[test]
    fn conflicts_and_empty_decisions_on_an_older_state_are_found() {
        let mut history = good();
        named(&mut history, "conflict").attempts[0].answer = Answer::Conflict { actual: 0 };
        assert_eq!(of(&history), ["strong-answers-are-fresh"]);
        let mut history = good();
        let Answer::Executed { version, .. } = &mut named(&mut history, "touch").attempts[0].answer else {
            unreachable!()
        };
        *version = 0;
        assert_eq!(of(&history), ["strong-answers-are-fresh"]);
    }

    #[test]
    fn a_host_that_ends_elsewhere_is_found() {
        let mut history = good();
        history.last_reads[0].2 = Answer::Absent;
        assert_eq!(of(&history), ["hosts-agree-at-last"]);
        history.last_reads[0].2 = Answer::Unknown { why: "silence".to_owned() };
        assert_eq!(of(&history), ["hosts-agree-at-last"]);
        let mut history = good();
        let Answer::State { state, .. } = &mut history.last_reads[0].2 else { unreachable!() };
        state.balance += 1;
        assert_eq!(of(&history), ["states-are-committed-folds"]);
        let mut history = good();
        let nobody = Stream { tenant: "acme".to_owned(), id: "nobody's".to_owned() };
        history.last_reads.push((0, nobody, Answer::Absent));
        assert_eq!(of(&history), [""; 0]);
    }
}
