//! The host's settings, gathered from defaults, a TOML file, the environment and flags; the later of these wins.
//!
//! A setting has one name everywhere: `data_dir` in the file is `EVERFOLD_DATA_DIR` in the environment and `--data-dir`, or
//! `--set data_dir=…`, on the command line. `DATABASE_URL` is read too. An unknown name is an error, and so is a value
//! that doesn't fit; both name where they came from.

mod database_url;
mod effective;
mod flags;
mod layer;
mod reference;

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::thread;

use documented::DocumentedFields;
use figment::Figment;
use figment::providers::Serialized;
use serde::{Deserialize, Serialize};

pub use database_url::DatabaseUrl;
pub use effective::Effective;
pub use flags::Flags;
use layer::Layer;
pub use reference::{SettingReference, reference};

/// The settings file that is read when none is named and this one exists.
const USUAL_FILE: &str = "everfold.toml";

/// Every setting of a host. Relative paths are relative to the working directory.
#[derive(Debug, Clone, Serialize, Deserialize, DocumentedFields)]
pub struct Settings {
    /// Where the host keeps its private PostgreSQL cluster and compiled modules. Default `./everfold-data`.
    pub data_dir: PathBuf,
    /// The directory that is watched for modules. Default `./modules`.
    pub modules_dir: PathBuf,
    /// The address and port of the HTTP API. Default `127.0.0.1:7400`, which only this machine reaches.
    pub listen: SocketAddr,
    /// The PostgreSQL database of the log. Default none: the host runs a private cluster in `data_dir`.
    pub database_url: Option<DatabaseUrl>,
    /// Connections to PostgreSQL for everything but the writer, at most; half of them are for pages. Default 16.
    pub database_connections: NonZeroU32,
    /// The folder that holds `postgres` and `initdb`, for the private cluster. Default none: looked for.
    pub pg_bin: Option<PathBuf>,
    /// How log lines are written to standard error. Default `text`.
    pub log_format: LogFormat,
    /// Which log lines are written, in the syntax of tracing's `EnvFilter`. Default `info`, without PostgreSQL's notices.
    pub log_filter: String,
    /// Tasks that run guest code, each with the streams that hash to it. Default: one per core.
    pub shards: NonZeroUsize,
    /// Aggregates kept in memory between commands, at most, over all shards. Default 100,000.
    pub residents: NonZeroUsize,
    /// Events in one commit, at most; a single append may be larger. Default 1,000.
    pub writer_max_events: NonZeroUsize,
    /// Bytes of payload and metadata in one commit, at most; a single append may be larger. Default 4 MiB.
    pub writer_max_bytes: NonZeroUsize,
    /// Appends that wait for the writer, at most; more are answered `overloaded`. Default 10,000.
    pub writer_queue: NonZeroUsize,
    /// How long a command may take when the caller says nothing, in milliseconds. Default 10,000.
    pub command_timeout_ms: NonZeroU64,
    /// The longest timeout a caller may ask for, in milliseconds. Default 60,000.
    pub command_timeout_max_ms: NonZeroU64,
    /// Connections of clients that may be open at once; one more is answered `overloaded`. Default 10,000.
    pub max_connections: NonZeroUsize,
    /// Bytes of one request's body, at most; lines of a bulk request count each for itself. Default 4 MiB.
    pub max_body_bytes: NonZeroUsize,
    /// Bytes that the bodies of all requests may take in memory together; more is answered `overloaded`. Default 256 MiB.
    pub max_bodies_bytes: NonZeroUsize,
    /// Entries of one page of a list, at most. Default 1,000.
    pub max_page_limit: NonZeroU32,
    /// Bytes of one command's or one event's payload, at most. Default 1 MiB.
    pub max_payload_bytes: NonZeroUsize,
    /// Events of one command or one raw append, at most. Default 1,000.
    pub max_events_per_append: NonZeroUsize,
    /// Memory that one instance of a module may take, in bytes. Default 64 MiB.
    pub guest_memory_limit_bytes: NonZeroUsize,
    /// How long a module may take to decide one command, in milliseconds. Decisions take microseconds: this is for one
    /// that loops, and leaves room for a busy machine. Default 500.
    pub guest_decide_ms: NonZeroU64,
    /// How long a module may take to apply one batch of events, in milliseconds. Default 2,000.
    pub guest_apply_ms: NonZeroU64,
    /// Faults of a module in a row, on one stream, that set the stream aside: further requests are answered
    /// `module-quarantined` without calling the module. 0 is never. Default 5.
    pub quarantine_after_faults: u32,
    /// Faults of a module within a minute, on several streams of a tenant and in half of its calls, that trip the module's
    /// breaker: the tenant's requests are answered `module-quarantined`. 0 is never. Default 20.
    pub breaker_after_faults: u32,
    /// How long a stream stays in quarantine, or a breaker tripped, until one request is let through as a probe, in
    /// milliseconds. It doubles with each probe that fails, to ten minutes. Default 10,000.
    pub quarantine_ms: NonZeroU64,
    /// Events of a stream between two snapshots, where the module doesn't say. Default 100.
    pub snapshot_interval: NonZeroU64,
    /// Whether a name and version of a module may come to stand for another component. Default `auto`: they may.
    pub modules_mode: ModulesMode,
    /// Names of modules that are given a virtual WASI: no files, network, environment or arguments, and clocks and random
    /// numbers that never change. A list in the file; elsewhere separated by commas. Default none: a module that imports
    /// WASI is refused.
    pub wasi_modules: Vec<String>,
    /// How often `modules_dir` is looked through in case its watcher missed a change, in milliseconds. Default 2,000.
    pub modules_poll_ms: NonZeroU64,
    /// How long the outcome of a command with an idempotency key is kept, in days. Default 7.
    pub receipts_retention_days: NonZeroU32,
    /// How long commands under way may take to finish when the host shuts down, in seconds. Default 20.
    pub shutdown_grace_seconds: u64,
    /// Whether a refused file in `modules_dir` makes the host unready, so that a roll-out stops at it. Default false: what
    /// served before serves on, and `/readyz` only tells of it.
    pub ready_needs_all_modules: bool,
    /// Where traces go: the base URL of a collector that takes OTLP over HTTP, such as `http://localhost:4318`. Default
    /// none: no traces. The standard `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` and
    /// `OTEL_SERVICE_NAME` are read too; this setting wins over the first two.
    pub otlp_endpoint: Option<String>,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line of text each, for people.
    Text,
    /// One JSON object each, for machines.
    Json,
}

/// What a name and version of a module stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModulesMode {
    /// The newest component of them: what a developer who rebuilds wants.
    Auto,
    /// The first component of them, for good.
    Manual,
}

/// Settings that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that was named isn't there.
    #[error("the settings file {} doesn't exist", .0.display())]
    NoFile(PathBuf),
    /// A name that no setting has.
    #[error("there is no setting `{name}`, which is set in {origin}; known are: {known}")]
    Unknown {
        /// The name, as it was written.
        name: String,
        /// Where it was written.
        origin: String,
        /// The names that there are.
        known: String,
    },
    /// An argument of `--set` that isn't `KEY=VALUE`.
    #[error("`--set {0}` isn't of the form `--set KEY=VALUE`")]
    NotAPair(String),
    /// A value that doesn't fit, or a file that isn't TOML.
    #[error("{0}")]
    Invalid(Box<figment::Error>),
    /// Values that don't fit together.
    #[error("{0}")]
    Conflict(String),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: "./everfold-data".into(),
            modules_dir: "./modules".into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 7400)),
            database_url: None,
            database_connections: const { NonZeroU32::new(16).unwrap() },
            pg_bin: None,
            log_format: LogFormat::Text,
            log_filter: "info,sqlx::postgres::notice=warn".to_owned(),
            shards: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            residents: const { NonZeroUsize::new(100_000).unwrap() },
            writer_max_events: const { NonZeroUsize::new(1_000).unwrap() },
            writer_max_bytes: const { NonZeroUsize::new(4 << 20).unwrap() },
            writer_queue: const { NonZeroUsize::new(10_000).unwrap() },
            command_timeout_ms: const { NonZeroU64::new(10_000).unwrap() },
            command_timeout_max_ms: const { NonZeroU64::new(60_000).unwrap() },
            max_connections: const { NonZeroUsize::new(10_000).unwrap() },
            max_body_bytes: const { NonZeroUsize::new(4 << 20).unwrap() },
            max_bodies_bytes: const { NonZeroUsize::new(256 << 20).unwrap() },
            max_page_limit: const { NonZeroU32::new(1_000).unwrap() },
            max_payload_bytes: const { NonZeroUsize::new(1 << 20).unwrap() },
            max_events_per_append: const { NonZeroUsize::new(1_000).unwrap() },
            guest_memory_limit_bytes: const { NonZeroUsize::new(64 << 20).unwrap() },
            guest_decide_ms: const { NonZeroU64::new(500).unwrap() },
            guest_apply_ms: const { NonZeroU64::new(2_000).unwrap() },
            quarantine_after_faults: 5,
            breaker_after_faults: 20,
            quarantine_ms: const { NonZeroU64::new(10_000).unwrap() },
            snapshot_interval: const { NonZeroU64::new(100).unwrap() },
            modules_mode: ModulesMode::Auto,
            wasi_modules: Vec::new(),
            modules_poll_ms: const { NonZeroU64::new(2_000).unwrap() },
            receipts_retention_days: const { NonZeroU32::new(7).unwrap() },
            shutdown_grace_seconds: 20,
            ready_needs_all_modules: false,
            otlp_endpoint: None,
        }
    }
}

impl Settings {
    /// Gathers the settings from the file that the flags name (or `everfold.toml`, if there is one), the process's
    /// environment and the flags.
    ///
    /// # Errors
    /// When a name is unknown, a value doesn't fit, or the named file isn't there. The message names the source.
    pub fn load(flags: &Flags) -> Result<Self, ConfigError> {
        Self::gather(flags, environment(), Path::new(USUAL_FILE))
    }

    fn gather(
        flags: &Flags,
        env: impl Iterator<Item = (String, String)>,
        usual_file: &Path,
    ) -> Result<Self, ConfigError> {
        let settings: Self = Self::layered(flags, env, usual_file)?.extract().map_err(invalid)?;
        settings.check()
    }

    /// The layers upon each other, the strongest last.
    fn layered(
        flags: &Flags,
        env: impl Iterator<Item = (String, String)>,
        usual_file: &Path,
    ) -> Result<Figment, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        let defaults =
            figment::Provider::data(&figment).map_err(invalid)?.remove(&figment::Profile::Default).unwrap_or_default();
        let file = match &flags.config {
            Some(named) if !named.exists() => return Err(ConfigError::NoFile(named.clone())),
            Some(named) => Some(named.as_path()),
            None => Some(usual_file).filter(|file| file.exists()),
        };
        let file = file.map(Layer::file).transpose()?;
        for layer in file.into_iter().chain([Layer::environment(env), flags.layer()?]) {
            layer.check_names(&defaults)?;
            figment = figment.merge(layer.typed_like(&defaults));
        }
        Ok(figment)
    }

    /// Settings that only make sense together.
    fn check(self) -> Result<Self, ConfigError> {
        let (usual, longest) = (self.command_timeout_ms, self.command_timeout_max_ms);
        if usual > longest {
            let message = format!("command_timeout_ms ({usual}) is above command_timeout_max_ms ({longest})");
            return Err(ConfigError::Conflict(message));
        }
        let (payload, body) = (self.max_payload_bytes, self.max_body_bytes);
        if payload > body {
            let message =
                format!("max_payload_bytes ({payload}) is above max_body_bytes ({body}), which no payload fits");
            return Err(ConfigError::Conflict(message));
        }
        Ok(self)
    }
}

/// The process's variables. One that isn't text can't be ours: all our names and values are.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn invalid(error: figment::Error) -> ConfigError {
    ConfigError::Invalid(Box::new(error))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Gathers from a file's text, variables and flags; nothing of the machine's own comes in.
    fn gather(toml: &str, env: &[(&str, &str)], flags: Flags) -> Result<Settings, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("everfold.toml");
        if !toml.is_empty() {
            fs::write(&file, toml).unwrap();
        }
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::gather(&flags, env, &file)
    }

    fn set(pairs: &[&str]) -> Flags {
        Flags { set: pairs.iter().map(|pair| (*pair).to_owned()).collect(), ..Flags::default() }
    }

    fn message(result: Result<Settings, ConfigError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn nothing_set_gives_the_defaults() {
        let settings = gather("", &[("HOME", "/root"), ("PATH", "/bin")], Flags::default()).unwrap();
        assert_eq!(format!("{settings:?}"), format!("{:?}", Settings::default()));
    }

    #[test]
    fn the_later_layer_wins() {
        let toml = "shards = 1\nresidents = 1\nlog_filter = '1'\nsnapshot_interval = 1";
        let env = [("EVERFOLD_SHARDS", "2"), ("EVERFOLD_RESIDENTS", "2"), ("EVERFOLD_LOG_FILTER", "2")];
        let flags = Flags { log_filter: Some("3".to_owned()), ..set(&["shards=3"]) };
        let settings = gather(toml, &env, flags).unwrap();
        let numbers = (settings.shards.get(), settings.residents.get(), settings.snapshot_interval.get());
        assert_eq!((numbers, settings.log_filter.as_str()), ((3, 2, 1), "3"));
    }

    #[test]
    fn a_wrong_value_names_its_source() {
        let of_env = message(gather("", &[("EVERFOLD_SHARDS", "many")], Flags::default()));
        assert!(of_env.contains("EVERFOLD_SHARDS") && of_env.contains("environment"), "{of_env}");
        let of_flag = message(gather("", &[], Flags { listen: Some("here".to_owned()), ..Flags::default() }));
        assert!(of_flag.contains("--listen") && of_flag.contains("command line"), "{of_flag}");
        let of_file = message(gather("residents = 0", &[], Flags::default()));
        assert!(of_file.contains("residents") && of_file.contains("everfold.toml"), "{of_file}");
        let broken = message(gather("residents = ", &[], Flags::default()));
        assert!(broken.contains("everfold.toml"), "{broken}");
    }

    #[test]
    fn an_unknown_name_is_an_error() {
        let in_file = message(gather("shard = 2", &[], Flags::default()));
        assert!(in_file.contains("`shard`") && in_file.contains("everfold.toml"), "{in_file}");
        let in_env = message(gather("", &[("EVERFOLD_SHARD", "2")], Flags::default()));
        assert!(in_env.contains("`EVERFOLD_SHARD`") && in_env.contains("the environment"), "{in_env}");
        let in_flag = message(gather("", &[], set(&["shard=2"])));
        assert!(in_flag.contains("`--set shard`") && in_flag.contains("shards"), "{in_flag}");
    }

    #[test]
    fn variables_of_a_kubernetes_service_named_everfold_are_passed_over() {
        let env = [
            ("EVERFOLD_SERVICE_HOST", "10.0.0.1"),
            ("EVERFOLD_SERVICE_PORT_HTTP", "7400"),
            ("EVERFOLD_PORT", "tcp://10.0.0.1:7400"),
            ("EVERFOLD_PORT_7400_TCP_ADDR", "10.0.0.1"),
        ];
        gather("", &env, Flags::default()).unwrap();
    }

    #[test]
    fn what_only_the_command_line_reads_is_passed_over() {
        let env = [("EVERFOLD_URL", "http://here:7400"), ("EVERFOLD_CONFIG", "x.toml")];
        gather("", &env, Flags::default()).unwrap();
    }

    #[test]
    fn the_database_url_has_two_variables() {
        let url = |env: &[(&str, &str)]| {
            let settings = gather("", env, Flags::default()).unwrap();
            settings.database_url.map(|url| url.expose().to_owned())
        };
        assert_eq!(url(&[("DATABASE_URL", "")]), None);
        assert_eq!(url(&[("DATABASE_URL", "postgres://a/b")]).unwrap(), "postgres://a/b");
        let both = [("EVERFOLD_DATABASE_URL", "postgres://c/d"), ("DATABASE_URL", "postgres://a/b")];
        assert_eq!(url(&both).unwrap(), "postgres://c/d");
    }

    #[test]
    fn text_stays_text() {
        let env = [("EVERFOLD_DATA_DIR", "2026"), ("EVERFOLD_LOG_FILTER", "[x]=info,everfold=debug")];
        let settings = gather("", &env, Flags::default()).unwrap();
        assert_eq!(settings.data_dir, Path::new("2026"));
        assert_eq!(settings.log_filter, "[x]=info,everfold=debug");
    }

    #[test]
    fn a_list_is_separated_by_commas_where_there_are_no_lists() {
        let names = |toml: &str, env: &[(&str, &str)], flags| gather(toml, env, flags).unwrap().wasi_modules;
        assert_eq!(names("", &[("EVERFOLD_WASI_MODULES", "bank, stock")], Flags::default()), ["bank", "stock"]);
        assert_eq!(names("wasi_modules = ['bank']", &[], Flags::default()), ["bank"]);
        assert_eq!(names("wasi_modules = ['bank']", &[], set(&["wasi_modules="])), Vec::<String>::new());
    }

    #[test]
    fn a_secret_is_in_no_message() {
        let env = [("DATABASE_URL", "postgres://me:s3cret@host/db?password=s3cret")];
        let settings = gather("", &env, Flags::default()).unwrap();
        assert!(!format!("{settings:?}").contains("s3cret"), "{settings:?}");
        let wrong = message(gather("", &[("DATABASE_URL", "mysql://me:s3cret@host/db")], Flags::default()));
        assert!(!wrong.contains("s3cret") && wrong.contains("DATABASE_URL"), "{wrong}");
    }

    #[test]
    fn a_named_file_must_be_there() {
        let flags = Flags { config: Some("/no/such.toml".into()), ..Flags::default() };
        assert!(message(gather("", &[], flags)).contains("/no/such.toml"));
    }

    #[test]
    fn each_setting_knows_where_it_came_from() {
        let env = [
            ("EVERFOLD_SHARDS", "3"),
            ("EVERFOLD_READY_NEEDS_ALL_MODULES", "true"),
            ("DATABASE_URL", "postgres://me:s3cret@a/b"),
        ];
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let all = Settings::effective_of(&set(&["residents=7"]), env, Path::new("/no/file")).unwrap();
        let of = |key: &str| all.iter().find(|setting| setting.key == key).unwrap();
        let expect = |key: &str, value: &str, origin: &str| {
            assert_eq!((of(key).value.as_deref(), of(key).origin.as_str()), (Some(value), origin), "{key}");
        };
        expect("shards", "3", "the environment");
        expect("ready_needs_all_modules", "true", "the environment");
        expect("residents", "7", "the command line");
        expect("listen", "127.0.0.1:7400", "default");
        expect("database_url", "postgres://me:***@a/b", "the environment");
        assert_eq!(of("pg_bin").value, None);
    }

    #[test]
    fn settings_fit_together() {
        let message_of_bodies = message(gather("max_body_bytes = 1000", &[], Flags::default()));
        assert!(message_of_bodies.contains("max_body_bytes (1000)"), "{message_of_bodies}");
        let message = message(gather("command_timeout_ms = 70000", &[], Flags::default()));
        assert!(message.contains("command_timeout_max_ms (60000)"), "{message}");
        assert!(matches!(gather("", &[], set(&["shards"])), Err(ConfigError::NotAPair(_))));
    }
}
