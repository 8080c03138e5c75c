//! The flags that set settings: the common ones by name, all others by `--set`.

use std::path::PathBuf;

use super::ConfigError;
use super::layer::Layer;

/// Settings given on the command line.
///
/// The values are text here and checked with those of all other layers, so that a wrong one is reported in one way.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Flags {
    /// Settings file [default: ./everfold.toml, if there is one]
    #[arg(long, value_name = "FILE", env = "EVERFOLD_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where the host keeps its private PostgreSQL cluster and compiled modules [default: ./everfold-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// The directory that is watched for modules [default: ./modules]
    #[arg(long, value_name = "DIR")]
    pub modules_dir: Option<String>,
    /// Whether a rebuilt module may keep its version (auto) or needs a new one (manual) [default: auto]
    #[arg(long, value_name = "MODE")]
    pub modules_mode: Option<String>,
    /// Address and port of the HTTP API [default: 127.0.0.1:7400]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// PostgreSQL database of the log; better set by the environment, where other users don't see it [default: a private
    /// cluster in the data directory]
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// Folder that holds `postgres` and `initdb`, for the private cluster [default: looked for]
    #[arg(long, value_name = "DIR")]
    pub pg_bin: Option<String>,
    /// How log lines are written: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Which log lines are written, such as `info` or `warn,everfold=debug` [default: info, without PostgreSQL's notices]
    #[arg(long, value_name = "FILTER")]
    pub log_filter: Option<String>,
    /// Any other setting, by its name in the settings file; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl Flags {
    /// The flags that were given, as a layer of settings.
    pub(super) fn layer(&self) -> Result<Layer, ConfigError> {
        let mut layer = Layer::new("the command line");
        for pair in &self.set {
            let (key, value) = pair.split_once('=').ok_or_else(|| ConfigError::NotAPair(pair.clone()))?;
            layer.set(key, value, format!("--set {key}"));
        }
        let named = [
            ("data_dir", &self.data_dir),
            ("modules_dir", &self.modules_dir),
            ("modules_mode", &self.modules_mode),
            ("listen", &self.listen),
            ("database_url", &self.database_url),
            ("pg_bin", &self.pg_bin),
            ("log_format", &self.log_format),
            ("log_filter", &self.log_filter),
        ];
        for (key, value) in named {
            if let Some(value) = value {
                layer.set(key, value, format!("--{}", key.replace('_', "-")));
            }
        }
        Ok(layer)
    }
}
