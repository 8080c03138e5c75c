//! `cargo xtask torture`: builds hosts and the harness, and lets the one loose on the other; or breaks the host on
//! purpose, to see that harness and tests notice.

mod mutation;
mod mutations;
mod tree;
mod trial;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::process::run as run_command;
use crate::workspace::Workspace;
use crate::{cluster, guests, postgres};

/// The modules that the harness swaps.
const MODULES: [&str; 4] = ["vault", "vault-v2", "vault-poison", "vault-unfolding"];

/// How long a quick run has load and faults: with start and checks it takes about three minutes.
const QUICK_SECONDS: u64 = 150;

/// The harness's binary.
const DRIVER: &str = "everfold-torture";

/// What the harness ends with when hosts broke a promise.
const VIOLATED: i32 = 2;

/// How hard to try.
#[derive(Args)]
pub(crate) struct Options {
    /// About three minutes in all: the default
    #[arg(long, conflicts_with = "minutes")]
    quick: bool,
    /// Minutes of load and faults
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: Option<u64>,
    /// What everything random comes from; drawn from the time, and printed, where none is given
    #[arg(long)]
    seed: Option<u64>,
    /// How many hosts share the database
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=3))]
    hosts: u8,
    /// Only these faults (see the harness's own help)
    #[arg(long, value_delimiter = ',', value_name = "FAULT")]
    only: Vec<String>,
    /// Leaves logs and the recorded history in this folder
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Breaks the host in each of the ways that torture/mutations describes, or in these, and fails where nothing
    /// notices
    #[arg(long, value_name = "NAME", num_args = 0.., conflicts_with_all = ["quick", "minutes", "seed", "hosts", "only", "keep"])]
    mutations: Option<Vec<String>>,
}

/// Runs the harness once, or checks that it can fail.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if let Some(names) = &options.mutations {
        return mutations::run(workspace, names);
    }
    let seed = options.seed.map_or_else(drawn_seed, Ok)?;
    println!("seed {seed}");
    let postgres_bin = postgres::find(workspace)?;
    guests::run(workspace, &MODULES.map(str::to_owned))?;
    let driver = Driver::build(workspace, postgres_bin, &[DRIVER, "everfold"])?;
    let round = Round {
        seconds: options.minutes.map_or(QUICK_SECONDS, |minutes| minutes * 60),
        seed,
        hosts: options.hosts,
        only: &options.only,
    };
    let host = host_binary(&workspace.target);
    let mut harness = driver.command(&host, &round)?;
    if let Some(folder) = &options.keep {
        harness.arg("--keep").arg(folder);
    }
    let ended = harness.status().context("can't start the harness")?;
    if ended.success() {
        return Ok(());
    }
    println!("the same again: {}", again(options, seed));
    match ended.code() {
        Some(VIOLATED) => bail!("the hosts broke promises: see above"),
        _ => bail!("the harness itself failed: it ended with {ended}"),
    }
}

/// The command that makes the same run.
fn again(options: &Options, seed: u64) -> String {
    let length = options.minutes.map_or_else(|| "--quick".to_owned(), |minutes| format!("--minutes {minutes}"));
    let mut command = format!("cargo xtask torture {length} --seed {seed} --hosts {}", options.hosts);
    if !options.only.is_empty() {
        command = format!("{command} --only {}", options.only.join(","));
    }
    command
}

/// Short enough to be typed again.
fn drawn_seed() -> Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    Ok(now.as_micros() as u64 % 1_000_000_000)
}

/// The host's binary in a target folder.
fn host_binary(target: &Path) -> PathBuf {
    target.join("debug/everfold")
}

/// One run of the harness.
struct Round<'a> {
    /// How long there is load.
    seconds: u64,
    seed: u64,
    hosts: u8,
    /// The faults; all where it is empty.
    only: &'a [String],
}

/// The harness's binary, and what it needs whatever it runs.
struct Driver {
    binary: PathBuf,
    postgres_bin: PathBuf,
    guests: PathBuf,
}

impl Driver {
    /// Builds these binaries. Of the whole workspace, so that the dependencies keep the features that the tests have.
    fn build(workspace: &Workspace, postgres_bin: PathBuf, binaries: &[&str]) -> Result<Driver> {
        let mut cargo = workspace.cargo();
        cargo.args(["build", "--workspace"]);
        for binary in binaries {
            cargo.args(["--bin", binary]);
        }
        run_command(&mut cargo)?;
        let binary = workspace.target.join("debug").join(DRIVER);
        Ok(Driver { binary, postgres_bin, guests: guests::components_folder(workspace) })
    }

    /// The command that drives this host.
    fn command(&self, host: &Path, round: &Round<'_>) -> Result<Command> {
        let mut driver = Command::new(&self.binary);
        driver.arg("--host").arg(host).arg("--pg-bin").arg(&self.postgres_bin).arg("--guests").arg(&self.guests);
        driver.args(["--hosts", &round.hosts.to_string(), "--seconds", &round.seconds.to_string()]);
        driver.args(["--seed", &round.seed.to_string()]);
        if let Some(user) = cluster::unprivileged_user()? {
            driver.arg("--postgres-user").arg(format!("{}:{}", user.id, user.group));
        }
        if !round.only.is_empty() {
            driver.arg("--only").arg(round.only.join(","));
        }
        Ok(driver)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn parse(arguments: &[&str]) -> Result<Options, clap::Error> {
        Cli::try_parse_from([&["torture"], arguments].concat()).map(|cli| cli.options)
    }

    #[test]
    fn a_run_can_be_typed_again() {
        let quick = again(&parse(&[]).unwrap(), 7);
        assert_eq!(quick, "cargo xtask torture --quick --seed 7 --hosts 3");
        let long = parse(&["--minutes", "30", "--hosts", "2", "--only", "kill-host,cut"]).unwrap();
        let long = again(&long, 7);
        assert_eq!(long, "cargo xtask torture --minutes 30 --seed 7 --hosts 2 --only kill-host,cut");
        let typed: Vec<&str> = long.split(' ').skip(3).collect();
        assert_eq!(again(&parse(&typed).unwrap(), 7), long);
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        assert!(parse(&["--quick", "--minutes", "3"]).is_err());
        assert!(parse(&["--hosts", "4"]).is_err());
        assert!(parse(&["--mutations", "--seed", "3"]).is_err());
        assert_eq!(parse(&["--mutations"]).unwrap().mutations, Some(Vec::new()));
        assert_eq!(parse(&["--mutations", "a", "b"]).unwrap().mutations.unwrap(), ["a", "b"]);
    }
}
