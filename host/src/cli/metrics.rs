//! Every room's table of metrics, in the order of a request's path.

use crate::model::Metric;
use crate::telemetry::{self, Metrics, TelemetryError};
use crate::{http, modules, pipeline, runtime, store};

/// The tables, each with what it is about.
pub(super) const TABLES: [(&str, &[Metric]); 6] = [
    ("HTTP", http::METRICS),
    ("Requests", pipeline::METRICS),
    ("Guests", runtime::METRICS),
    ("Modules", modules::METRICS),
    ("The log and its database", store::METRICS),
    ("The process", telemetry::METRICS),
];

/// Sets the process's recorder up. Nothing may have been counted before.
pub(super) fn install() -> Result<Metrics, TelemetryError> {
    Metrics::install(&TABLES.map(|(_, table)| table))
}
