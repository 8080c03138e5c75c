//! Refusals that only a bad module excuses: a host that was given none must not answer them.

use super::findings::Findings;
use super::index::Index;
use crate::history::{Answer, Attempt, Call, Instant, Operation};

/// How long after a bad module was replaced a host may still have it: it looks, compiles, registers the new one in the log,
/// which a silent network holds up for half a minute a time, and swaps; perhaps on a machine that is busy, or frozen.
const SLACK: Instant = 90_000_000_000;

/// The faults that bring such modules, as the command line names them.
const POISONED: &str = "module-poisoned";
const UNFOLDING: &str = "module-unfolding";

pub(super) fn check(index: &Index<'_>, findings: &mut Findings) {
    for operation in &index.history.operations {
        for attempt in &operation.attempts {
            let Answer::NotExecuted { code } = &attempt.answer else { continue };
            let Some(excuses) = excuses(operation, code) else { continue };
            findings.hold("refusals-have-a-reason", is_excused(index, attempt, excuses), || {
                let (token, host) = (operation.token(), attempt.host);
                format!("{token} was answered {code} by host {host}, which had no module that explains it: {attempt:?}")
            });
        }
    }
}

/// The faults that excuse a code; none where it needs no excuse.
fn excuses(operation: &Operation, code: &str) -> Option<&'static [&'static str]> {
    match code {
        // A host has no module when it has started while there was half of one, or while the database was away, in which
        // modules are registered: too many faults bring that about for one to be told as its reason.
        "unknown-aggregate" => None,
        "module-trapped" if operation.call != Call::Trap => Some(&[POISONED]),
        "module-quarantined" => Some(&[POISONED, UNFOLDING]),
        "unfoldable-event" | "module-answer-invalid" => Some(&[UNFOLDING]),
        _ => None,
    }
}

fn is_excused(index: &Index<'_>, attempt: &Attempt, excuses: &[&str]) -> bool {
    index.history.disturbances.iter().any(|it| {
        it.host == attempt.host
            && excuses.contains(&it.fault.as_str())
            && it.begin <= attempt.done
            && attempt.sent <= it.end + SLACK
    })
}

#[cfg(test)]
mod tests {
    use super::super::made::{answered, finds, good, named};
    use super::*;
    use crate::history::{Disturbance, History};

    /// A good history in which the deposit was answered with this code, while the host had such a fault.
    fn refused(code: &str, fault: &str, host: usize) -> History {
        let mut history = good();
        named(&mut history, "deposit").attempts = answered(&[Answer::NotExecuted { code: code.to_owned() }]);
        history.disturbances = vec![Disturbance { fault: fault.to_owned(), host, begin: 0, end: 1 }];
        history
    }

    #[test]
    fn what_a_bad_module_explains_is_excused() {
        for (code, fault) in
            [("module-trapped", POISONED), ("module-quarantined", POISONED), ("unfoldable-event", UNFOLDING)]
        {
            let mut history = refused(code, fault, 0);
            history.disturbances[0].host = named(&mut history, "deposit").attempts[0].host;
            assert_eq!(finds(&history, check), [""; 0], "{code}");
        }
        assert_eq!(finds(&refused("overloaded", "host-killed", 0), check), [""; 0]);
    }

    #[test]
    fn what_nothing_explains_is_found() {
        assert_eq!(finds(&refused("module-trapped", POISONED, 99), check), ["refusals-have-a-reason"]);
        assert_eq!(finds(&refused("unfoldable-event", "module-swapped", 0), check), ["refusals-have-a-reason"]);
        let mut late = refused("module-trapped", POISONED, 0);
        let attempt = &mut named(&mut late, "deposit").attempts[0];
        (attempt.sent, attempt.done) = (SLACK + 5, SLACK + 6);
        late.disturbances[0].host = named(&mut late, "deposit").attempts[0].host;
        assert_eq!(finds(&late, check), ["refusals-have-a-reason"]);
    }
}
