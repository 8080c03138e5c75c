//! A small good history, made by hand, for each check to find fault with what a test makes of it.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::findings::Findings;
use super::index::Index;
use super::ledger::Ledger;
use crate::history::{
    Answer, Attempt, Call, Expected, History, Instant, Operation, Place, SeenSnapshot, Stream, Tail, TailedEvent,
};

/// What the operations of [`good`] are called here, in their order; ids are from 1.
const NAMES: [&str; 12] = [
    "deposit",
    "withdrawal",
    "unknown",
    "lost",
    "retried",
    "rejected",
    "touch",
    "conflict",
    "read",
    "stale read",
    "trap",
    "other stream",
];

/// Twelve operations in two streams, one after the other, and all that was seen of them.
pub(super) fn good() -> History {
    let (acme, globex) = (stream("acme"), stream("globex"));
    let mut ledger = Ledger::default();
    let mut history = History::default();
    let calls = [
        Call::Move { amounts: vec![100] },
        Call::Move { amounts: vec![-10, -20] },
        Call::Append { amounts: vec![5, 6] },
        Call::Move { amounts: vec![1] },
        Call::Move { amounts: vec![7] },
        Call::Move { amounts: vec![-1_000] },
        Call::Touch,
        Call::Move { amounts: vec![1] },
        Call::Read { stale: false },
        Call::Read { stale: true },
        Call::Trap,
        Call::Move { amounts: vec![3, 4] },
    ];
    for (call, (id, name)) in calls.into_iter().zip((1..).zip(NAMES)) {
        let mut made = operation(id, call);
        if name == "conflict" {
            made.expected = Expected::NoStream;
        }
        if name == "other stream" {
            made.stream = globex.clone();
        }
        perform(&mut made, name, &mut ledger);
        history.operations.push(made);
    }
    for name in ["deposit", "rejected"] {
        let operation = named(&mut history, name);
        let again = (operation.id, ledger.carry_out(operation, 0));
        history.late_retries.push(again);
    }
    history.tails = vec![tail("acme", &ledger), tail("globex", &ledger)];
    history.raw_tail = ledger.log.iter().map(|row| (row.position, row.event_id)).collect();
    history.snapshots = [0, 4].map(|version| snapshot(&acme, version, &ledger)).into();
    history.last_reads = [&acme, &globex].map(|stream| (0, stream.clone(), ledger.read(stream, 0))).into();
    history.log = ledger.log;
    history
}

/// The attempts at the operation that belong to its name.
fn perform(operation: &mut Operation, name: &str, ledger: &mut Ledger) {
    let begin = operation.id * 1_000;
    let unknown = || Answer::Unknown { why: "silence".to_owned() };
    let answer = match name {
        "lost" => unknown(),
        "stale read" => ledger.read(&operation.stream, 5),
        _ => ledger.carry_out(operation, begin + 50),
    };
    operation.attempts = match name {
        "unknown" => vec![attempt(begin, begin + 100, unknown())],
        "retried" => {
            let again = ledger.carry_out(operation, begin + 250);
            vec![attempt(begin, begin + 100, unknown()), attempt(begin + 200, begin + 300, again)]
        }
        _ => vec![attempt(begin, begin + 100, answer)],
    };
}

fn stream(tenant: &str) -> Stream {
    Stream { tenant: tenant.to_owned(), id: "a".to_owned() }
}

fn tail(tenant: &str, ledger: &Ledger) -> Tail {
    let rows = ledger.log.iter().filter(|row| row.stream.tenant == tenant);
    let events = rows.map(|row| TailedEvent {
        got: row.created_at as Instant + 1,
        position: row.position,
        event_id: row.event_id,
        stream: row.stream.clone(),
        version: row.version,
    });
    Tail { tenant: tenant.to_owned(), events: events.collect() }
}

fn snapshot(stream: &Stream, version: i64, ledger: &Ledger) -> SeenSnapshot {
    let row = ledger.log.iter().find(|row| row.stream == *stream && row.version == version).expect("it is there");
    SeenSnapshot {
        seen: row.created_at as Instant + 1,
        stream: stream.clone(),
        module: "5ca1ab1e".to_owned(),
        version,
        event_id: row.event_id,
        state: ledger.states[stream][version as usize].clone(),
    }
}

/// The operation of [`good`] with this name.
pub(super) fn named<'a>(history: &'a mut History, name: &str) -> &'a mut Operation {
    let place = NAMES.iter().position(|known| *known == name).expect("a known name");
    &mut history.operations[place]
}

/// Names of all promises that a check finds broken, each once.
pub(super) fn finds(history: &History, check: impl FnOnce(&Index<'_>, &mut Findings)) -> Vec<&'static str> {
    let mut findings = Findings::default();
    check(&Index::of(history), &mut findings);
    let promises: BTreeSet<_> = findings.into_violations().iter().map(|violation| violation.promise).collect();
    promises.into_iter().collect()
}

/// An operation in the stream `a` of `acme`, with a key, and without attempts yet.
pub(super) fn operation(id: u64, call: Call) -> Operation {
    let key = Some(format!("key-{id}"));
    Operation { id, client: 0, stream: stream("acme"), call, expected: Expected::Any, key, attempts: Vec::new() }
}

/// An attempt.
pub(super) fn attempt(sent: Instant, done: Instant, answer: Answer) -> Attempt {
    Attempt { host: 0, sent, done, answer }
}

/// Attempts with these answers, one after the other, early in time.
pub(super) fn answered(answers: &[Answer]) -> Vec<Attempt> {
    (0..).zip(answers).map(|(place, answer)| attempt(10 * place, 10 * place + 5, answer.clone())).collect()
}

/// Executed, with events at these versions and positions, ids as the ledger gives them.
pub(super) fn executed(places: &[(i64, i64)]) -> Answer {
    let place = |(version, position): &(i64, i64)| Place {
        event_id: Uuid::from_u128(position.unsigned_abs().into()),
        version: *version,
        position: *position,
    };
    let version = places.last().map_or(-1, |(version, _)| *version);
    Answer::Executed { version, events: places.iter().map(place).collect(), replayed: false }
}

/// Rejected on this balance.
pub(super) fn rejected(balance: i64) -> Answer {
    Answer::Rejected { code: "short".to_owned(), balance, replayed: false }
}

/// The same answer, said to be a replay.
pub(super) fn replayed(mut answer: Answer) -> Answer {
    if let Answer::Executed { replayed, .. } | Answer::Rejected { replayed, .. } = &mut answer {
        *replayed = true;
    }
    answer
}
