//! What a run says: a table for people, one JSON object for programs.

mod json;
mod table;

use crate::effort::Effort;
use crate::machine::Machine;
use crate::results::Results;

/// A finished run.
pub(crate) struct Report {
    /// How much was measured.
    pub(crate) effort: Effort,
    /// How often the rates under load were measured.
    pub(crate) rounds: usize,
    /// What the order followed from.
    pub(crate) seed: u64,
    /// Where.
    pub(crate) machine: Machine,
    /// What was found.
    pub(crate) results: Results,
}
