//! Every setting with its names, default and meaning, as the code has them: what `docs/configuration.md` is made from.

use clap::Args as _;
use documented::DocumentedFields as _;

use super::effective::shown;
use super::layer::PREFIX;
use super::{Flags, Settings};

/// Its default depends on the machine.
const CORES: &str = "shards";

/// What there is to know of one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingReference {
    /// Its name in the settings file.
    pub key: String,
    /// Its name in the environment.
    pub variable: String,
    /// Its name on the command line.
    pub flag: String,
    /// Its default; none where it isn't set.
    pub default: Option<String>,
    /// What it means.
    pub help: String,
}

/// Every setting, in the order of the code.
#[must_use]
pub fn reference() -> Vec<SettingReference> {
    let defaults = shown(&Settings::default());
    let flags = Flags::augment_args(clap::Command::new("everfold"));
    let is_flag = |key: &str| flags.get_arguments().any(|flag| flag.get_id() == key);
    let of = |key: &&'static str| {
        let default = defaults.iter().find(|(name, _)| name == key).and_then(|(_, value)| value.clone());
        SettingReference {
            key: (*key).to_owned(),
            variable: format!("{PREFIX}{}", key.to_ascii_uppercase()),
            flag: if is_flag(key) { format!("--{}", key.replace('_', "-")) } else { format!("--set {key}=…") },
            default: if *key == CORES { Some("one per core".to_owned()) } else { default },
            help: Settings::get_field_docs(*key).unwrap_or_default().replace('\n', " "),
        }
    };
    Settings::FIELD_NAMES.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_told_with_its_names() {
        let all = reference();
        assert_eq!(all.len(), shown(&Settings::default()).len());
        assert!(all.iter().all(|setting| !setting.help.is_empty()), "each field has a doc comment");
        let listen = all.iter().find(|setting| setting.key == "listen").unwrap();
        assert_eq!((listen.variable.as_str(), listen.flag.as_str()), ("EVERFOLD_LISTEN", "--listen"));
        assert_eq!(listen.default.as_deref(), Some("127.0.0.1:7400"));
        assert!(all.iter().any(|setting| setting.flag == "--set shards=…"));
    }
}
