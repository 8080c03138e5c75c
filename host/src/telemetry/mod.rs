//! What the host tells of itself: log lines to standard error, as text for people or as JSON for machines; metrics.

mod metrics;
mod process;

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

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
    /// The recorder of metrics can't be set up.
    #[error("metrics can't be kept: {0}")]
    Metrics(String),
}

/// Sends the process's log lines that pass `filter` to standard error. Standard output stays free for results.
///
/// # Errors
/// When the filter isn't valid, or this was called before.
pub fn init(format: Format, filter: &str) -> Result<(), TelemetryError> {
    let filter =
        EnvFilter::try_new(filter).map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    match format {
        Format::Text => builder.compact().with_target(false).with_ansi(stderr().is_terminal()).finish().try_init()?,
        Format::Json => builder.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_named_when_it_is_wrong() {
        let message = init(Format::Text, "everfold=loud").unwrap_err().to_string();
        assert!(message.contains("`everfold=loud`"), "{message}");
    }
}
