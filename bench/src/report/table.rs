//! The tables of a report, for a terminal and for BENCHMARKS.md: they are Markdown.

use std::fmt;

use super::Report;
use crate::cpu::Cpu;
use crate::ratios::Ratios;
use crate::results::Slice;
use crate::sample::Sample;
use crate::stats::median;

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = &self.machine;
        writeln!(
            out,
            "{} run, {} rounds, seed {}. {} × {}, {} MiB, Linux {}, load {:.2} before. PostgreSQL {}, everfold {}, \
             postgres-es {}; profile {}.\n",
            self.effort.name(),
            self.rounds,
            self.seed,
            machine.processors,
            machine.processor,
            machine.memory_mib,
            machine.kernel,
            machine.load_before,
            machine.postgres,
            machine.everfold,
            machine.postgres_es,
            machine.profile,
        )?;
        self.rates(out)?;
        self.growth(out)?;
        self.budgets(out)?;
        self.measures(out)?;
        self.ratios(out)?;
        self.results.failures.iter().try_for_each(|failure| writeln!(out, "\nFAILED: {failure}"))
    }
}

impl Report {
    fn rates(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.results.samples.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "| work | who | in flight | per second (least–most) | p50 ms | p99 ms | CPU µs each: client, host, PostgreSQL | refused |"
        )?;
        writeln!(out, "|---|---|---:|---:|---:|---:|---:|---:|")?;
        for slice in self.results.samples.keys() {
            self.rate_row(out, *slice)?;
        }
        writeln!(out)
    }

    fn rate_row(&self, out: &mut fmt::Formatter<'_>, slice: Slice) -> fmt::Result {
        let results = &self.results;
        let of = |what: fn(&Sample) -> f64| results.median(slice, what).unwrap_or(f64::NAN);
        let (least, most) = spread(results.by_round(slice, Sample::rate).into_iter().flatten());
        let cpu = |of: fn(&Cpu) -> f64| {
            results.median(slice, |sample| of(&sample.cpu) / sample.done as f64 * 1e6).unwrap_or(f64::NAN)
        };
        let refused: u64 = results.samples[&slice].iter().flatten().map(|sample| sample.refused).sum();
        writeln!(
            out,
            "| {} | {} | {} | {:.0} ({:.0}–{:.0}) | {:.2} | {:.2} | {:.0}, {:.0}, {:.0} | {refused} |",
            slice.work,
            slice.subject,
            slice.in_flight,
            of(Sample::rate),
            least,
            most,
            of(|sample| sample.p50_ms),
            of(|sample| sample.p99_ms),
            cpu(|cpu| cpu.client),
            cpu(|cpu| cpu.host),
            cpu(|cpu| cpu.postgres),
        )
    }

    fn growth(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.results.growth.is_empty() {
            return Ok(());
        }
        writeln!(out, "| events in the log | commands/s over HTTP, 256 in flight (least–most) | p50 ms | p99 ms |")?;
        writeln!(out, "|---:|---:|---:|---:|")?;
        for events in self.results.growth.keys() {
            let by_round = |what: fn(&Sample) -> f64| self.results.growth_by_round(*events, what).into_iter().flatten();
            let of = |what| median(by_round(what)).unwrap_or(f64::NAN);
            let (least, most) = spread(by_round(Sample::rate));
            let (p50, p99) = (of(|sample| sample.p50_ms), of(|sample| sample.p99_ms));
            writeln!(out, "| {events} | {:.0} ({least:.0}–{most:.0}) | {p50:.2} | {p99:.2} |", of(Sample::rate))?;
        }
        writeln!(out)
    }

    fn budgets(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let budgets = &self.results.budgets;
        let Some(first) = budgets.values().next() else { return Ok(()) };
        write!(out, "| a command over HTTP, mean in µs |")?;
        budgets.keys().try_for_each(|in_flight| write!(out, " {in_flight} in flight |"))?;
        writeln!(out, "\n|---|{}", "---:|".repeat(budgets.len()))?;
        for (row, (name, _)) in first.0.iter().enumerate() {
            write!(out, "| {name} |")?;
            for budget in budgets.values() {
                let value = budget.0.get(row).and_then(|(_, value)| *value);
                write!(out, " {} |", value.map_or_else(|| "–".to_owned(), short))?;
            }
            writeln!(out)?;
        }
        writeln!(out)
    }

    fn measures(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.results.measures.is_empty() {
            return Ok(());
        }
        writeln!(out, "| measured | | |\n|---|---:|---|")?;
        for measure in &self.results.measures {
            writeln!(out, "| {} | {} | {} |", measure.name, short(measure.value), measure.unit)?;
        }
        writeln!(out)
    }

    fn ratios(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "| ratio | |\n|---|---:|")?;
        let ratios = serde_json::to_value(Ratios::of(&self.results)).map_err(|_| fmt::Error)?;
        for (name, ratio) in ratios.as_object().into_iter().flatten() {
            let ratio = ratio.as_f64().map_or_else(|| "not measured".to_owned(), |ratio| format!("{ratio:.2}"));
            writeln!(out, "| `{name}` | {ratio} |")?;
        }
        Ok(())
    }
}

/// The least and the most of what there is.
fn spread(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, 0.0), |(least, most), value| (value.min(least), value.max(most)))
}

/// With as many digits as a measurement is good for.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([12_345.678, 12.34, 0.0123, 0.0].map(short), ["12346", "12.3", "0.012", "0.000"]);
    }
}
