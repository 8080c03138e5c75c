//! `everfold config …`: the settings as they hold.

use std::io::Write as _;

use crate::config::{Flags, Settings};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// Prints every setting, its value and where that came from; passwords are hidden
    Show {
        #[command(flatten)]
        flags: Flags,
        /// Prints them as JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(verb: Verb) -> anyhow::Result<()> {
    let Verb::Show { flags, json } = verb;
    let settings = Settings::effective(&flags)?;
    let mut out = std::io::stdout().lock();
    if json {
        let entry = |setting: &crate::config::Effective| {
            (setting.key.clone(), serde_json::json!({ "value": setting.value, "origin": setting.origin }))
        };
        let all: serde_json::Map<_, _> = settings.iter().map(entry).collect();
        writeln!(out, "{:#}", serde_json::Value::Object(all))?;
        return Ok(());
    }
    let width = settings.iter().map(|setting| setting.key.len()).max().unwrap_or_default();
    for setting in &settings {
        let value = setting.value.as_deref().unwrap_or("-");
        writeln!(out, "{:width$}  {value}  ({})", setting.key, setting.origin)?;
    }
    Ok(())
}
