//! JSON text that is kept exactly as it came.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Text that can't be kept as JSON, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not UTF-8, or not JSON.
    #[error("not valid JSON: {0}")]
    Syntax(String),
    /// Nested deeper than any reader must be able to follow.
    #[error("JSON is nested deeper than {limit} levels")]
    TooDeep {
        /// The limit in levels.
        limit: usize,
    },
}

/// One JSON value as the text it came in; surrounding white space is dropped, nothing else changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// Deepest nesting: what common JSON readers accept.
    pub const MAX_DEPTH: usize = 127;

    /// Checks that the bytes are one JSON value in UTF-8.
    ///
    /// # Errors
    /// [`JsonError`] names the place of a syntax error, or the nesting that is too deep.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        let value: Box<RawValue> =
            serde_json::from_slice(bytes).map_err(|error| JsonError::Syntax(error.to_string()))?;
        Self(value).within_depth()
    }

    /// Checks the nesting of a value that was read as a part of another.
    ///
    /// # Errors
    /// [`JsonError::TooDeep`].
    pub fn within_depth(self) -> Result<Self, JsonError> {
        if depth(self.as_str().as_bytes()) > Self::MAX_DEPTH {
            return Err(JsonError::TooDeep { limit: Self::MAX_DEPTH });
        }
        Ok(self)
    }

    /// Takes text that was checked before it was stored.
    ///
    /// # Errors
    /// [`JsonError::Syntax`] where it isn't JSON after all.
    pub fn from_stored(text: String) -> Result<Self, JsonError> {
        RawValue::from_string(text).map(Self).map_err(|error| JsonError::Syntax(error.to_string()))
    }

    /// Writes a value as JSON.
    ///
    /// # Panics
    /// Where the value has no JSON form, such as a map with keys that aren't text: the host's own types all have one.
    #[must_use]
    pub fn of(value: &impl Serialize) -> Self {
        Self(serde_json::value::to_raw_value(value).expect("the host's own types have a JSON form"))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Json {}

/// Deepest nesting of valid JSON.
fn depth(json: &[u8]) -> usize {
    let (mut now, mut deepest, mut in_string, mut escaped) = (0usize, 0usize, false, false);
    for &byte in json {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                now += 1;
                deepest = deepest.max(now);
            }
            b']' | b'}' => now -= 1,
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kept_exactly() {
        let text = r#"{"b":1.0, "a" : "\u0041", "b":2}"#;
        assert_eq!(Json::parse(text.as_bytes()).expect("valid").as_str(), text);
    }

    #[test]
    fn nesting_is_bounded_and_brackets_in_strings_do_not_count() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(Json::parse(nested(127).as_bytes()).is_ok());
        assert_eq!(Json::parse(nested(128).as_bytes()), Err(JsonError::TooDeep { limit: 127 }));
        assert!(Json::parse(format!("\"{}\\\"{}\"", "[".repeat(200), "[".repeat(200)).as_bytes()).is_ok());
    }

    #[test]
    fn bytes_that_are_not_json_are_refused() {
        assert!(matches!(Json::parse(b"{\"a\":\xff}"), Err(JsonError::Syntax(_))));
        assert!(matches!(Json::parse(b"{\"a\":\"\0\"}"), Err(JsonError::Syntax(_))));
        assert!(matches!(Json::parse(b"{} {}"), Err(JsonError::Syntax(_))));
    }
}
