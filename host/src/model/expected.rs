//! What an append or command demands of its stream.

use std::fmt;
use std::str::FromStr;

use super::NO_STREAM;

/// What must be true of a stream for an append or command to go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ExpectedVersion {
    /// Nothing.
    #[default]
    Any,
    /// It has events.
    Exists,
    /// It has none.
    NoStream,
    /// Its last event has this version, 0 or more.
    Exact(i64),
}

/// A text that is no expected version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no expected version: use a version (0, 1, 2 …), no-stream, exists or any")]
pub struct ExpectedVersionError(pub String);

impl ExpectedVersion {
    /// What an event that is to have this version, 0 or more, demands of its stream.
    #[must_use]
    pub fn before(version: i64) -> Self {
        if version == 0 { Self::NoStream } else { Self::Exact(version - 1) }
    }

    /// Whether a stream at `version` (-1 for none) meets the demand.
    #[must_use]
    pub fn admits(self, version: i64) -> bool {
        match self {
            Self::Any => true,
            Self::Exists => version > NO_STREAM,
            Self::NoStream => version == NO_STREAM,
            Self::Exact(expected) => version == expected,
        }
    }
}

impl FromStr for ExpectedVersion {
    type Err = ExpectedVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "any" => Ok(Self::Any),
            "exists" => Ok(Self::Exists),
            "no-stream" => Ok(Self::NoStream),
            number => match number.parse::<i64>() {
                Ok(version) if version >= 0 => Ok(Self::Exact(version)),
                _ => Err(ExpectedVersionError(text.to_owned())),
            },
        }
    }
}

impl fmt::Display for ExpectedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Exists => f.write_str("exists"),
            Self::NoStream => f.write_str("no-stream"),
            Self::Exact(version) => write!(f, "{version}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_round_trip_and_others_are_refused() {
        for text in ["any", "exists", "no-stream", "0", "41"] {
            assert_eq!(text.parse::<ExpectedVersion>().expect("valid").to_string(), text);
        }
        for text in ["", "-1", "none", "1.5", "9223372036854775808"] {
            assert!(text.parse::<ExpectedVersion>().is_err(), "{text}");
        }
    }

    #[test]
    fn each_mode_admits_what_it_says() {
        let admitted = |mode: ExpectedVersion| [-1, 0, 7].map(|version| mode.admits(version));
        assert_eq!(admitted(ExpectedVersion::Any), [true, true, true]);
        assert_eq!(admitted(ExpectedVersion::Exists), [false, true, true]);
        assert_eq!(admitted(ExpectedVersion::NoStream), [true, false, false]);
        assert_eq!(admitted(ExpectedVersion::Exact(7)), [false, false, true]);
    }
}
