//! The command line: the only place where the rooms are put together.

mod config;
mod metrics;
mod migrate;
mod module;
mod reference;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Flags, LogFormat, Settings};
use crate::telemetry;

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
        Verb::Serve(flags) => prepare(&flags).and_then(serve::run),
        Verb::Migrate(flags) => prepare(&flags).and_then(migrate::run),
        Verb::Module(verb) => module::run(verb),
        Verb::Config(verb) => config::run(verb),
        Verb::Reference { page } => reference::run(page),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("everfold: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Gathers the settings and begins to log.
fn prepare(flags: &Flags) -> anyhow::Result<Settings> {
    let settings = Settings::load(flags)?;
    let format = match settings.log_format {
        LogFormat::Text => telemetry::Format::Text,
        LogFormat::Json => telemetry::Format::Json,
    };
    telemetry::init(format, &settings.log_filter)?;
    Ok(settings)
}
