//! What one run of one subject came to.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::cpu::Cpu;

/// The longest latency that is told apart, in microseconds.
const LONGEST: u64 = 120_000_000;

/// Latencies as they are noted: a word each, sorted into a histogram afterwards, when nothing is measured.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    /// Notes one, to the microsecond.
    pub(crate) fn push(&mut self, latency: Duration) {
        self.0.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    /// Adds those of another client.
    pub(crate) fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What one run of one subject came to.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// Steps that were answered as they should be.
    pub(crate) done: u64,
    /// Steps that were answered as they should be at any time, also before and after the window.
    pub(crate) acknowledged: u64,
    /// Steps that were answered otherwise.
    pub(crate) refused: u64,
    /// The first of those.
    pub(crate) why: Option<String>,
    /// How long it was measured.
    pub(crate) seconds: f64,
    /// Half of the steps took less, in milliseconds.
    pub(crate) p50_ms: f64,
    /// Of a hundred steps one took more.
    pub(crate) p99_ms: f64,
    /// The longest that one took.
    pub(crate) most_ms: f64,
    /// The processors' time.
    pub(crate) cpu: Cpu,
}

impl Sample {
    /// What these latencies amount to; so far nothing was refused.
    pub(crate) fn new(latencies: &Latencies, seconds: f64, cpu: Cpu) -> Result<Self> {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, LONGEST, 3)?;
        for latency in &latencies.0 {
            histogram.saturating_record(u64::from(*latency).max(1));
        }
        let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        let (p50_ms, p99_ms, most_ms) = (at(0.5), at(0.99), at(1.0));
        let done = histogram.len();
        Ok(Self { done, acknowledged: done, refused: 0, why: None, seconds, p50_ms, p99_ms, most_ms, cpu })
    }

    /// Steps a second.
    pub(crate) fn rate(&self) -> f64 {
        self.done as f64 / self.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_all_clients() {
        let (mut one, mut two) = (Latencies::default(), Latencies::default());
        (1..=50).for_each(|ms| one.push(Duration::from_millis(ms)));
        (51..=100).for_each(|ms| two.push(Duration::from_millis(ms)));
        one.add(two);
        let sample = Sample::new(&one, 2.0, Cpu::default()).unwrap();
        assert_eq!(sample.done, 100);
        assert!((sample.p50_ms - 50.0).abs() < 0.2 && (sample.p99_ms - 99.0).abs() < 0.2, "{sample:?}");
        assert!((sample.rate() - 50.0).abs() < 1e-9);
    }
}
