//! Commands against the log: what was answered is there, once and whole; what was surely not executed isn't; what nobody
//! knows is there whole or not at all.

use super::fate::Fate;
use super::findings::Findings;
use super::index::Index;
use crate::history::{Call, Expected, LogRow, Operation, Place};
use crate::vault::overdrawn;

pub(super) fn check(index: &Index<'_>, findings: &mut Findings) {
    for operation in &index.history.operations {
        let rows = index.events_of(operation);
        match Fate::of(index, operation) {
            Fate::Executed(places) => check_places(operation, places, rows, findings),
            Fate::Nothing(why) => findings.hold("not-executed-not-there", rows.is_empty(), || {
                format!("{} is in the log at {}, though {why}", operation.token(), tell(rows))
            }),
            Fate::Open => {}
        }
        if !rows.is_empty() {
            check_whole(operation, rows, findings);
            check_conditions(index, operation, rows, findings);
        }
    }
}

/// What was answered is where it was answered to be.
fn check_places(operation: &Operation, places: &[Place], rows: &[&LogRow], findings: &mut Findings) {
    let token = operation.token();
    if rows.is_empty() {
        findings.add("acknowledged-is-there", || {
            format!("{token} was acknowledged in {} with {places:?}, and isn't in the log", operation.stream)
        });
        return;
    }
    let same = |(place, row): (&Place, &&LogRow)| {
        (place.event_id, place.version, place.position) == (row.event_id, row.version, row.position)
    };
    let all = places.len() == rows.len() && places.iter().zip(rows).all(same);
    findings.hold("acknowledged-as-answered", all, || {
        format!("{token} was answered {places:?}, and is in the log at {}", tell(rows))
    });
}

/// All of the operation's events are there, once, in order, with nothing in between.
fn check_whole(operation: &Operation, rows: &[&LogRow], findings: &mut Findings) {
    let (Call::Move { amounts } | Call::Append { amounts }) = &operation.call else { return };
    let token = operation.token();
    findings.hold("executed-once", rows.len() <= amounts.len(), || {
        format!("{token} wanted {amounts:?}, and is in the log at {}", tell(rows))
    });
    let wanted = |(row, nth): (&&LogRow, u32)| row.nth == nth && amounts.get(nth as usize) == Some(&row.amount);
    let all = rows.len() == amounts.len() && rows.iter().zip(0..).all(wanted);
    findings.hold("all-or-nothing", all, || {
        format!("{token} wanted {amounts:?}, and has {} of them in the log, or others, at {}", rows.len(), tell(rows))
    });
    let together =
        rows.windows(2).all(|pair| pair[1].version == pair[0].version + 1 && pair[1].position == pair[0].position + 1);
    findings.hold("committed-together", together, || format!("{token} is scattered over {}", tell(rows)));
}

/// The stream was as expected, and the domain said yes to what was committed before.
fn check_conditions(index: &Index<'_>, operation: &Operation, rows: &[&LogRow], findings: &mut Findings) {
    let first = rows[0].version;
    let as_expected = match operation.expected {
        Expected::Any => true,
        Expected::NoStream => first == 0,
        Expected::Exists => first > 0,
        Expected::Exact(version) => first == version + 1,
    };
    findings.hold("expected-version-held", as_expected, || {
        format!("{} expected {:?}, and begins at version {first}", operation.token(), operation.expected)
    });
    let Call::Move { amounts } = &operation.call else { return };
    let Some(before) = index.balance(&operation.stream, first - 1) else { return };
    findings.hold("decided-on-committed", !overdrawn(before, amounts), || {
        format!("{} moves {amounts:?} on a balance of {before} at version {}", operation.token(), first - 1)
    });
}

/// Where rows are, as versions and positions.
fn tell(rows: &[&LogRow]) -> String {
    let places = rows.iter().map(|row| {
        let LogRow { stream, version, position, event_id, nth, amount, .. } = row;
        format!("{stream} v{version} p{position} (its {nth}, {amount}, {event_id})")
    });
    places.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::made::{answered, finds, good, named, rejected};
    use super::*;
    use crate::history::{Answer, History};

    fn of(history: &History) -> Vec<&'static str> {
        finds(history, check)
    }

    /// The rows of the named operation.
    fn rows<'a>(history: &'a mut History, name: &str) -> Vec<&'a mut LogRow> {
        let token = named(history, name).token();
        history.log.iter_mut().filter(|row| row.token == token).collect()
    }

    #[test]
    fn good_commands_pass() {
        assert_eq!(of(&good()), [""; 0]);
    }

    #[test]
    fn an_acknowledged_command_that_is_lost_is_found() {
        let mut history = good();
        let token = named(&mut history, "withdrawal").token();
        history.log.retain(|row| row.token != token);
        assert_eq!(of(&history), ["acknowledged-is-there"]);
    }

    #[test]
    fn answers_that_name_other_places_are_found() {
        let changes: [fn(&mut Place); 3] =
            [|place| place.version += 1, |place| place.position += 1, |place| place.event_id = uuid::Uuid::nil()];
        for change in changes {
            let mut history = good();
            let attempt = named(&mut history, "deposit").attempts.last_mut();
            let Answer::Executed { events, .. } = &mut attempt.expect("it has one").answer else { unreachable!() };
            change(&mut events[0]);
            assert_eq!(of(&history), ["acknowledged-as-answered"]);
        }
    }

    #[test]
    fn events_of_what_was_not_executed_are_found() {
        let no = [rejected(0), Answer::NotExecuted { code: "deadline".to_owned() }];
        for answer in no {
            let mut history = good();
            named(&mut history, "deposit").attempts = answered(&[answer]);
            history.late_retries.clear();
            assert_eq!(of(&history), ["not-executed-not-there"]);
        }
        let mut history = good();
        named(&mut history, "withdrawal").call = Call::Touch;
        assert_eq!(of(&history), ["not-executed-not-there"]);
    }

    #[test]
    fn a_command_that_was_executed_twice_is_found() {
        let mut history = good();
        let mut again: Vec<LogRow> = rows(&mut history, "unknown").into_iter().map(|row| row.clone()).collect();
        let head = history.log.len() as i64;
        again.iter_mut().zip(1..).for_each(|(row, place)| row.position = head + place);
        history.log.extend(again);
        assert_eq!(of(&history), ["all-or-nothing", "committed-together", "executed-once"]);
    }

    #[test]
    fn half_of_a_command_that_nobody_knows_of_is_found() {
        let mut history = good();
        rows(&mut history, "unknown")[1].token = "acme/op-777".to_owned();
        assert_eq!(of(&history), ["all-or-nothing"]);
        let mut history = good();
        rows(&mut history, "unknown")[0].amount = 9;
        assert_eq!(of(&history), ["all-or-nothing"]);
        let mut history = good();
        rows(&mut history, "unknown")[1].nth = 0;
        assert_eq!(of(&history), ["all-or-nothing"]);
    }

    #[test]
    fn events_of_one_command_with_others_in_between_are_found() {
        let mut history = good();
        rows(&mut history, "unknown")[1].position += 100;
        assert_eq!(of(&history), ["committed-together"]);
    }

    #[test]
    fn an_expectation_that_did_not_hold_is_found() {
        for expected in [Expected::NoStream, Expected::Exact(1)] {
            let mut history = good();
            named(&mut history, "withdrawal").expected = expected;
            assert_eq!(of(&history), ["expected-version-held"]);
        }
        let mut history = good();
        named(&mut history, "deposit").expected = Expected::Exists;
        assert_eq!(of(&history), ["expected-version-held"]);
    }

    #[test]
    fn a_decision_on_what_was_not_committed_is_found() {
        let mut history = good();
        let Call::Move { amounts } = &mut named(&mut history, "withdrawal").call else { unreachable!() };
        amounts[0] = -1_000;
        rows(&mut history, "withdrawal")[0].amount = -1_000;
        assert_eq!(of(&history), ["decided-on-committed"]);
    }
}
