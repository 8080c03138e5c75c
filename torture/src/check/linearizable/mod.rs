//! Linearizability: the answers of each stream are those that one vault would have given, asked one thing after the
//! other in an order that respects real time. Decided by stateright's tester.
//!
//! The tester searches depth first. A few things keep that affordable without taking anything from what it decides:
//! - A stream's history is cut wherever nothing was under way: what comes before precedes what comes after in any order.
//!   What was told a version was under way no longer than that version allows: see [`narrow`].
//! - Operations share threads of the tester ("lanes") wherever one had returned before the next was invoked.
//! - Those that change nothing have lanes of their own, which the tester tries first, and then the first step that fits is
//!   as good as any: see [`lanes`]. Were this wrong, an order might be missed, which would show as a violation; none can be
//!   made up. A test compares with the search that leaves nothing out.

mod lanes;
mod narrow;
mod spec;
mod steps;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stateright::semantics::{ConsistencyTester as _, LinearizabilityTester, SequentialSpec as _};

use super::findings::Findings;
use super::index::Index;
use crate::history::{Operation, Stream, VaultState};
use lanes::Lane;
use spec::{Search, Vault};
use steps::Step;

/// Time for one stream. None comes near to it, unless it isn't linearizable and much was under way at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// The tester goes one call deeper for each operation, and keeps what remains on the way. Reserved, not used, as a rule.
const STACK: usize = 1 << 30;

/// What came of one stream.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Linearizable,
    /// No order fits; how far the search came.
    Not(String),
    /// The time was up; how far the search came.
    Undecided(String),
}

pub(super) fn check(index: &Index<'_>, findings: &mut Findings) {
    for (stream, verdict) in verdicts(index, PATIENCE) {
        match verdict {
            Verdict::Linearizable => {}
            Verdict::Not(how_far) => findings.add("linearizable", || format!("{stream} isn't: {how_far}")),
            Verdict::Undecided(how_far) => {
                findings.add("linearizable-is-decided", || format!("{stream} wasn't in time: {how_far}"));
            }
        }
    }
}

/// The verdicts on all streams in the order of their names; as many at a time as there are cores.
fn verdicts<'a>(index: &Index<'a>, patience: Duration) -> Vec<(&'a Stream, Verdict)> {
    let mut by_stream: HashMap<&Stream, Vec<&Operation>> = HashMap::new();
    for operation in &index.history.operations {
        by_stream.entry(&operation.stream).or_default().push(operation);
    }
    let work: Vec<_> = by_stream.into_iter().collect();
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(Vec::with_capacity(work.len()));
    let take = || {
        while let Some((stream, operations)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
            let verdict = judge(steps::of(index, operations), Instant::now() + patience);
            verdicts.lock().expect("no judge panics while it holds the lock").push((*stream, verdict));
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            let worker = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, take);
            worker.expect("a thread can be had");
        }
    });
    let mut verdicts = verdicts.into_inner().expect("no judge panicked");
    verdicts.sort_by_key(|(stream, _)| *stream);
    verdicts
}

/// Judges one stream, piece by piece: where one ends in order, its end is the next one's beginning.
fn judge(mut steps: Vec<Step<'_>>, deadline: Instant) -> Verdict {
    narrow::narrow(&mut steps);
    steps.sort_by_key(|step| (step.from, step.to));
    let mut state = VaultState::default();
    let mut rest = steps.as_slice();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(end_of_piece(rest));
        match judge_piece(piece, &state, deadline) {
            Ok(end) => state = end,
            Err(verdict) => return verdict,
        }
        rest = after;
    }
    Verdict::Linearizable
}

/// How many of the steps there are before the first moment at which nothing is under way.
fn end_of_piece(steps: &[Step<'_>]) -> usize {
    let mut last_return = 0;
    let cut = steps.iter().position(|step| {
        let is_quiet = last_return != 0 && last_return < step.from;
        last_return = last_return.max(step.to);
        is_quiet
    });
    cut.unwrap_or(steps.len())
}

/// The state after the piece, if there is an order that begins with this one.
fn judge_piece(piece: &[Step<'_>], state: &VaultState, deadline: Instant) -> Result<VaultState, Verdict> {
    let search = Search::new(deadline);
    let mut tester = LinearizabilityTester::<Lane, Vault<'_>>::new(Vault::new(state.clone(), &search));
    for event in lanes::events(piece) {
        let step = &piece[event.step];
        let told = match event.is_return {
            false => tester.on_invoke(event.lane, step.asked()).map(drop),
            true => tester.on_return(event.lane, step.told).map(drop),
        };
        told.expect("a lane has one operation after the other");
    }
    match tester.serialized_history() {
        Some(order) => {
            let mut end = Vault::new(state.clone(), &search);
            for (asked, _) in &order {
                end.invoke(asked);
            }
            Ok(end.into_state())
        }
        None if search.is_over() => Err(Verdict::Undecided(search.tell(piece))),
        None => Err(Verdict::Not(search.tell(piece))),
    }
}

#[cfg(test)]
mod tests;
