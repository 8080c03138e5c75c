//! The JSON of a report.

use serde_json::{Map, Value, json};

use super::Report;
use crate::cpu::Cpu;
use crate::ratios::Ratios;
use crate::results::Slice;
use crate::sample::Sample;
use crate::stats::median;

impl Report {
    /// One object: `ratios` by their names, null where the run didn't measure them, and all that they come from.
    pub(crate) fn to_json(&self) -> Value {
        let growth = self.results.growth.keys().map(|events| {
            let of =
                |what: fn(&Sample) -> f64| median(self.results.growth_by_round(*events, what).into_iter().flatten());
            json!({
                "events": events,
                "commands_per_second": of(Sample::rate),
                "p50_ms": of(|sample| sample.p50_ms),
                "p99_ms": of(|sample| sample.p99_ms),
            })
        });
        let budgets = self.results.budgets.iter().map(|(in_flight, budget)| {
            let parts: Map<String, Value> =
                budget.0.iter().map(|(name, value)| ((*name).into(), json!(value))).collect();
            json!({ "in_flight": in_flight, "parts": parts })
        });
        let measures = self
            .results
            .measures
            .iter()
            .map(|measure| json!({ "name": measure.name, "value": measure.value, "unit": measure.unit }));
        json!({
            "run": { "effort": self.effort.name(), "rounds": self.rounds, "seed": self.seed },
            "machine": self.machine,
            "ratios": Ratios::of(&self.results),
            "rates": self.results.samples.keys().map(|slice| self.rate_json(*slice)).collect::<Vec<_>>(),
            "growth": growth.collect::<Vec<_>>(),
            "budgets": budgets.collect::<Vec<_>>(),
            "measures": measures.collect::<Vec<_>>(),
            "failures": self.results.failures,
        })
    }

    fn rate_json(&self, slice: Slice) -> Value {
        let results = &self.results;
        let samples: Vec<&Sample> = results.samples[&slice].iter().flatten().collect();
        let rates: Vec<f64> = samples.iter().map(|sample| sample.rate()).collect();
        let cpu = |of: fn(&Cpu) -> f64| results.median(slice, |sample| of(&sample.cpu) / sample.done as f64 * 1e6);
        json!({
            "work": slice.work.to_string(),
            "subject": slice.subject.to_string(),
            "in_flight": slice.in_flight,
            "per_second": {
                "median": median(rates.iter().copied()),
                "least": rates.iter().copied().reduce(f64::min),
                "most": rates.iter().copied().reduce(f64::max),
            },
            "p50_ms": results.median(slice, |sample| sample.p50_ms),
            "p99_ms": results.median(slice, |sample| sample.p99_ms),
            "cpu_us_each": {
                "client": cpu(|cpu| cpu.client), "host": cpu(|cpu| cpu.host), "postgres": cpu(|cpu| cpu.postgres),
            },
            "refused": samples.iter().map(|sample| sample.refused).sum::<u64>(),
            "first_refusal": samples.iter().find_map(|sample| sample.why.as_deref()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effort::Effort;
    use crate::machine::Machine;
    use crate::results::Results;
    use crate::subjects::Subject;
    use crate::work::Work;

    /// The names that others read. One that changes breaks them.
    const RATIOS: [&str; 11] = [
        "http64_vs_postgres_es64",
        "http256_vs_postgres_es256",
        "ndjson_vs_postgres_es_best",
        "http256_vs_seed64",
        "http256_vs_raw64",
        "ndjson_vs_raw64",
        "hot64_vs_postgres_es_hot64",
        "p50_http1_vs_raw1",
        "p99_vs_p50_http64",
        "guest_vs_native_cycle",
        "http256_10m_vs_10k",
    ];

    fn report(results: Results) -> Value {
        let machine = Machine::look("15.0".to_owned(), "test");
        Report { effort: Effort::Quick, rounds: 3, seed: 7, machine, results }.to_json()
    }

    #[test]
    fn all_ratios_are_there_also_of_a_run_that_measured_nothing() {
        let json = report(Results::default());
        let ratios = json["ratios"].as_object().unwrap();
        assert_eq!(ratios.len(), RATIOS.len());
        assert!(RATIOS.iter().all(|name| ratios.get(*name) == Some(&Value::Null)), "{ratios:?}");
    }

    #[test]
    fn a_rate_comes_with_its_spread_latency_and_costs() {
        let mut results = Results::default();
        let slice = Slice { work: Work::Accounts, subject: Subject::Http, in_flight: 64 };
        let cpu = Cpu { client: 0.5, host: 0.25, postgres: 1.0 };
        for (round, done) in [100, 300, 200].into_iter().enumerate() {
            let sample = Sample {
                done,
                acknowledged: done,
                refused: 1,
                why: None,
                seconds: 1.0,
                p50_ms: 2.0,
                p99_ms: 9.0,
                most_ms: 9.0,
                cpu,
            };
            results.add(slice, round, sample);
        }
        let json = report(results);
        assert_eq!(json["ratios"]["p99_vs_p50_http64"], 4.5);
        let rate = &json["rates"][0];
        assert_eq!((&rate["subject"], &rate["refused"]), (&"everfold http".into(), &3.into()));
        assert_eq!(rate["per_second"], json!({ "median": 200.0, "least": 100.0, "most": 300.0 }));
        assert_eq!(rate["cpu_us_each"]["postgres"], 5000.0);
    }
}
