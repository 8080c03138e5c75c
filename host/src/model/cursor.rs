//! A place in the whole log that a reader can keep and come back to.

use std::fmt;
use std::str::FromStr;

/// The reader has seen every event up to `position` of the log's life `epoch`.
///
/// The epoch changes when a restore or failover may have lost the log's tail: positions are then handed out anew,
/// and a cursor of the old epoch would silently skip events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The log's life.
    pub epoch: i64,
    /// The last position seen; 0 is before the first event.
    pub position: i64,
}

/// A text that is no cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no cursor: use one that the host answered, unchanged")]
pub struct CursorError(pub String);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.position)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |part: &str| match part.parse::<i64>() {
            Ok(number) if number >= 0 && !part.starts_with('+') => Ok(number),
            _ => Err(CursorError(text.to_owned())),
        };
        let (epoch, position) = text.split_once('-').ok_or_else(|| CursorError(text.to_owned()))?;
        Ok(Self { epoch: number(epoch)?, position: number(position)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_refuses_the_rest() {
        let cursor = Cursor { epoch: 7, position: 4711 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "7", "7-", "-1-2", "7-x", "7--1", "7-+1"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }
}
