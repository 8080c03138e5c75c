//! What of a stream's operations has a place in its order, and when that can be.

use crate::check::fate::Fate;
use crate::check::index::Index;
use crate::history::{Answer, Attempt, Call, Expected, Instant, Operation};

use super::spec::Asked;

/// Something that happened at one moment between two times.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) operation: &'a Operation,
    token: String,
    /// What was answered, or would have been.
    pub(super) told: Told,
    /// Not before.
    pub(super) from: Instant,
    /// Not after.
    pub(super) to: Instant,
}

/// An answer, as far as the order decides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// The version after it.
    Executed { version: i64 },
    /// The balance that the domain's no was decided on.
    Rejected { balance: i64 },
    /// The state.
    State { version: i64, balance: i64, digest: u64 },
    /// The stream has no events.
    Absent,
    /// The stream isn't as expected, but at this version.
    Conflict { actual: i64 },
}

impl<'a> Step<'a> {
    fn new(operation: &'a Operation, told: Told, from: Instant, to: Instant) -> Self {
        Self { operation, token: operation.token(), told, from, to }
    }

    fn attempt(operation: &'a Operation, attempt: &Attempt) -> Option<Self> {
        Some(Self::new(operation, Told::of(&attempt.answer)?, attempt.sent, attempt.done))
    }

    /// Whether the stream is another one after it.
    pub(super) fn is_write(&self) -> bool {
        matches!(self.told, Told::Executed { .. }) && self.operation.call != Call::Touch
    }

    /// The version that it shows the stream at: for a write the one after it.
    pub(super) fn told_version(&self) -> Option<i64> {
        match self.told {
            Told::Executed { version } | Told::State { version, .. } | Told::Conflict { actual: version } => {
                Some(version)
            }
            Told::Absent => Some(-1),
            Told::Rejected { .. } => None,
        }
    }

    /// How many events it makes where it is executed.
    pub(super) fn event_count(&self) -> i64 {
        match &self.operation.call {
            Call::Move { amounts } | Call::Append { amounts } => amounts.len() as i64,
            Call::Touch | Call::Trap | Call::Read { .. } => 0,
        }
    }

    /// The operation as it is put to the specification.
    pub(super) fn asked(&self) -> Asked<'_> {
        let expected = match self.operation.call {
            Call::Read { .. } => Expected::Any,
            _ => self.operation.expected,
        };
        Asked { id: self.operation.id, token: &self.token, call: &self.operation.call, expected }
    }
}

impl Told {
    fn of(answer: &Answer) -> Option<Self> {
        Some(match answer {
            Answer::Executed { version, .. } => Self::Executed { version: *version },
            Answer::Rejected { balance, .. } => Self::Rejected { balance: *balance },
            Answer::State { version, state } => {
                Self::State { version: *version, balance: state.balance, digest: state.digest }
            }
            Answer::Absent => Self::Absent,
            Answer::Conflict { actual } => Self::Conflict { actual: *actual },
            Answer::NotExecuted { .. } | Answer::Unknown { .. } | Answer::Wrong { .. } => return None,
        })
    }
}

/// The steps of a stream.
pub(super) fn of<'a>(index: &Index<'a>, operations: &[&'a Operation]) -> Vec<Step<'a>> {
    let mut steps: Vec<Step<'a>> = operations.iter().copied().flat_map(answered).collect();
    let in_flight = operations.iter().filter_map(|operation| in_flight(index, operation));
    steps.extend(in_flight);
    steps
}

/// What was answered: the outcome, which any attempt may have had, and which whoever was told it first had seen; and what
/// each attempt saw of the stream without an effect on it. Stale reads have no place in the order.
fn answered(operation: &Operation) -> Vec<Step<'_>> {
    if operation.call == (Call::Read { stale: true }) {
        return Vec::new();
    }
    let (outcomes, others): (Vec<&Attempt>, Vec<&Attempt>) =
        operation.attempts.iter().partition(|attempt| attempt.answer.is_outcome());
    let mut steps: Vec<Step<'_>> = others.into_iter().filter_map(|attempt| Step::attempt(operation, attempt)).collect();
    let outcome = outcomes.into_iter().min_by_key(|attempt| attempt.done);
    if let Some(mut step) = outcome.and_then(|attempt| Step::attempt(operation, attempt)) {
        step.from = operation.began();
        steps.push(step);
    }
    steps
}

/// What no attempt in time told the outcome of, and is in the log: it was executed, with what the log says for an answer,
/// at some time from its beginning on. What isn't in the log wasn't executed, or changed nothing that anybody saw.
fn in_flight<'a>(index: &Index<'a>, operation: &'a Operation) -> Option<Step<'a>> {
    if operation.attempts.iter().any(|attempt| attempt.answer.is_outcome()) {
        return None;
    }
    if matches!(Fate::of(index, operation), Fate::Nothing(_)) {
        return None;
    }
    let version = index.events_of(operation).last()?.version;
    Some(Step::new(operation, Told::Executed { version }, operation.began(), Instant::MAX))
}
