//! The process's metrics: the recorder that every room counts into, and its text for Prometheus.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::{TelemetryError, process};
use crate::model::{Metric, MetricKind};

/// How often recorded times are sorted into their buckets, so that they don't pile up where nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// What the process itself measures.
pub(crate) const METRICS: &[Metric] = process::METRICS;

/// The process's metrics. A cheap handle.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Sets the process's recorder up for these tables; a second call answers the first one's. Must come before anything
    /// counts: a handle that finds no recorder never looks for one again.
    ///
    /// # Errors
    /// Something else has set a recorder up, or a table has buckets that can't be used.
    pub fn install(tables: &[&[Metric]]) -> Result<Self, TelemetryError> {
        static INSTALLED: OnceLock<Result<PrometheusHandle, String>> = OnceLock::new();
        let installed = INSTALLED.get_or_init(|| build(tables).map_err(|error| error.to_string()));
        installed.clone().map(Self).map_err(TelemetryError::Metrics)
    }

    /// Everything, in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        process::measure();
        self.0.render()
    }

    /// Keeps the recorder's memory bounded, until the task is dropped.
    pub async fn upkeep(self) {
        let mut turn = tokio::time::interval(UPKEEP);
        loop {
            turn.tick().await;
            self.0.run_upkeep();
        }
    }
}

fn build(tables: &[&[Metric]]) -> Result<PrometheusHandle, metrics_exporter_prometheus::BuildError> {
    let all = || tables.iter().copied().flatten();
    let mut builder = PrometheusBuilder::new();
    for metric in all() {
        if let MetricKind::Histogram(buckets) = metric.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)?;
        }
    }
    let handle = builder.install_recorder()?;
    for metric in all() {
        let help = metric.help.trim();
        match metric.kind {
            MetricKind::Counter => metrics::describe_counter!(metric.name, help),
            MetricKind::Gauge => metrics::describe_gauge!(metric.name, help),
            MetricKind::Histogram(_) => metrics::describe_histogram!(metric.name, help),
        }
        if metric.labels.is_empty() {
            // What never happened is shown as 0, not left out.
            match metric.kind {
                MetricKind::Counter => drop(metrics::counter!(metric.name)),
                MetricKind::Gauge => drop(metrics::gauge!(metric.name)),
                MetricKind::Histogram(_) => drop(metrics::histogram!(metric.name)),
            }
        }
    }
    process::begin();
    Ok(handle)
}
