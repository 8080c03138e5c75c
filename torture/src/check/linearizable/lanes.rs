//! Which thread of the tester each step goes to.
//!
//! Few lanes keep the search narrow, and their order keeps it straight: the tester tries lanes in order, and those of steps
//! that change nothing come first. Such a step, where it fits, can be taken at once: whatever order there is of what
//! remains, there is the same one with this step in front, for it changes nothing and only frees others. Where none fits,
//! any order goes on with a write, and every write was told its version: were there two that fit, there would be no order
//! of both. So the first step that fits is as good as any, and a search that ends after it needn't look for another.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::steps::Step;
use crate::history::Instant;

/// A thread of the tester: whether its steps are writes, and its number among its like.
pub(super) type Lane = (bool, usize);

/// A step is invoked, or returns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) step: usize,
    pub(super) lane: Lane,
    pub(super) is_return: bool,
}

/// Invocations and returns of these steps, which are in the order of their beginnings, in the order of time. Where times
/// are equal nothing is known: invocations come first, which leaves both orders open.
pub(super) fn events(steps: &[Step<'_>]) -> Vec<Event> {
    let mut pools = [Pool::default(), Pool::default()];
    let mut events: Vec<(Instant, bool, usize, Lane)> = Vec::with_capacity(2 * steps.len());
    for (place, step) in steps.iter().enumerate() {
        let is_write = step.is_write();
        let lane = (is_write, pools[usize::from(is_write)].take(step.from, step.to));
        events.extend([(step.from, false, place, lane), (step.to, true, place, lane)]);
    }
    events.sort_unstable();
    events.into_iter().map(|(_, is_return, step, lane)| Event { step, lane, is_return }).collect()
}

/// Lanes of one kind, by the last return of each.
#[derive(Default)]
struct Pool {
    free_after: BinaryHeap<Reverse<(Instant, usize)>>,
}

impl Pool {
    /// A lane that is free from before the one time, and then taken until the other.
    fn take(&mut self, from: Instant, to: Instant) -> usize {
        let lane = match self.free_after.peek() {
            Some(Reverse((returned, lane))) if *returned < from => {
                let lane = *lane;
                self.free_after.pop();
                lane
            }
            _ => self.free_after.len(),
        };
        self.free_after.push(Reverse((to, lane)));
        lane
    }
}
