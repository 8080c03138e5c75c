//! Starts hosts on one PostgreSQL, drives them over HTTP through faults, and holds the whole history to their promises.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool speaks to its terminal")]

mod check;
mod clients;
mod clock;
mod faults;
mod history;
mod readers;
mod report;
mod run;
mod site;
mod vault;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum as _};

use self::faults::Kind;
use self::site::User;

/// Exit status where a promise was broken; 1 means that the harness itself failed.
const VIOLATED: u8 = 2;

/// Drives hosts through faults and checks the whole history.
#[derive(Debug, Parser)]
#[command(name = "everfold-torture")]
struct Cli {
    /// The host's program
    #[arg(long)]
    host: PathBuf,
    /// The folder of PostgreSQL's programs
    #[arg(long)]
    pg_bin: PathBuf,
    /// The folder of the modules `vault`, `vault-v2`, `vault-poison` and `vault-unfolding`
    #[arg(long)]
    guests: PathBuf,
    /// Whom PostgreSQL runs as, where this is root: UID:GID
    #[arg(long)]
    postgres_user: Option<User>,
    /// How many hosts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=3))]
    hosts: u8,
    /// How long faults go on, in seconds; settling and checking come after that
    #[arg(long, default_value_t = 120)]
    seconds: u32,
    /// Everything random follows from it
    #[arg(long)]
    seed: u64,
    /// Only these faults, separated by commas; all where none is named
    #[arg(long, value_delimiter = ',')]
    only: Vec<Kind>,
    /// Leaves logs and the recorded history in this folder
    #[arg(long)]
    keep: Option<PathBuf>,
}

impl Cli {
    fn kinds(&self) -> &[Kind] {
        if self.only.is_empty() { Kind::value_variants() } else { &self.only }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    site::enter_private_mounts();
    // Another one may be installed already: then that will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run::run(&cli) {
        Ok(violations) if violations.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(VIOLATED),
        Err(error) => {
            eprintln!("the harness failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
