//! Random good histories: clients with delays, lost answers, frozen requests and retries, in front of a ledger that takes
//! one request after the other.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::ledger::Ledger;
use crate::history::{
    Answer, Attempt, Call, Expected, History, Instant, Operation, SeenSnapshot, Stream, Tail, TailedEvent,
};

/// How large a history is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) clients: u32,
    /// For each of two tenants.
    pub(super) streams: u32,
    pub(super) operations: usize,
}

/// How long a request usually takes at most, on its way and back each.
const USUAL: Instant = 1_000;

const TENANTS: [&str; 2] = ["acme", "globex"];

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A client thinks of something to do.
    Next(u32),
    /// An attempt arrives at the ledger; the answer comes back, or doesn't.
    Arrival { operation: usize, attempt: usize, is_heard: bool },
    /// The client knows what it will know of an attempt.
    Done(usize),
}

struct Simulation {
    shape: Shape,
    random: StdRng,
    agenda: BinaryHeap<Reverse<(Instant, Event)>>,
    ledger: Ledger,
    operations: Vec<Operation>,
    /// Attempts under way, for each operation.
    under_way: Vec<usize>,
}

/// A good history.
pub(super) fn history(seed: u64, shape: Shape) -> History {
    let mut simulation = Simulation {
        shape,
        random: StdRng::seed_from_u64(seed),
        agenda: (0..shape.clients).map(|client| Reverse((u64::from(client) + 1, Event::Next(client)))).collect(),
        ledger: Ledger::default(),
        operations: Vec::with_capacity(shape.operations),
        under_way: Vec::with_capacity(shape.operations),
    };
    while let Some(Reverse((now, event))) = simulation.agenda.pop() {
        match event {
            Event::Next(client) => simulation.begin(client, now),
            Event::Arrival { operation, attempt, is_heard } => simulation.arrive(operation, attempt, is_heard, now),
            Event::Done(operation) => simulation.go_on(operation, now),
        }
    }
    simulation.end()
}

impl Simulation {
    fn begin(&mut self, client: u32, now: Instant) {
        if self.operations.len() == self.shape.operations {
            return;
        }
        let tenant = TENANTS[self.random.random_range(0..TENANTS.len())].to_owned();
        let stream = Stream { tenant, id: format!("v-{}", self.random.random_range(0..self.shape.streams)) };
        let call = self.call();
        let expected = self.expected(&stream);
        let id = self.operations.len() as u64 + 1;
        let is_read = matches!(call, Call::Read { .. });
        let key = (!is_read && self.random.random_bool(0.7)).then(|| format!("key-{id}"));
        let expected = if is_read { Expected::Any } else { expected };
        self.operations.push(Operation { id, client, stream, call, expected, key, attempts: Vec::new() });
        self.under_way.push(0);
        self.send(self.operations.len() - 1, now);
    }

    fn call(&mut self) -> Call {
        match self.random.random_range(0..100) {
            0..50 => Call::Move { amounts: self.amounts(-70) },
            50..60 => Call::Append { amounts: self.amounts(0) },
            60..68 => Call::Touch,
            68..70 => Call::Trap,
            70..92 => Call::Read { stale: false },
            _ => Call::Read { stale: true },
        }
    }

    fn amounts(&mut self, least: i64) -> Vec<i64> {
        (0..self.random.random_range(1..4)).map(|_| self.random.random_range(least..60)).collect()
    }

    fn expected(&mut self, stream: &Stream) -> Expected {
        let head = self.ledger.states.get(stream).map_or(0, Vec::len) as i64 - 1;
        match self.random.random_range(0..10) {
            0..6 => Expected::Any,
            6 => Expected::NoStream,
            7 => Expected::Exists,
            _ => Expected::Exact((head + self.random.random_range(-1..3)).max(0)),
        }
    }

    fn delay(&mut self) -> Instant {
        self.random.random_range(1..USUAL)
    }

    /// One more attempt. Some are never heard of, some are but take long to arrive, and some are turned away.
    fn send(&mut self, operation: usize, now: Instant) {
        let patience = now + 5 * USUAL;
        let attempt = self.operations[operation].attempts.len();
        let silence = Answer::Unknown { why: "silence".to_owned() };
        let arrival = |is_heard| Event::Arrival { operation, attempt, is_heard };
        let given_up = (patience, Event::Done(operation));
        let (coming, done, answer) = match self.random.random_range(0..100) {
            0..82 => (vec![(now + self.delay(), arrival(true))], patience, silence),
            82..90 => {
                let late = now + self.delay() * self.random.random_range(1..20);
                (vec![(late, arrival(false)), given_up], patience, silence)
            }
            90..94 => (vec![given_up], patience, silence),
            _ => {
                let done = now + self.delay();
                let no = Answer::NotExecuted { code: "overloaded".to_owned() };
                (vec![(done, Event::Done(operation))], done, no)
            }
        };
        self.agenda.extend(coming.into_iter().map(Reverse));
        self.under_way[operation] += 1;
        self.operations[operation].attempts.push(Attempt { host: 0, sent: now, done, answer });
    }

    fn arrive(&mut self, operation: usize, attempt: usize, is_heard: bool, now: Instant) {
        let behind = self.random.random_range(0..4);
        let asked = &self.operations[operation];
        let answer = match asked.call {
            Call::Read { stale: true } => self.ledger.read(&asked.stream, behind),
            _ => self.ledger.carry_out(asked, now),
        };
        if is_heard {
            let done = now + self.delay();
            let Attempt { done: told_at, answer: told, .. } = &mut self.operations[operation].attempts[attempt];
            (*told_at, *told) = (done, answer);
            self.agenda.push(Reverse((done, Event::Done(operation))));
        }
    }

    /// Tries again, perhaps twice at once and perhaps although it has its answer, or something else.
    fn go_on(&mut self, operation: usize, now: Instant) {
        self.under_way[operation] -= 1;
        if self.under_way[operation] > 0 {
            return;
        }
        let then = now + self.delay();
        let done = &self.operations[operation];
        let is_enough = if done.settled().is_some() { 0.9 } else { 0.1 };
        if done.key.is_none() || done.attempts.len() >= 4 || self.random.random_bool(is_enough) {
            self.agenda.push(Reverse((then, Event::Next(self.operations[operation].client))));
            return;
        }
        for _ in 0..self.random.random_range(1..3) {
            self.send(operation, then);
        }
    }

    /// The late retries and last reads, and what the readers got.
    fn end(mut self) -> History {
        let mut history = History::default();
        let is_retried = |operation: &&Operation| {
            let outcome = operation.settled().is_some_and(|attempt| attempt.answer.is_outcome());
            outcome && operation.key.is_some()
        };
        for operation in self.operations.iter().filter(is_retried) {
            history.late_retries.push((operation.id, self.ledger.carry_out(operation, Instant::MAX)));
        }
        for stream in self.ledger.states.keys() {
            history.last_reads.extend((0..2).map(|host| (host, stream.clone(), self.ledger.read(stream, 0))));
        }
        history.tails = TENANTS.map(|tenant| self.tail(tenant)).into();
        history.raw_tail = self.ledger.log.iter().map(|row| (row.position, row.event_id)).collect();
        history.snapshots = self.snapshots();
        history.operations = self.operations;
        history.log = self.ledger.log;
        history
    }

    fn tail(&mut self, tenant: &str) -> Tail {
        let mut tail = Tail { tenant: tenant.to_owned(), events: Vec::new() };
        let mut got = 0;
        for row in self.ledger.log.iter().filter(|row| row.stream.tenant == tenant) {
            got = got.max(row.created_at as Instant + self.random.random_range(0..USUAL));
            let (stream, event_id) = (row.stream.clone(), row.event_id);
            tail.events.push(TailedEvent { got, position: row.position, event_id, stream, version: row.version });
        }
        tail
    }

    fn snapshots(&self) -> Vec<SeenSnapshot> {
        let due = self.ledger.log.iter().filter(|row| row.version % 5 == 4);
        let snapshot = due.map(|row| SeenSnapshot {
            seen: row.created_at as Instant + USUAL,
            stream: row.stream.clone(),
            module: "5ca1ab1e".to_owned(),
            version: row.version,
            event_id: row.event_id,
            state: self.ledger.states[&row.stream][row.version as usize].clone(),
        });
        snapshot.collect()
    }
}
