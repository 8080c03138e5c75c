//! Narrows the times between which steps can have happened by what they were told.
//!
//! Whoever was told a version has its place between the writes that made it and the next one, so it happened no later than
//! anything of a later version returned, and no earlier than anything of an earlier one began. Every order that there is
//! keeps to that anyway. But then a request that hung for half a minute no longer holds everything of that time together,
//! nor an operation in flight for ever all that came after it.

use crate::history::Instant;

use super::steps::Step;

/// Narrows them. Where nothing is left of a step's time there is no order, and its time stays for the search to find that:
/// whichever two steps contradict each other, both keep theirs.
pub(super) fn narrow(steps: &mut [Step<'_>]) {
    let mut ranked: Vec<(i64, usize)> = Vec::with_capacity(steps.len());
    ranked.extend(steps.iter().zip(0..).filter_map(|(step, place)| Some((rank(step)?, place))));
    ranked.sort_unstable();
    let same_rank = |one: &(i64, usize), other: &(i64, usize)| one.0 == other.0;

    let mut from: Vec<Instant> = steps.iter().map(|step| step.from).collect();
    let mut latest_begin = 0;
    for group in ranked.chunk_by(same_rank) {
        group.iter().for_each(|(_, place)| from[*place] = from[*place].max(latest_begin));
        latest_begin = group.iter().map(|(_, place)| steps[*place].from).fold(latest_begin, Instant::max);
    }

    let mut to: Vec<Instant> = steps.iter().map(|step| step.to).collect();
    let mut earliest_return = Instant::MAX;
    let groups: Vec<_> = ranked.chunk_by(same_rank).collect();
    for group in groups.into_iter().rev() {
        group.iter().for_each(|(_, place)| to[*place] = to[*place].min(earliest_return));
        earliest_return = group.iter().map(|(_, place)| steps[*place].to).fold(earliest_return, Instant::min);
    }

    for (step, (from, to)) in steps.iter_mut().zip(from.into_iter().zip(to)) {
        if from <= to {
            (step.from, step.to) = (from, to);
        }
    }
}

/// A number that rises along every order: even for what saw the stream at a version, odd for the write from that version
/// to another. `None` where an answer tells no version.
fn rank(step: &Step<'_>) -> Option<i64> {
    let after = step.told_version()?;
    Some(if step.is_write() { 2 * (after - step.event_count()) + 1 } else { 2 * after })
}
