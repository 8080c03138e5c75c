//! Holds what was seen to the log: whatever a run can break is looked for over its whole history afterwards.

mod answers;
mod commands;
mod excuses;
mod fate;
mod findings;
mod index;
#[cfg(test)]
mod ledger;
mod linearizable;
mod log;
#[cfg(test)]
mod made;
#[cfg(test)]
mod mutations;
mod reads;
mod real_time;
mod seen;
#[cfg(test)]
mod simulated;
mod snapshots;
mod summary;
mod tails;

pub(crate) use findings::Violation;
pub(crate) use summary::Summary;

use crate::history::History;
use findings::Findings;
use index::Index;

/// Everything in the history that the host promises not to let happen; at most a few of each kind are told in full.
pub(crate) fn run(history: &History) -> Vec<Violation> {
    let index = Index::of(history);
    let mut findings = Findings::default();
    log::check(&index, &mut findings);
    answers::check(&index, &mut findings);
    excuses::check(&index, &mut findings);
    commands::check(&index, &mut findings);
    let seen = seen::all(&index);
    real_time::check(&index, &seen, &mut findings);
    reads::check(&index, &seen, &mut findings);
    tails::check(&index, &mut findings);
    snapshots::check(&index, &mut findings);
    linearizable::check(&index, &mut findings);
    findings.into_violations()
}
