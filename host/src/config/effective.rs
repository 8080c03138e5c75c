//! The settings as they hold, each with where it came from: what `everfold config show` prints.

use std::path::Path;

use serde_json::Value;

use super::{ConfigError, Flags, Settings, USUAL_FILE, environment, invalid};

/// A setting as it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// Its name.
    pub key: String,
    /// Its value as it may be shown: without passwords. None where it isn't set and has no default.
    pub value: Option<String>,
    /// Where it was set: `default`, the file's path, `the environment` or `the command line`.
    pub origin: String,
}

impl Settings {
    /// Every setting as [`load`](Self::load) would gather it, by name.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn effective(flags: &Flags) -> Result<Vec<Effective>, ConfigError> {
        Self::effective_of(flags, environment(), Path::new(USUAL_FILE))
    }

    pub(super) fn effective_of(
        flags: &Flags,
        env: impl Iterator<Item = (String, String)>,
        usual_file: &Path,
    ) -> Result<Vec<Effective>, ConfigError> {
        let figment = Self::layered(flags, env, usual_file)?;
        let settings: Self = figment.extract().map_err(invalid)?;
        let shown = shown(&settings.check()?);
        let origin = |key: &str| match figment.find_metadata(key) {
            Some(metadata) if metadata.source.is_none() => metadata.name.clone().into_owned(),
            _ => "default".to_owned(),
        };
        Ok(shown.into_iter().map(|(key, value)| Effective { origin: origin(&key), key, value }).collect())
    }
}

/// Names and values as they may be shown.
pub(super) fn shown(settings: &Settings) -> Vec<(String, Option<String>)> {
    let Ok(Value::Object(values)) = serde_json::to_value(settings) else { return Vec::new() };
    let text = |value: Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    values.into_iter().map(|(key, value)| (key, text(value))).collect()
}
