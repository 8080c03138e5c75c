//! The host's own metrics, as its `/metrics` tells them.

use std::collections::HashMap;

/// The values at one moment, by series: a name with its labels, as it is written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics(HashMap<String, f64>);

impl Metrics {
    /// Reads Prometheus' text.
    pub(super) fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Self(series.collect())
    }

    /// A series' value; 0 where it isn't told, as that of a counter which hasn't counted yet.
    pub(crate) fn value(&self, series: &str) -> f64 {
        self.0.get(series).copied().unwrap_or_default()
    }

    /// By how much a series has grown since an earlier moment.
    pub(crate) fn grown_since(&self, before: &Self, series: &str) -> f64 {
        self.value(series) - before.value(series)
    }

    /// What a histogram's mean was from an earlier moment to this one; `None` where it got nothing meanwhile. Its labels
    /// are written as in the text, without the braces.
    pub(crate) fn mean_since(&self, before: &Self, name: &str, labels: &str) -> Option<f64> {
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let grown = |part: &str| self.grown_since(before, &format!("{name}_{part}{labels}"));
        let count = grown("count");
        (count > 0.0).then(|| grown("sum") / count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_that_of_what_came_since() {
        let before = Metrics::read("# TYPE a histogram\na_sum{b=\"c d\"} 1\na_count{b=\"c d\"} 1\nup 1\n");
        let after = Metrics::read("a_sum{b=\"c d\"} 7\na_count{b=\"c d\"} 4\nup 1\n");
        assert_eq!(after.mean_since(&before, "a", r#"b="c d""#), Some(2.0));
        assert_eq!(after.mean_since(&after, "a", r#"b="c d""#), None);
        assert_eq!((after.value("up"), after.value("down")), (1.0, 0.0));
    }
}
