//! A layer of settings, which knows what each was called where it was written: the file, the environment, the flags.

use std::collections::BTreeMap;
use std::path::Path;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::{ConfigError, invalid};

/// What the names of the host's variables begin with.
pub(super) const PREFIX: &str = "EVERFOLD_";

/// Variables that aren't settings: where the settings are, and which host the command line talks to.
const OTHERS: [&str; 2] = ["CONFIG", "URL"];

/// Settings by key, with what each was called where it was written.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    /// Where the settings were written, for errors.
    origin: String,
    values: Dict,
    labels: BTreeMap<String, String>,
}

impl Layer {
    pub(super) fn new(origin: &str) -> Self {
        Self { origin: origin.to_owned(), values: Dict::new(), labels: BTreeMap::new() }
    }

    /// Sets a key to a text; `label` is what the key is called there. A later call wins.
    pub(super) fn set(&mut self, key: &str, text: &str, label: String) {
        self.values.insert(key.to_owned(), Value::from(text));
        self.labels.insert(key.to_owned(), label);
    }

    /// The settings of a TOML file.
    pub(super) fn file(path: &Path) -> Result<Self, ConfigError> {
        let mut layer = Self::new(&path.display().to_string());
        let data = Toml::file_exact(path).data().map_err(|mut error| {
            error.metadata = Some(layer.metadata());
            invalid(error)
        })?;
        layer.values = data.into_values().flatten().collect();
        Ok(layer)
    }

    /// The host's variables: `EVERFOLD_*`, and `DATABASE_URL` unless there is an `EVERFOLD_DATABASE_URL`. An empty
    /// variable is one that isn't set.
    pub(super) fn environment(variables: impl Iterator<Item = (String, String)>) -> Self {
        let mut layer = Self::new("the environment");
        for (name, value) in variables.filter(|(_, value)| !value.is_empty()) {
            if name == "DATABASE_URL" {
                if !layer.values.contains_key("database_url") {
                    layer.set("database_url", &value, name);
                }
            } else if let Some(key) = name.strip_prefix(PREFIX)
                && !OTHERS.contains(&key)
                && !is_service_link(key)
            {
                layer.set(&key.to_ascii_lowercase(), &value, name);
            }
        }
        layer
    }

    /// Finds a name that no setting has.
    pub(super) fn check_names(&self, defaults: &Dict) -> Result<(), ConfigError> {
        let Some(key) = self.values.keys().find(|key| !defaults.contains_key(*key)) else {
            return Ok(());
        };
        let name = self.labels.get(key).unwrap_or(key).clone();
        let known = defaults.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        Err(ConfigError::Unknown { name, origin: self.origin.clone(), known })
    }

    /// Reads texts as numbers, truth values or lists where the defaults have those. A text that isn't one is left for the
    /// check of types.
    pub(super) fn typed_like(mut self, defaults: &Dict) -> Self {
        for (key, value) in &mut self.values {
            let is_truth = defaults.get(key).is_some_and(|default| default.to_bool().is_some());
            if is_truth && let Some(truth) = value.as_str().and_then(|text| text.parse::<bool>().ok()) {
                *value = Value::from(truth);
            }
            if defaults.get(key).is_some_and(|default| default.as_array().is_some())
                && let Some(text) = value.as_str()
            {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                *value = Value::from(items.collect::<Vec<_>>());
                continue;
            }
            let is_number = defaults.get(key).is_some_and(|default| default.to_num().is_some());
            if is_number && let Some(number) = value.as_str().and_then(|text| text.parse::<u64>().ok()) {
                *value = Value::from(number);
            }
        }
        self
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        let labels = self.labels.clone();
        Metadata::named(self.origin.clone()).interpolater(move |_: &Profile, keys: &[&str]| {
            let key = keys.join(".");
            labels.get(&key).cloned().unwrap_or(key)
        })
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// Whether Kubernetes made the variable for a service that is called `everfold` or `everfold-…`. It does so for every
/// service in the namespace, and a host must start beside them.
fn is_service_link(key: &str) -> bool {
    let is_port = |rest: &str| rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_digit());
    key.ends_with("SERVICE_HOST")
        || key.contains("SERVICE_PORT")
        || key == "PORT"
        || key.ends_with("_PORT")
        || key.split_once("PORT_").is_some_and(|(_, rest)| is_port(rest))
}
