//! The figures that the project holds itself to, each a ratio within one run.

use serde::Serialize;

use crate::results::{Results, Slice};
use crate::sample::Sample;
use crate::stats::{best_of, paired_ratio};
use crate::subjects::Subject;
use crate::work::Work;

/// The log sizes between which throughput is compared.
const SMALL_LOG: u64 = 10_000;
const LARGE_LOG: u64 = 10_000_000;

/// The ratios, by the names under which they are known; `None` where the run didn't measure both sides.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Ratios {
    /// Commands a second over HTTP to postgres-es, at 64 in flight.
    pub(crate) http64_vs_postgres_es64: Option<f64>,
    /// The same at 256.
    pub(crate) http256_vs_postgres_es256: Option<f64>,
    /// Bulk commands a second to postgres-es, each where it does best.
    pub(crate) ndjson_vs_postgres_es_best: Option<f64>,
    /// HTTP at 256 to the classic design with its outbox at 64.
    pub(crate) http256_vs_seed64: Option<f64>,
    /// HTTP at 256 to raw single-row commits on 64 connections.
    pub(crate) http256_vs_raw64: Option<f64>,
    /// Bulk commands to the same.
    pub(crate) ndjson_vs_raw64: Option<f64>,
    /// One stream that 64 write at a time, over HTTP to postgres-es.
    pub(crate) hot64_vs_postgres_es_hot64: Option<f64>,
    /// Median latency of one command at a time, over HTTP to a raw commit.
    pub(crate) p50_http1_vs_raw1: Option<f64>,
    /// The slow to the median of HTTP at 64.
    pub(crate) p99_vs_p50_http64: Option<f64>,
    /// Decide and apply in the guest to the same natively.
    pub(crate) guest_vs_native_cycle: Option<f64>,
    /// HTTP at 256 on a log of ten million events to the same on one of ten thousand.
    pub(crate) http256_10m_vs_10k: Option<f64>,
}

impl Ratios {
    /// What the results amount to.
    pub(crate) fn of(results: &Results) -> Self {
        let rates = |subject, in_flight| rates_of(results, Work::Accounts, subject, in_flight);
        // A peer counts with the better of its configurations.
        let peer =
            |work, in_flight| best_of(&PEER.map(|configuration| rates_of(results, work, configuration, in_flight)));
        let (http64, http256, raw64) = (rates(Subject::Http, 64), rates(Subject::Http, 256), rates(Subject::Raw, 64));
        let bulk = best_at_any_level(results, &[Subject::Bulk]);
        let latency = |subject, in_flight, of: fn(&Sample) -> f64| {
            results.by_round(Slice { work: Work::Accounts, subject, in_flight }, of)
        };
        let growth = |size| results.growth_by_round(size, Sample::rate);
        Self {
            http64_vs_postgres_es64: paired_ratio(&http64, &peer(Work::Accounts, 64)),
            http256_vs_postgres_es256: paired_ratio(&http256, &peer(Work::Accounts, 256)),
            ndjson_vs_postgres_es_best: paired_ratio(&bulk, &best_at_any_level(results, &PEER)),
            http256_vs_seed64: paired_ratio(&http256, &rates(Subject::Seed, 64)),
            http256_vs_raw64: paired_ratio(&http256, &raw64),
            ndjson_vs_raw64: paired_ratio(&bulk, &raw64),
            hot64_vs_postgres_es_hot64: paired_ratio(
                &rates_of(results, Work::OneStream, Subject::Http, 64),
                &peer(Work::OneStream, 64),
            ),
            p50_http1_vs_raw1: paired_ratio(
                &latency(Subject::Http, 1, |sample| sample.p50_ms),
                &latency(Subject::Raw, 1, |sample| sample.p50_ms),
            ),
            p99_vs_p50_http64: paired_ratio(
                &latency(Subject::Http, 64, |sample| sample.p99_ms),
                &latency(Subject::Http, 64, |sample| sample.p50_ms),
            ),
            guest_vs_native_cycle: results.guest_ratio,
            http256_10m_vs_10k: paired_ratio(&growth(LARGE_LOG), &growth(SMALL_LOG)),
        }
    }
}

/// The configurations of the native framework.
const PEER: [Subject; 2] = [Subject::PostgresEs, Subject::PostgresEsTen];

fn rates_of(results: &Results, work: Work, subject: Subject, in_flight: usize) -> Vec<Option<f64>> {
    results.by_round(Slice { work, subject, in_flight }, Sample::rate)
}

/// Round by round the best rate of these subjects, whatever the number in flight.
fn best_at_any_level(results: &Results, subjects: &[Subject]) -> Vec<Option<f64>> {
    let slices = results.samples.keys();
    let theirs = slices.filter(|slice| slice.work == Work::Accounts && subjects.contains(&slice.subject));
    let rates: Vec<_> = theirs.map(|slice| results.by_round(*slice, Sample::rate)).collect();
    best_of(&rates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Cpu;

    fn sample(rate: u64, p50_ms: f64, p99_ms: f64) -> Sample {
        let (cpu, acknowledged) = (Cpu::default(), rate);
        Sample { done: rate, acknowledged, refused: 0, why: None, seconds: 1.0, p50_ms, p99_ms, most_ms: p99_ms, cpu }
    }

    fn results(slices: &[(Work, Subject, usize, u64)]) -> Results {
        let mut results = Results::default();
        for (work, subject, in_flight, rate) in slices {
            let slice = Slice { work: *work, subject: *subject, in_flight: *in_flight };
            for round in 0..3 {
                results.add(slice, round, sample(*rate, 2.0, 8.0));
            }
        }
        results
    }

    #[test]
    fn a_peer_counts_with_its_best_configuration() {
        let (accounts, hot) = (Work::Accounts, Work::OneStream);
        let ratios = Ratios::of(&results(&[
            (accounts, Subject::Http, 64, 8_000),
            (accounts, Subject::PostgresEs, 64, 1_000),
            (accounts, Subject::PostgresEsTen, 64, 2_000),
            (accounts, Subject::PostgresEsTen, 8, 4_000),
            (accounts, Subject::Bulk, 256, 16_000),
            (accounts, Subject::Bulk, 1024, 32_000),
            (hot, Subject::Http, 64, 9_000),
            (hot, Subject::PostgresEs, 64, 300),
        ]));
        assert_eq!(ratios.http64_vs_postgres_es64, Some(4.0));
        assert_eq!(ratios.ndjson_vs_postgres_es_best, Some(8.0));
        assert_eq!(ratios.hot64_vs_postgres_es_hot64, Some(30.0));
        assert_eq!(ratios.p99_vs_p50_http64, Some(4.0));
        assert_eq!(ratios.http256_vs_raw64, None);
    }

    #[test]
    fn growth_compares_the_ends() {
        let mut results = Results::default();
        let mut grow = |size, rates: [u64; 2]| {
            rates.iter().enumerate().for_each(|(round, rate)| results.add_growth(size, round, sample(*rate, 1.0, 1.0)));
            Ratios::of(&results)
        };
        grow(SMALL_LOG, [10, 20]);
        assert_eq!(grow(1_000_000, [1, 1]), Ratios::default());
        grow(LARGE_LOG, [9, 18]);
        assert_eq!(Ratios::of(&results).http256_10m_vs_10k, Some(0.9));
    }
}
