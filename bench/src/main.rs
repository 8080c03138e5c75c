//! Measures Everfold beside its peers: starts a durable PostgreSQL and a host, lets all do the same work in turn, round
//! by round, and prints medians and ratios. `cargo xtask bench` builds everything and runs this.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool speaks to its terminal")]

mod cpu;
mod effort;
mod load;
mod machine;
mod ratios;
mod report;
mod results;
mod run;
mod sample;
mod scenarios;
mod site;
mod stats;
mod subjects;
mod wire;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::effort::Effort;
use self::load::Timing;
use self::results::Slice;
use self::scenarios::Scenario;
use self::site::User;
use self::subjects::Subject;

/// Measures Everfold beside its peers.
#[derive(Debug, Parser)]
#[command(name = "everfold-bench")]
struct Cli {
    /// The host's program
    #[arg(long)]
    host: PathBuf,
    /// The folder of PostgreSQL's programs
    #[arg(long)]
    pg_bin: PathBuf,
    /// The folder of the modules `bank-account` and `bank-account-v1.1`
    #[arg(long)]
    guests: PathBuf,
    /// Whom PostgreSQL runs as, where this is root: UID:GID
    #[arg(long)]
    postgres_user: Option<User>,
    /// A folder on the disk that is to be measured; the folder of temporary files where none is named
    #[arg(long)]
    folder: Option<PathBuf>,
    /// How the programs were built, for the report
    #[arg(long, default_value = "unknown")]
    profile: String,
    /// Fewer levels, fewer rounds, small logs: less than eight minutes
    #[arg(long)]
    quick: bool,
    /// Also the large sizes: logs of 1 M and 10 M events, 1 M streams touched
    #[arg(long, conflicts_with = "quick")]
    large: bool,
    /// Prints one JSON object instead of the table
    #[arg(long)]
    json: bool,
    /// Only these, separated by commas
    #[arg(long, value_delimiter = ',')]
    only: Vec<Scenario>,
    /// Rates under load at these numbers in flight alone
    #[arg(long, value_delimiter = ',', value_name = "N")]
    in_flight: Vec<usize>,
    /// Rates under load of these alone
    #[arg(long, value_delimiter = ',', value_name = "WHO")]
    of: Vec<Subject>,
    /// Seconds that each rate under load is measured in a round
    #[arg(long)]
    seconds: Option<u64>,
    /// Rounds of rates under load
    #[arg(long)]
    rounds: Option<usize>,
    /// What the order of each round follows from
    #[arg(long)]
    seed: Option<u64>,
}

impl Cli {
    /// Whether a rate is wanted.
    fn wants(&self, slice: &Slice) -> bool {
        (self.in_flight.is_empty() || self.in_flight.contains(&slice.in_flight))
            && (self.of.is_empty() || self.of.contains(&slice.subject))
    }

    /// How much is measured.
    fn effort(&self) -> Effort {
        match (self.quick, self.large) {
            (true, _) => Effort::Quick,
            (_, true) => Effort::Large,
            _ => Effort::Full,
        }
    }

    /// How often the rates under load are measured.
    fn rounds(&self) -> usize {
        self.rounds.unwrap_or_else(|| self.effort().rounds())
    }

    /// How long a rate under load is measured.
    fn timing(&self) -> Timing {
        let timing = self.effort().timing();
        Timing { measure: self.seconds.map_or(timing.measure, Duration::from_secs), ..timing }
    }
}

fn main() -> ExitCode {
    allow_connections();
    match run::run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the benchmark failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Takes as many open files as the machine lets it: a thousand clients and what the host has open for them, which
/// inherits the limit, are more than the usual one. Where that isn't allowed, the levels that need it fail, and say so.
fn allow_connections() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
