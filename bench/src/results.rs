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

/// Where the time of a command goes: means in microseconds, unless the name says otherwise, in the order of its path.
#[derive(Debug, Default)]
pub(crate) struct Budget(pub(crate) Vec<(&'static str, Option<f64>)>);

/// What a run has found.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// The samples, by round; `None` where that round has none.
    pub(crate) samples: BTreeMap<Slice, Vec<Option<Sample>>>,
    /// The samples at each size of the log, by round.
    pub(crate) growth: BTreeMap<u64, Vec<Option<Sample>>>,
    /// Where the time of a command goes, at numbers in flight.
    pub(crate) budgets: BTreeMap<usize, Budget>,
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
        put(self.samples.entry(slice).or_default(), round, sample);
    }

    /// Adds a sample of a log with so many events.
    pub(crate) fn add_growth(&mut self, events: u64, round: usize, sample: Sample) {
        put(self.growth.entry(events).or_default(), round, sample);
    }

    /// Something of the samples of a log with so many events, by round.
    pub(crate) fn growth_by_round(&self, events: u64, of: impl Fn(&Sample) -> f64) -> Vec<Option<f64>> {
        by_round(self.growth.get(&events), of)
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
        by_round(self.samples.get(&slice), of)
    }

    /// The median of something of a slice's samples.
    pub(crate) fn median(&self, slice: Slice, of: impl Fn(&Sample) -> f64) -> Option<f64> {
        median(self.by_round(slice, of).into_iter().flatten())
    }
}

fn put(rounds: &mut Vec<Option<Sample>>, round: usize, sample: Sample) {
    rounds.resize(rounds.len().max(round + 1), None);
    rounds[round] = Some(sample);
}

fn by_round(rounds: Option<&Vec<Option<Sample>>>, of: impl Fn(&Sample) -> f64) -> Vec<Option<f64>> {
    rounds.into_iter().flatten().map(|sample| sample.as_ref().map(&of)).collect()
}
