//! How much is measured: for a look after a change, for BENCHMARKS.md, or with the large logs too.

use std::time::Duration;

use crate::load::Timing;

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Less than eight minutes: the levels that the ratios need, and small logs.
    Quick,
    /// All levels, more rounds, longer ones.
    Full,
    /// The same, and logs of up to ten million events.
    Large,
}

impl Effort {
    /// Its name in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
            Self::Large => "large",
        }
    }

    /// Times that all are measured.
    pub(crate) fn rounds(self) -> usize {
        if self == Self::Quick { 3 } else { 5 }
    }

    /// How long each is measured each time.
    pub(crate) fn timing(self) -> Timing {
        let (warm_up, measure) = if self == Self::Quick { (500, 2_000) } else { (1_000, 5_000) };
        Timing { warm_up: Duration::from_millis(warm_up), measure: Duration::from_millis(measure) }
    }

    /// Events in the log whose growth is measured.
    pub(crate) fn log_sizes(self) -> &'static [u64] {
        match self {
            Self::Quick | Self::Full => &[10_000, 100_000],
            Self::Large => &[10_000, 100_000, 1_000_000, 10_000_000],
        }
    }

    /// Events of the log that is read from its beginning to its end.
    pub(crate) fn read_events(self) -> u64 {
        if self == Self::Quick { 100_000 } else { 1_000_000 }
    }

    /// Events of streams that are loaded cold.
    pub(crate) fn stream_lengths(self) -> &'static [u64] {
        if self == Self::Quick { &[10, 100, 1_000, 10_000] } else { &[10, 100, 1_000, 10_000, 100_000] }
    }

    /// Streams that are touched, one command each, before the host's memory is read.
    pub(crate) fn touched_streams(self) -> &'static [u64] {
        match self {
            Self::Quick => &[50_000],
            Self::Full => &[50_000, 100_000, 200_000],
            Self::Large => &[50_000, 100_000, 200_000, 1_000_000],
        }
    }
}
