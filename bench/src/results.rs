//! What a run has found so far.

use std::collections::BTreeMap;
use std::fmt;

use crate::sample::Sample;
use crate::stats::median;
use crate::subjects::Subject;
use crate::work::Work;

/// One thing that is measured in every round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slice {
    /// What is done.
    pub(crate) work: Work,
    /// Who does it.
    pub(crate) subject: Subject,
    /// Requests under way at a time.
    pub(crate) in_flight: usize,
}

/// One number that isn't a rate under load.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measure {
    /// What was measured.
    pub(crate) name: String,
    /// How much.
    pub(crate) value: f64,
    /// Of what.
    pub(crate) unit: &'static str,
}

/// What a run has found.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// The samples, by round; `None` where that round has none.
    pub(crate) samples: BTreeMap<Slice, Vec<Option<Sample>>>,
    /// The rates at each size of the log, by round.
    pub(crate) growth: BTreeMap<u64, Vec<Option<f64>>>,
    /// Decide and apply in the guest, through the host's runtime, divided by the same natively.
    pub(crate) guest_ratio: Option<f64>,
    /// Everything else.
    pub(crate) measures: Vec<Measure>,
    /// What couldn't be measured, and why.
    pub(crate) failures: Vec<String>,
}

impl Results {
    /// Adds a sample.
    pub(crate) fn add(&mut self, slice: Slice, round: usize, sample: Sample) {
        let rounds = self.samples.entry(slice).or_default();
        rounds.resize(rounds.len().max(round + 1), None);
        rounds[round] = Some(sample);
    }

    /// Adds a number.
    pub(crate) fn measure(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.measures.push(Measure { name: name.into(), value, unit });
    }

    /// Notes that something couldn't be measured. The rest goes on: an hour's figures aren't lost to one of them.
    pub(crate) fn fail(&mut self, what: &dyn fmt::Display, error: &anyhow::Error) {
        let failure = format!("{what}: {error:#}");
        eprintln!("FAILED: {failure}");
        self.failures.push(failure);
    }

    /// Something of a slice's samples, by round; nothing where it wasn't measured.
    pub(crate) fn by_round(&self, slice: Slice, of: impl Fn(&Sample) -> f64) -> Vec<Option<f64>> {
        let rounds = self.samples.get(&slice).map(Vec::as_slice).unwrap_or_default();
        rounds.iter().map(|sample| sample.as_ref().map(&of)).collect()
    }

    /// The median of something of a slice's samples.
    pub(crate) fn median(&self, slice: Slice, of: impl Fn(&Sample) -> f64) -> Option<f64> {
        median(self.by_round(slice, of).into_iter().flatten())
    }
}
