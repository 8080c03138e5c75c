//! What the host tells of itself: log lines to standard error, as text for people or as JSON for machines; metrics; traces.

mod metrics;
mod process;
mod traces;

use std::io::{IsTerminal, stderr};

use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, fmt};

use traces::Traces;

pub(crate) use metrics::METRICS;
pub use metrics::Metrics;

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One compact line of text, coloured on a terminal.
    Text,
    /// One JSON object a line, with the fields of the event and of the spans around it.
    Json,
}

/// Log lines can't be written, or metrics kept, as asked.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter isn't in tracing's syntax.
    #[error("the log filter `{filter}` isn't valid (try `info`, or `warn,everfold=debug`)")]
    Filter {
        /// The filter that was given.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Log lines go elsewhere already.
    #[error("log lines were set up before")]
    Twice(#[from] TryInitError),
    /// The collector of traces can't be used.
    #[error("traces can't be sent: {0}")]
    Traces(#[source] opentelemetry_otlp::ExporterBuildError),
    /// The recorder of metrics can't be set up.
    #[error("metrics can't be kept: {0}")]
    Metrics(String),
}

/// What goes on until the process ends.
#[must_use = "the last spans are sent by its end"]
pub struct Telemetry {
    traces: Option<Traces>,
}

impl Telemetry {
    /// Sends the spans that are left. Blocks: not to be called on a runtime's thread.
    pub fn end(self) {
        if let Some(traces) = self.traces {
            traces.end();
        }
    }
}

/// Sends the process's log lines that pass `filter` to standard error (standard output stays free for results), and with
/// `traces` its spans to the collector that the setting or the environment names.
///
/// # Errors
/// When the filter isn't valid, the collector's URL can't be used, or this was called before.
pub fn init(format: Format, filter: &str, traces: Option<TracesTo<'_>>) -> Result<Telemetry, TelemetryError> {
    let filter =
        EnvFilter::try_new(filter).map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })?;
    let traces = traces.map(|to| Traces::begin(to.0)).transpose()?.flatten();
    match &traces {
        Some(spans) => {
            tracing_subscriber::registry().with(spans.layer()).with(lines(format).with_filter(filter)).try_init()?;
        }
        None => tracing_subscriber::registry().with(lines(format)).with(filter).try_init()?,
    }
    Ok(Telemetry { traces })
}

/// Writes log lines.
fn lines<S>(format: Format) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = fmt::layer().with_writer(stderr);
    match format {
        Format::Text => lines.compact().with_target(false).with_ansi(stderr().is_terminal()).boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    }
}

/// Traces are wanted: where to, unless the environment says that.
#[derive(Debug, Clone, Copy)]
pub struct TracesTo<'a>(pub Option<&'a str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_named_when_it_is_wrong() {
        let message = init(Format::Text, "everfold=loud", None).err().unwrap().to_string();
        assert!(message.contains("`everfold=loud`"), "{message}");
    }
}
