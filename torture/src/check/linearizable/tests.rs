//! What the tester finds, and that what makes it quick changes none of it.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::check::made::{attempt, executed, finds, good, named, operation, rejected, replayed};
use crate::check::simulated::{Shape, history};
use crate::history::{Answer, Call, Expected, History};
use spec::Asked;
use steps::Told;

fn of(history: &History) -> Vec<&'static str> {
    finds(history, check)
}

/// Operations of one stream at these times, with these answers.
fn history_of(done: Vec<(Call, (u64, u64), Answer)>) -> History {
    let operations = (1..).zip(done).map(|(id, (call, (sent, returned), answer))| Operation {
        attempts: vec![attempt(sent, returned, answer)],
        ..operation(id, call)
    });
    History { operations: operations.collect(), ..History::default() }
}

fn moved(amounts: &[i64]) -> Call {
    Call::Move { amounts: amounts.to_vec() }
}

fn touched(version: i64) -> Answer {
    Answer::Executed { version, events: Vec::new(), replayed: false }
}

#[test]
fn a_good_history_is_linearizable() {
    assert_eq!(of(&good()), [""; 0]);
}

#[test]
fn what_was_under_way_at_once_may_have_happened_in_any_order() {
    for (first, second) in [(0, 1), (1, 0)] {
        let history = history_of(vec![
            (moved(&[5]), (1, 10), executed(&[(first, first + 1)])),
            (moved(&[5]), (2, 9), executed(&[(second, second + 1)])),
            (Call::Touch, (3, 4), touched(0)),
            (Call::Read { stale: false }, (1, 2), Answer::Absent),
        ]);
        assert_eq!(of(&history), [""; 0]);
    }
}

#[test]
fn what_was_over_before_the_other_began_has_one_order() {
    let history =
        history_of(vec![(moved(&[5]), (1, 2), executed(&[(1, 2)])), (moved(&[5]), (3, 4), executed(&[(0, 1)]))]);
    assert_eq!(of(&history), ["linearizable"]);
}

#[test]
fn a_rejection_on_an_older_balance_is_found() {
    let history = |sent| {
        history_of(vec![(moved(&[5]), (1, 10), executed(&[(0, 1)])), (moved(&[-3]), (sent, sent + 5), rejected(0))])
    };
    assert_eq!(of(&history(9)), [""; 0]);
    assert_eq!(of(&history(11)), ["linearizable"]);
}

#[test]
fn a_conflict_comes_before_a_rejection() {
    let with = |answer| {
        let mut history = history_of(vec![(moved(&[5]), (1, 2), executed(&[(0, 1)])), (moved(&[-9]), (3, 4), answer)]);
        history.operations[1].expected = Expected::NoStream;
        of(&history)
    };
    assert_eq!(with(Answer::Conflict { actual: 0 }), [""; 0]);
    assert_eq!(with(rejected(5)), ["linearizable"]);
    assert_eq!(with(Answer::Conflict { actual: 1 }), ["linearizable"]);
}

#[test]
fn reads_that_go_back_in_time_are_found() {
    let mut history = good();
    let stale = named(&mut history, "stale read");
    stale.call = Call::Read { stale: false };
    assert_eq!(of(&history), ["linearizable"]);
}

#[test]
fn an_unknown_operation_counts_where_the_log_has_it() {
    let mut history = good();
    let unknown = named(&mut history, "unknown");
    unknown.attempts[0].sent = 1_000_000;
    unknown.attempts[0].done = 1_000_001;
    assert_eq!(of(&history), ["linearizable"], "others had seen it before it began");
    let mut history = good();
    let token = named(&mut history, "unknown").token();
    history.log.retain(|row| row.token != token);
    assert_eq!(of(&history), ["linearizable"], "what the others were told can't be without it");
}

#[test]
fn a_retry_may_be_told_what_the_first_attempt_did() {
    let history = |first: Answer| {
        let mut history = history_of(vec![(moved(&[5]), (1, 2), first), (moved(&[6]), (3, 4), executed(&[(1, 2)]))]);
        history.operations[0].attempts.push(attempt(5, 6, replayed(executed(&[(0, 1)]))));
        of(&history)
    };
    assert_eq!(history(Answer::Unknown { why: "silence".to_owned() }), [""; 0]);
    assert_eq!(history(Answer::NotExecuted { code: "deadline".to_owned() }), ["linearizable"]);
}

#[test]
fn of_two_attempts_at_once_the_one_that_was_told_first_counts() {
    let history = |sent| {
        let (first, second) =
            ((moved(&[5]), (1, 20), executed(&[(0, 1)])), (Call::Touch, (sent, sent + 4), touched(-1)));
        let mut history = history_of(vec![first, second]);
        history.operations[0].attempts.push(attempt(2, 10, replayed(executed(&[(0, 1)]))));
        of(&history)
    };
    assert_eq!(history(10), [""; 0]);
    assert_eq!(history(11), ["linearizable"]);
}

#[test]
fn a_search_without_time_is_undecided() {
    let history = good();
    let verdicts = verdicts(&Index::of(&history), Duration::ZERO);
    assert!(verdicts.iter().all(|(_, verdict)| matches!(verdict, Verdict::Undecided(_))), "{verdicts:?}");
}

#[test]
fn much_at_once_that_has_no_order_is_decided_all_the_same() {
    let mut done = vec![(moved(&[5]), (1, 1_000), executed(&[(0, 1)]))];
    done.extend((0..60).map(|place| (Call::Touch, (2 * place + 2, 2 * place + 200), touched(0))));
    done.push((moved(&[-9]), (2_000, 2_001), rejected(4)));
    done.push((Call::Touch, (900, 3_000), touched(0)));
    let verdict = of(&history_of(done));
    assert_eq!(verdict, ["linearizable"]);
}

/// The specification alone, without what the search remembers.
#[derive(Clone)]
struct Plain<'a>(Vault<'a>);

impl<'a> stateright::semantics::SequentialSpec for Plain<'a> {
    type Op = Asked<'a>;
    type Ret = Told;

    fn invoke(&mut self, asked: &Asked<'a>) -> Told {
        self.0.invoke(asked)
    }
}

/// The verdict of the tester with a lane for every step, on the history in one piece.
fn is_plainly_linearizable(steps: &[Step<'_>]) -> bool {
    let search = Search::new(Instant::now());
    let mut tester = LinearizabilityTester::new(Plain(Vault::new(VaultState::default(), &search)));
    let mut events: Vec<(u64, bool, usize)> = Vec::new();
    for (place, step) in steps.iter().enumerate() {
        events.extend([(step.from, false, place), (step.to, true, place)]);
    }
    events.sort_unstable();
    for (_, is_return, place) in events {
        let step = &steps[place];
        let told = if is_return { tester.on_return(place, step.told) } else { tester.on_invoke(place, step.asked()) };
        told.expect("every step has a lane");
    }
    tester.is_consistent()
}

#[test]
fn the_quick_search_decides_as_the_plain_one() {
    let (mut yes, mut no) = (0, 0);
    for seed in 0..400 {
        let mut history = history(seed, Shape { clients: 5, streams: 1, operations: 13 });
        let mut random = StdRng::seed_from_u64(seed);
        let place = random.random_range(0..history.operations.len());
        let attempt = &mut history.operations[place].attempts[0];
        let shift = random.random_range(0..4_000);
        (attempt.sent, attempt.done) = (attempt.sent + shift, attempt.done + shift);
        if let Answer::Executed { version: told, .. } | Answer::Rejected { balance: told, .. } = &mut attempt.answer {
            *told += random.random_range(0..2);
        }
        let index = Index::of(&history);
        let stream = &history.operations[place].stream;
        let operations: Vec<_> = history.operations.iter().filter(|one| one.stream == *stream).collect();
        let plain = is_plainly_linearizable(&steps::of(&index, &operations));
        let quick = judge(steps::of(&index, &operations), Instant::now() + PATIENCE);
        assert_eq!(quick == Verdict::Linearizable, plain, "seed {seed}: {quick:?}");
        *if plain { &mut yes } else { &mut no } += 1;
    }
    assert!(yes > 50 && no > 50, "{yes} and {no}: both must have been decided often");
}
