//! The command line: the only place where the rooms are put together.

mod client;
mod config;
mod doctor;
mod events;
mod export;
mod import;
mod lines;
mod metrics;
mod migrate;
mod module;
mod progress;
mod reference;
mod serve;
mod stream;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Flags, LogFormat, Settings};
use crate::telemetry::{self, Telemetry, TracesTo};

/// A WebAssembly-pluggable event store host on PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "everfold", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs the host until it is told to stop
    Serve(Flags),
    /// Brings the database's schema up to date, and ends
    Migrate(Flags),
    /// Looks at database, machine and modules, and says what is wrong and what to do. Ends with 0, with 1 where something
    /// is to be warned of, with 2 where something is broken
    Doctor {
        #[command(flatten)]
        flags: Flags,
        /// Reports as JSON
        #[arg(long)]
        json: bool,
    },
    /// Brings history into a running host; the same file again changes nothing
    Import(import::Import),
    /// Writes a running host's history as lines that `import` takes
    Export(export::Export),
    /// Looks at streams of a running host
    #[command(subcommand)]
    Stream(stream::Verb),
    /// Looks at the log of a running host
    #[command(subcommand)]
    Events(events::Verb),
    /// Looks at and makes modules
    #[command(subcommand)]
    Module(module::Verb),
    /// Tells what the host is set to
    #[command(subcommand)]
    Config(config::Verb),
    /// Prints a page of the documentation that is made from the code
    #[command(hide = true)]
    Reference {
        /// Which one
        page: reference::Page,
    },
}

/// Runs the command that the process was started with.
#[must_use]
#[expect(clippy::print_stderr, reason = "an error of the command line goes to the terminal")]
pub fn run() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Doctor { flags, json } => match prepare(&flags).and_then(|settings| doctor::run(&settings, json)) {
            Ok(worst) => return worst,
            Err(error) => Err(error),
        },
        Verb::Serve(flags) => serve(&flags),
        Verb::Migrate(flags) => prepare(&flags).and_then(migrate::run),
        Verb::Import(import) => import::run(&import),
        Verb::Export(export) => export::run(&export),
        Verb::Stream(verb) => stream::run(verb),
        Verb::Events(verb) => events::run(verb),
        Verb::Module(verb) => module::run(verb),
        Verb::Config(verb) => config::run(verb),
        Verb::Reference { page } => reference::run(page),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("everfold: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The one verb that makes traces.
fn serve(flags: &Flags) -> anyhow::Result<()> {
    let settings = Settings::load(flags)?;
    let telemetry = begin(&settings, Some(TracesTo(settings.otlp_endpoint.as_deref())))?;
    let served = serve::run(settings);
    telemetry.end();
    served
}

/// Gathers the settings and begins to log.
fn prepare(flags: &Flags) -> anyhow::Result<Settings> {
    let settings = Settings::load(flags)?;
    // Without traces nothing is left to send at the end.
    drop(begin(&settings, None)?);
    Ok(settings)
}

fn begin(settings: &Settings, traces: Option<TracesTo<'_>>) -> anyhow::Result<Telemetry> {
    let format = match settings.log_format {
        LogFormat::Text => telemetry::Format::Text,
        LogFormat::Json => telemetry::Format::Json,
    };
    Ok(telemetry::init(format, &settings.log_filter, traces)?)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let is_broken = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
    error.downcast_ref::<std::io::Error>().is_some_and(is_broken)
}
