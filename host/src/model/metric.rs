//! What is measured: each metric is declared once, in its room's table, with its name, kind, labels and meaning.
//!
//! The table is what the recorder is told of, what the reference page is made from, and where the handles come from that
//! the room counts with. A handle is bound to the process's recorder when it is first used, so counting costs an atomic
//! operation; where there is no recorder it costs nothing.

use metrics::{Counter, Gauge, Histogram, Label, SharedString};

/// A metric, as `/metrics` shows it.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name, which says the unit: `_seconds`, `_bytes`, or a count.
    pub name: &'static str,
    /// What its number means.
    pub kind: MetricKind,
    /// The names of its labels. Their values are few: declared types, codes, routes; never ids or tenants.
    pub labels: &'static [&'static str],
    /// What it counts or measures.
    pub help: &'static str,
}

/// What a metric's number means.
#[derive(Debug, Clone, Copy)]
pub enum MetricKind {
    /// It only grows, until the process ends.
    Counter,
    /// It is what it is now.
    Gauge,
    /// How often a value was at most each of these.
    Histogram(&'static [f64]),
}

/// Buckets for times from a guest's microseconds to a command's deadline, in seconds.
pub(crate) const TIMES: &[f64] = &[
    0.000_005, 0.000_02, 0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
    60.0,
];

/// Buckets for how many things there were.
pub(crate) const COUNTS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 5_000.0];

/// Buckets for sizes in bytes.
pub(crate) const SIZES: &[f64] =
    &[256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0];

/// A metric with labels. Finding the handle of some values takes a look into the recorder: where it counts often, keep it.
pub(crate) struct Labelled {
    pub(crate) name: &'static str,
    pub(crate) labels: &'static [&'static str],
}

impl Labelled {
    /// The counter of these values, which stand in the order of the labels.
    pub(crate) fn counter<const N: usize>(&self, values: [impl Into<SharedString>; N]) -> Counter {
        metrics::counter!(self.name, self.labels(values))
    }

    /// The gauge of these values.
    pub(crate) fn gauge<const N: usize>(&self, values: [impl Into<SharedString>; N]) -> Gauge {
        metrics::gauge!(self.name, self.labels(values))
    }

    /// The histogram of these values.
    pub(crate) fn histogram<const N: usize>(&self, values: [impl Into<SharedString>; N]) -> Histogram {
        metrics::histogram!(self.name, self.labels(values))
    }

    fn labels<const N: usize>(&self, values: [impl Into<SharedString>; N]) -> Vec<Label> {
        debug_assert_eq!(self.labels.len(), N, "{} has other labels", self.name);
        self.labels.iter().zip(values).map(|(name, value)| Label::new(*name, value)).collect()
    }
}

/// One of the things that a gauge counts, for as long as this lives.
pub(crate) struct Held(Gauge);

impl Held {
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Declares a room's metrics: `METRICS`, the table, and a handle for each. The doc comment is what users read.
///
/// `counter BATCHES = "name";`, `gauge …`, `histogram … in TIMES;`, and with labels `counter FAULTS {"module", "kind"} = …`.
macro_rules! metric_table {
    ($($(#[doc = $help:literal])+ $kind:ident $handle:ident $({$($label:literal),+})? = $name:literal $(in $buckets:ident)?;)+) => {
        /// What this room measures.
        pub(crate) const METRICS: &[$crate::model::Metric] = &[$($crate::model::Metric {
            name: $name,
            kind: $crate::model::metric_table!(@kind $kind $($buckets)?),
            labels: &[$($($label),+)?],
            help: concat!($($help),+),
        }),+];
        $($crate::model::metric_table!{@handle $kind $handle [$($($label),+)?] $name concat!($($help),+)})+
    };
    (@kind counter) => { $crate::model::MetricKind::Counter };
    (@kind gauge) => { $crate::model::MetricKind::Gauge };
    (@kind histogram $buckets:ident) => { $crate::model::MetricKind::Histogram($crate::model::metric::$buckets) };
    (@handle counter $handle:ident [] $name:literal $help:expr) => {
        #[doc = $help]
        pub(super) static $handle: std::sync::LazyLock<metrics::Counter> =
            std::sync::LazyLock::new(|| metrics::counter!($name));
    };
    (@handle gauge $handle:ident [] $name:literal $help:expr) => {
        #[doc = $help]
        pub(super) static $handle: std::sync::LazyLock<metrics::Gauge> =
            std::sync::LazyLock::new(|| metrics::gauge!($name));
    };
    (@handle histogram $handle:ident [] $name:literal $help:expr) => {
        #[doc = $help]
        pub(super) static $handle: std::sync::LazyLock<metrics::Histogram> =
            std::sync::LazyLock::new(|| metrics::histogram!($name));
    };
    (@handle $kind:ident $handle:ident [$($label:literal),+] $name:literal $help:expr) => {
        #[doc = $help]
        pub(super) static $handle: $crate::model::metric::Labelled =
            $crate::model::metric::Labelled { name: $name, labels: &[$($label),+] };
    };
}

pub(crate) use metric_table;
