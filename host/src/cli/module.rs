//! `everfold module …`: what a component is, and how a core module becomes one.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use wit_component::ComponentEncoder;

use crate::model::AggregateDescriptor;
use crate::runtime::{Engine, EngineOptions, Module, WasiPolicy};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
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
        Verb::Inspect { file, json, wasi } => inspect(&file, json, wasi),
        Verb::Componentize { core, out } => componentize(&core, &out),
    }
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
