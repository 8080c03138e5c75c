//! `cargo xtask`: the repository's own commands.
//!
//! Rust, a C linker and git are all that a machine must bring. Whatever else a command needs, it looks for first and
//! fetches second, saying so, through the client of a package registry that the machine already uses.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool speaks to its terminal")]

mod api;
mod bench;
mod cache;
mod cluster;
mod debian;
mod demo;
mod docs;
mod guests;
mod node;
mod postgres;
mod process;
mod python;
mod sqlx;
mod suite;
mod tidy;
mod torture;
mod wasm_std;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The repository's own commands")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Sets up what is missing, builds, starts a host and shows it: commands, answers, a module swapped under load
    Demo {
        /// Ends after the tour, with 0 if everything was as expected
        #[arg(long)]
        once: bool,
    },
    /// Runs every test: native, modules, and the integration tests on a real PostgreSQL
    Test {
        /// Runs only the integration tests whose name contains this
        filter: Option<String>,
    },
    /// Drives hosts through faults and checks everything that was answered
    Torture(torture::Options),
    /// Measures Everfold beside its peers, in one run on one PostgreSQL, and prints medians and ratios
    Bench(bench::Options),
    /// Checks the HTTP API on a running host: its description, a generated client's calls, schemathesis
    Api,
    /// Builds the example and test modules into target/guests/NAME.wasm
    Guests {
        /// Only these (a folder's name, or a variant's)
        names: Vec<String>,
    },
    /// Names the folder with PostgreSQL's server binaries, fetching them into the cache where there are none
    Postgres {
        /// Fetches even where this machine has them
        #[arg(long)]
        fetch: bool,
        /// Names those of the newest major version that can be had
        #[arg(long, conflicts_with = "fetch")]
        newest: bool,
    },
    /// Checks that the code keeps to the house rules (see CONTRIBUTING.md)
    Tidy,
    /// Writes the pages of the documentation that are made from the code
    Docs,
    /// Checks that the committed query data fits the queries and the migrations
    SqlxCheck,
    /// Writes the query data anew, after a query or a migration has changed
    SqlxPrepare,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    let workspace = Workspace::open()?;
    match command {
        Command::Demo { once } => demo::run(&workspace, once),
        Command::Test { filter } => suite::run(&workspace, filter.as_deref()),
        Command::Torture(options) => torture::run(&workspace, &options),
        Command::Bench(options) => bench::run(&workspace, &options),
        Command::Api => suite::run_api(&workspace),
        Command::Guests { names } => guests::run(&workspace, &names),
        Command::Postgres { fetch, newest } => postgres::run_postgres(&workspace, fetch, newest),
        Command::Docs => docs::run(&workspace),
        Command::Tidy => tidy::run(&workspace),
        Command::SqlxCheck => sqlx::check(&workspace),
        Command::SqlxPrepare => sqlx::prepare(&workspace),
    }
}
