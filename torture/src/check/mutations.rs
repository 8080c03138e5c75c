//! The checks on random good histories: they find nothing, and whatever is then broken.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::simulated::{Shape, history};
use super::{Summary, run};
use crate::history::{Answer, Attempt, Call, Expected, History, Operation, VaultState};

const SHAPE: Shape = Shape { clients: 12, streams: 4, operations: 1_200 };
const SEEDS: std::ops::Range<u64> = 0..3;

#[test]
fn nothing_is_found_in_good_histories() {
    for seed in SEEDS {
        let history = history(seed, SHAPE);
        let summary = Summary::of(&history);
        let Summary { rejected, conflicts, unknown_then_settled, unknown_for_ever, .. } = summary;
        assert!(
            [rejected, conflicts, unknown_then_settled, unknown_for_ever].iter().all(|count| *count > 10),
            "a history has some of all: {summary}"
        );
        assert_eq!(run(&history), [], "seed {seed}");
    }
}

/// Breaks one thing somewhere.
type Break = fn(&mut History, &mut StdRng);

/// What must be found, and where what is broken.
const BROKEN: [(&str, &str, Break); 20] = [
    ("all-or-nothing", "an event is gone", an_event_is_gone),
    ("acknowledged-is-there", "a command is gone, as if it had never been", a_command_is_gone),
    ("positions-follow-real-time", "two positions are swapped", two_positions_are_swapped),
    ("executed-once", "a command is there twice", a_command_is_there_twice),
    ("acknowledged-as-answered", "another version was answered", another_version_was_answered),
    ("not-executed-not-there", "what was executed was answered as not", executed_answered_as_not),
    ("expected-version-held", "another version was expected", another_version_was_expected),
    ("linearizable", "a rejection on what never was", a_rejection_on_what_never_was),
    ("conflict-founded", "a conflict that is none", a_conflict_that_is_none),
    ("retries-answered-alike", "a late retry is executed again", a_late_retry_is_executed_again),
    ("states-are-committed-folds", "a read of what was never committed", an_uncommitted_read),
    ("strong-answers-are-fresh", "a read of the past", a_read_of_the_past),
    ("linearizable", "a read of the past, to the tester", a_read_of_the_past),
    ("tails-miss-nothing", "a tail with a gap", a_tail_with_a_gap),
    ("tails-in-order-once", "a tail out of order", a_tail_out_of_order),
    ("raw-tail-is-the-log", "a raw tail with a gap", a_raw_tail_with_a_gap),
    ("snapshots-go-forward", "a snapshot that goes back", a_snapshot_that_goes_back),
    ("own-tenant-only", "an event in another tenant's stream", an_event_of_another_tenant),
    ("created-at-monotone", "a time that goes back", a_time_that_goes_back),
    ("hosts-agree-at-last", "a host that ends in the past", a_host_that_ends_in_the_past),
];

#[test]
fn whatever_is_broken_is_found() {
    for seed in SEEDS {
        let good = history(seed, SHAPE);
        for (promise, what, break_it) in BROKEN {
            let mut broken = good.clone();
            break_it(&mut broken, &mut StdRng::seed_from_u64(seed));
            let violations = run(&broken);
            let is_found = violations.iter().any(|violation| violation.promise == promise);
            assert!(is_found, "seed {seed}, {what}: not {promise}, but {violations:#?}");
        }
    }
}

/// Measures the checks on many streams, on few busy ones, and where everybody wants the same two; a debug build is meant.
#[test]
#[ignore = "a measurement, not a test"]
fn how_long_the_checks_take() {
    let wide = Shape { clients: 64, streams: 1_000, operations: 300_000 };
    let busy = Shape { clients: 64, streams: 8, operations: 20_000 };
    let crowded = Shape { clients: 64, streams: 1, operations: 400 };
    for shape in [wide, busy, crowded] {
        let history = history(0, shape);
        let begun = std::time::Instant::now();
        assert_eq!(run(&history), []);
        println!("{}\nchecked in {:?}", Summary::of(&history), begun.elapsed());
    }
}

/// A random operation of which that is true.
fn any<'a>(history: &'a mut History, random: &mut StdRng, is_it: impl Fn(&Operation) -> bool) -> &'a mut Operation {
    let fit: Vec<usize> = (0..history.operations.len()).filter(|place| is_it(&history.operations[*place])).collect();
    &mut history.operations[fit[random.random_range(0..fit.len())]]
}

fn settled_with(operation: &Operation, is_it: impl Fn(&Answer) -> bool) -> bool {
    operation.settled().is_some_and(|attempt| is_it(&attempt.answer))
}

fn has_events(operation: &Operation) -> bool {
    settled_with(operation, |answer| matches!(answer, Answer::Executed { events, .. } if !events.is_empty()))
}

/// The answer that settled it.
fn answer(operation: &mut Operation) -> &mut Answer {
    let settled = operation.attempts.iter_mut().find(|attempt| attempt.answer.is_settling());
    &mut settled.expect("it was chosen for it").answer
}

fn an_event_is_gone(history: &mut History, random: &mut StdRng) {
    let several = |operation: &Operation| matches!(&operation.call, Call::Move { amounts } if amounts.len() > 1);
    let token = any(history, random, |operation| has_events(operation) && several(operation)).token();
    let place = history.log.iter().position(|row| row.token == token).expect("it is there");
    history.log.remove(place);
}

fn a_command_is_gone(history: &mut History, random: &mut StdRng) {
    let token = any(history, random, has_events).token();
    history.log.retain(|row| row.token != token);
    let mut heads = std::collections::HashMap::new();
    for (row, position) in history.log.iter_mut().zip(1..) {
        let head = heads.entry(row.stream.clone()).or_insert(-1);
        *head += 1;
        (row.position, row.version) = (position, *head);
    }
}

fn two_positions_are_swapped(history: &mut History, random: &mut StdRng) {
    let (early, late) = (random.random_range(0..100), history.log.len() - 1 - random.random_range(0..100));
    let (first, last) = (history.log[early].position, history.log[late].position);
    (history.log[early].position, history.log[late].position) = (last, first);
}

fn a_command_is_there_twice(history: &mut History, random: &mut StdRng) {
    let operation = any(history, random, has_events);
    let (token, stream) = (operation.token(), operation.stream.clone());
    let again: Vec<_> = history.log.iter().filter(|row| row.token == token).cloned().collect();
    let next = history.log.iter().filter(|row| row.stream == stream).count() as i64;
    for (mut row, version) in again.into_iter().zip(next..) {
        row.position = history.log.len() as i64 + 1;
        row.version = version;
        row.event_id = uuid::Uuid::from_u128(row.position.unsigned_abs().into());
        history.log.push(row);
    }
}

fn another_version_was_answered(history: &mut History, random: &mut StdRng) {
    let Answer::Executed { events, version, .. } = answer(any(history, random, has_events)) else { return };
    events.iter_mut().for_each(|place| place.version += 1);
    *version += 1;
}

fn executed_answered_as_not(history: &mut History, random: &mut StdRng) {
    let once = |operation: &Operation| has_events(operation) && operation.attempts.len() == 1;
    let operation = any(history, random, once);
    operation.attempts[0].answer = Answer::NotExecuted { code: "deadline".to_owned() };
    let id = operation.id;
    history.late_retries.retain(|(late, _)| *late != id);
}

fn another_version_was_expected(history: &mut History, random: &mut StdRng) {
    any(history, random, has_events).expected = Expected::Exact(1_000_000);
}

fn a_rejection_on_what_never_was(history: &mut History, random: &mut StdRng) {
    let free = |operation: &Operation| operation.expected == Expected::Any && operation.key.is_none();
    let is_it = |operation: &Operation| {
        let short = |answer: &Answer| matches!(answer, Answer::Rejected { balance, .. } if *balance > 0);
        free(operation) && settled_with(operation, short)
    };
    let operation = any(history, random, is_it);
    let Call::Move { amounts } = &mut operation.call else { return };
    amounts.insert(0, -1_000_000);
    let Answer::Rejected { balance, .. } = answer(operation) else { return };
    *balance += 100_000;
}

fn a_conflict_that_is_none(history: &mut History, random: &mut StdRng) {
    let is_it = |operation: &Operation| settled_with(operation, |answer| matches!(answer, Answer::Conflict { .. }));
    any(history, random, is_it).expected = Expected::Any;
}

fn a_late_retry_is_executed_again(history: &mut History, random: &mut StdRng) {
    let place = random.random_range(0..history.late_retries.len());
    let (Answer::Executed { version, .. } | Answer::Rejected { balance: version, .. }) =
        &mut history.late_retries[place].1
    else {
        return;
    };
    *version += 1;
}

fn is_strong_state(operation: &Operation) -> bool {
    operation.call == (Call::Read { stale: false })
        && settled_with(operation, |answer| matches!(answer, Answer::State { version, .. } if *version > 10))
}

fn an_uncommitted_read(history: &mut History, random: &mut StdRng) {
    let Answer::State { version, state } = answer(any(history, random, is_strong_state)) else { return };
    state.apply(&crate::vault::Moved { token: "acme/op-0", amount: 1 });
    *version += 1;
}

/// The oldest state that a strong read was shown, shown again to one that began long after.
fn a_read_of_the_past(history: &mut History, random: &mut StdRng) {
    let past = history.operations.iter().find(|operation| is_strong_state(operation)).expect("some").clone();
    let Attempt { done, answer: shown, .. } = past.settled().expect("it is").clone();
    let later = |operation: &Operation| {
        let newer = |answer: &Answer| match (answer, &shown) {
            (Answer::State { version, .. }, Answer::State { version: old, .. }) => *version > old + 20,
            _ => false,
        };
        operation.stream == past.stream && operation.began() > done && settled_with(operation, newer)
    };
    let is_it = |operation: &Operation| is_strong_state(operation) && later(operation);
    *answer(any(history, random, is_it)) = shown.clone();
}

fn a_tail_with_a_gap(history: &mut History, random: &mut StdRng) {
    let events = &mut history.tails[0].events;
    events.remove(random.random_range(0..events.len()));
}

fn a_tail_out_of_order(history: &mut History, random: &mut StdRng) {
    let events = &mut history.tails[1].events;
    let place = random.random_range(1..events.len());
    events.swap(place - 1, place);
}

fn a_raw_tail_with_a_gap(history: &mut History, random: &mut StdRng) {
    history.raw_tail.remove(random.random_range(0..history.raw_tail.len()));
}

fn a_snapshot_that_goes_back(history: &mut History, random: &mut StdRng) {
    let last = history.snapshots.len() - 1 - random.random_range(0..5);
    let stream = history.snapshots[last].stream.clone();
    let first = history.snapshots.iter().position(|snapshot| snapshot.stream == stream).expect("at least itself");
    assert_ne!(first, last, "the history is long enough for two");
    let again = history.snapshots[first].clone();
    history.snapshots.insert(last + 1, again);
}

fn an_event_of_another_tenant(history: &mut History, random: &mut StdRng) {
    let place = random.random_range(0..history.log.len());
    let tenant = &mut history.log[place].stream.tenant;
    *tenant = if tenant == "acme" { "globex" } else { "acme" }.to_owned();
}

fn a_time_that_goes_back(history: &mut History, random: &mut StdRng) {
    let place = random.random_range(1..history.log.len());
    history.log[place].created_at = 0;
}

fn a_host_that_ends_in_the_past(history: &mut History, random: &mut StdRng) {
    let place = random.random_range(0..history.last_reads.len());
    let first = VaultState::default();
    history.last_reads[place].2 = Answer::State { version: 0, state: first };
}
