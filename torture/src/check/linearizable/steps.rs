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

    /// The version that the stream has reached where this is told.
    fn version(self) -> Option<i64> {
        match self {
            Self::Executed { version } | Self::State { version, .. } | Self::Conflict { actual: version } => {
                Some(version)
            }
            Self::Rejected { .. } | Self::Absent => None,
        }
    }
}

/// The steps of a stream.
pub(super) fn of<'a>(index: &Index<'a>, operations: &[&'a Operation]) -> Vec<Step<'a>> {
    let mut steps: Vec<Step<'a>> = operations.iter().copied().flat_map(answered).collect();
    let in_flight = operations.iter().filter_map(|operation| in_flight(index, *operation));
    let mut in_flight: Vec<Step<'a>> = in_flight.collect();
    bound(&mut in_flight, &steps);
    steps.append(&mut in_flight);
    steps
}

/// What was answered: the outcome, which the first attempt already may have had, and whatever any attempt saw of the
/// stream without an effect on it. Stale reads have no place in the order.
fn answered(operation: &Operation) -> Vec<Step<'_>> {
    if operation.call == (Call::Read { stale: true }) {
        return Vec::new();
    }
    let mut steps = Vec::new();
    for attempt in &operation.attempts {
        let mut step = Step::attempt(operation, attempt);
        if attempt.answer.is_outcome() {
            step.iter_mut().for_each(|step| step.from = operation.began());
            steps.extend(step);
            // What further attempts are told is the same outcome again.
            break;
        }
        steps.extend(step);
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

/// Operations in flight for ever would leave the rest of the stream's history in one piece. But whoever was told a version
/// was told so after everything up to it: no order in which the versions rise has an operation in flight later than that.
fn bound(in_flight: &mut [Step<'_>], answered: &[Step<'_>]) {
    let told = |step: &Step<'_>| Some((step.told.version()?, step.to));
    let mut seen: Vec<(i64, Instant)> = answered.iter().filter_map(told).collect();
    seen.sort_unstable();
    // The earliest return among those that were told this version or a later one.
    let mut earliest = Instant::MAX;
    for (_, returned) in seen.iter_mut().rev() {
        earliest = earliest.min(*returned);
        *returned = earliest;
    }
    for step in in_flight {
        let Some(version) = step.told.version() else { continue };
        let first = seen.partition_point(|(seen, _)| *seen < version);
        let by = seen.get(first).map_or(Instant::MAX, |(_, returned)| *returned);
        // What was seen before it began is wrong, and for the search to find.
        step.to = by.max(step.from);
    }
}
