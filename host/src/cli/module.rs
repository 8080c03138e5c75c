//! `everfold module …`: what a component is, and how a core module becomes one.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;
use wit_component::ComponentEncoder;

use super::client::{Client, Host, run as talk};
use super::table;
use crate::model::AggregateDescriptor;
use crate::runtime::{Engine, EngineOptions, Module, WasiPolicy};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// Lists the modules of a running host, with what became of each
    List {
        #[command(flatten)]
        host: Host,
        /// Tells it as the host does, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Checks a component as the host would, and tells what it holds
    Inspect {
        /// The component
        file: PathBuf,
        /// Tells it as JSON, with the schemas
        #[arg(long)]
        json: bool,
        /// Gives it the virtual WASI that a host gives to the modules of its setting `wasi_modules`
        #[arg(long)]
        wasi: bool,
    },
    /// Makes a component of a core module that was built for wasm32-unknown-unknown
    Componentize {
        /// The core module, as `cargo build --target wasm32-unknown-unknown` leaves it
        core: PathBuf,
        /// Where the component goes
        #[arg(long, short, value_name = "FILE")]
        out: PathBuf,
    },
}

pub(super) fn run(verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::List { host, json } => talk(list(host, json)),
        Verb::Inspect { file, json, wasi } => inspect(&file, json, wasi),
        Verb::Componentize { core, out } => componentize(&core, &out),
    }
}

/// A module as the host lists it.
#[derive(Debug, Deserialize)]
struct Listed {
    file: String,
    name: Option<String>,
    version: Option<String>,
    digest: Option<String>,
    aggregates: Vec<String>,
    state: String,
    reason: Option<String>,
}

async fn list(host: Host, json: bool) -> anyhow::Result<()> {
    let mut told: serde_json::Value = Client::new(&host)?.get(&["v1", "modules"], &[]).await?;
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{told:#}")?;
        return Ok(());
    }
    let modules: Vec<Listed> = serde_json::from_value(told["modules"].take()).context("the host's list isn't one")?;
    let known = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let rows: Vec<_> = modules
        .into_iter()
        .map(|module| {
            let digest = known(module.digest).chars().take(12).collect();
            let reason = module.reason.unwrap_or_default();
            let aggregates = module.aggregates.join(", ");
            [known(module.name), known(module.version), module.state, aggregates, digest, module.file, reason]
        })
        .collect();
    table::write(&mut out, ["NAME", "VERSION", "STATE", "AGGREGATES", "DIGEST", "FILE", ""], &rows)?;
    Ok(())
}

fn inspect(file: &Path, json: bool, wasi: bool) -> anyhow::Result<()> {
    let bytes = read(file)?;
    // A few places are enough to try one module.
    let wasi = if wasi { WasiPolicy::Everyone } else { WasiPolicy::Nobody };
    let engine = Engine::new(EngineOptions { max_instances: 8, wasi, ..EngineOptions::default() })?;
    let module = engine.load(&bytes).with_context(|| format!("{} is refused", file.display()))?;
    let mut out = std::io::stdout().lock();
    if json {
        let told = serde_json::json!({ "digest": module.digest(), "descriptor": module.descriptor() });
        writeln!(out, "{told:#}")?;
        return Ok(());
    }
    tell(&mut out, &module, bytes.len())?;
    Ok(())
}

fn tell(out: &mut impl std::io::Write, module: &Module, size: usize) -> std::io::Result<()> {
    let descriptor = module.descriptor();
    writeln!(out, "{} {}", descriptor.name, descriptor.version)?;
    writeln!(out, "  digest      {}", module.digest())?;
    writeln!(out, "  size        {} KiB", size.div_ceil(1024))?;
    for aggregate in &descriptor.aggregates {
        tell_aggregate(out, aggregate)?;
    }
    Ok(())
}

fn tell_aggregate(out: &mut impl std::io::Write, aggregate: &AggregateDescriptor) -> std::io::Result<()> {
    let note = |text: &Option<String>| text.as_ref().map(|text| format!("  {text}")).unwrap_or_default();
    writeln!(out, "aggregate {}{}", aggregate.aggregate_type, note(&aggregate.description))?;
    let interval = match aggregate.snapshot_interval {
        None => "as the host is set".to_owned(),
        Some(0) => "never".to_owned(),
        Some(events) => format!("every {events} events"),
    };
    writeln!(out, "  state       version {}, snapshots {interval}", aggregate.state_version)?;
    for command in &aggregate.commands {
        writeln!(out, "  command     {}{}", command.name, note(&command.description))?;
    }
    for event in &aggregate.events {
        writeln!(out, "  event       {} v{}{}", event.event_type, event.schema_version, note(&event.description))?;
    }
    for old in &aggregate.upcasts {
        writeln!(out, "  upcasts     {} v{}", old.event_type, old.schema_version)?;
    }
    for rejection in &aggregate.rejections {
        writeln!(out, "  rejection   {}{}", rejection.code, note(&rejection.description))?;
    }
    Ok(())
}

fn componentize(core: &Path, out: &Path) -> anyhow::Result<()> {
    let bytes = read(core)?;
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(ComponentEncoder::encode)
        .with_context(|| format!("{} can't be made a component", core.display()))?;
    // Renamed into place when it is whole: the target may be a directory that a host watches.
    let whole = out.with_extension("wasm.part");
    std::fs::write(&whole, component)
        .and_then(|()| std::fs::rename(&whole, out))
        .with_context(|| format!("can't write {}", out.display()))
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("can't read {}", file.display()))
}
