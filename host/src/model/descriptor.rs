//! What a module says of itself.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// SHA-256 of a component's bytes: a module's identity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

/// A text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no digest: 64 hexadecimal digits are")]
pub struct DigestError(pub String);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || DigestError(text.to_owned());
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, place) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[place..place + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A module's answer to `describe`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModuleDescriptor {
    /// Name of the module.
    pub name: String,
    /// Its version, a semantic version.
    pub version: String,
    /// Its aggregate types.
    pub aggregates: Vec<AggregateDescriptor>,
}

/// One aggregate type of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AggregateDescriptor {
    /// Name of the aggregate type.
    pub aggregate_type: String,
    /// What it is, for people.
    pub description: Option<String>,
    /// Number for the shape of its state.
    pub state_version: u32,
    /// JSON Schema of its state.
    pub state_schema: Option<String>,
    /// Events between snapshots: 0 is never, none leaves it to the host.
    pub snapshot_interval: Option<u32>,
    /// The commands it takes.
    pub commands: Vec<CommandDescriptor>,
    /// The event types it answers, in their newest schema versions.
    pub events: Vec<EventDescriptor>,
    /// Older types and schema versions that it still reads.
    pub upcasts: Vec<EventKind>,
    /// The rejections it may answer.
    pub rejections: Vec<RejectionDescriptor>,
}

/// One command of an aggregate type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommandDescriptor {
    /// Name of the command.
    pub name: String,
    /// What it does, for people.
    pub description: Option<String>,
    /// JSON Schema of its payload.
    pub schema: Option<String>,
}

/// One event type in its newest schema version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventDescriptor {
    /// Name of the event type.
    pub event_type: String,
    /// The newest schema version.
    pub schema_version: u32,
    /// What it says, for people.
    pub description: Option<String>,
    /// JSON Schema of its payload.
    pub schema: Option<String>,
}

/// An event type in one of its schema versions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct EventKind {
    /// Name of the event type.
    pub event_type: String,
    /// The schema version.
    pub schema_version: u32,
}

/// One rejection that an aggregate type may answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RejectionDescriptor {
    /// Its code.
    pub code: String,
    /// When it is answered, for people.
    pub description: Option<String>,
    /// JSON Schema of its details.
    pub details_schema: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_round_trips_as_text() {
        let digest = Digest(std::array::from_fn(|place| place as u8 * 7));
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("ab".parse::<Digest>().is_err());
        assert!("zz".repeat(32).parse::<Digest>().is_err());
    }
}
