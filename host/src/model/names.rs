//! Names that users choose: tenants, aggregate types, stream ids, idempotency keys, checked once when they enter.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A name that can't be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("{what} must not be empty")]
    Empty {
        /// Which name.
        what: &'static str,
    },
    /// Longer than its limit.
    #[error("{what} has {length} bytes; at most {limit} are allowed")]
    TooLong {
        /// Which name.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Holds a character outside its alphabet.
    #[error("{what} contains {character:?}, which is not allowed; use {allowed}")]
    Character {
        /// Which name.
        what: &'static str,
        /// The first such character.
        character: char,
        /// What is allowed.
        allowed: &'static str,
    },
}

/// Letters, digits and the few marks that need no escaping in a path, a topic or a log line.
fn identifier_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// Any printable text: natural keys such as e-mail addresses are fine; control characters are not.
fn text_character(c: char) -> bool {
    !c.is_control()
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $limit:literal, $valid:path, $allowed:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Longest such name, in bytes.
            pub const MAX_BYTES: usize = $limit;

            /// Checks length and characters.
            ///
            /// # Errors
            /// A [`NameError`] that says what is wrong with the name.
            pub fn new(name: impl AsRef<str>) -> Result<Self, NameError> {
                let name = name.as_ref();
                if name.is_empty() {
                    return Err(NameError::Empty { what: $what });
                }
                if name.len() > Self::MAX_BYTES {
                    return Err(NameError::TooLong { what: $what, length: name.len(), limit: Self::MAX_BYTES });
                }
                match name.chars().find(|c| !$valid(*c)) {
                    Some(character) => Err(NameError::Character { what: $what, character, allowed: $allowed }),
                    None => Ok(Self(name.into())),
                }
            }

            /// The name's text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(name: String) -> Result<Self, NameError> {
                Self::new(name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }
    };
}

name!(
    /// Owner of streams that nobody else reads, writes or addresses.
    Tenant, "the tenant", 64, identifier_character, "letters, digits, '.', '_' and '-'"
);
name!(
    /// Name of an aggregate type, as its module declares it.
    AggregateType, "the aggregate type", 100, identifier_character, "letters, digits, '.', '_' and '-'"
);
name!(
    /// A stream's id within its tenant and aggregate type.
    StreamId, "the stream id", 200, text_character, "printable characters"
);
name!(
    /// The key that makes a repeated request the same request.
    IdempotencyKey, "the idempotency key", 200, text_character, "printable characters"
);

impl Tenant {
    /// The tenant of requests that name none.
    #[must_use]
    pub fn default_tenant() -> Self {
        Self("default".into())
    }
}

/// One stream: the events of one aggregate instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    /// Whose stream it is.
    pub tenant: Tenant,
    /// The type of the aggregate.
    pub aggregate_type: AggregateType,
    /// Its id.
    pub stream_id: StreamId,
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.tenant, self.aggregate_type, self.stream_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_refused_with_its_reason() {
        assert_eq!(Tenant::new(""), Err(NameError::Empty { what: "the tenant" }));
        assert!(matches!(Tenant::new("a/b"), Err(NameError::Character { character: '/', .. })));
        assert!(matches!(StreamId::new("x".repeat(201)), Err(NameError::TooLong { length: 201, limit: 200, .. })));
        assert!(matches!(StreamId::new("a\0b"), Err(NameError::Character { character: '\0', .. })));
    }

    #[test]
    fn a_stream_id_may_be_a_natural_key() {
        assert_eq!(StreamId::new("Zoë@example.org/7").expect("valid").as_str(), "Zoë@example.org/7");
    }
}
