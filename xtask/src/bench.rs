//! `cargo xtask bench`: builds a host, the peers and the benchmark, and lets it run.

mod smoke;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use clap::Args;

pub(crate) use self::smoke::smoke;
use crate::process::run as run_command;
use crate::workspace::Workspace;
use crate::{cluster, guests, postgres};

/// The modules that it measures.
const MODULES: [&str; 2] = ["bank-account", "bank-account-v1.1"];

/// The benchmark's binary.
const DRIVER: &str = "everfold-bench";

/// How much to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Fewer levels, fewer rounds, small logs: less than eight minutes once everything is built
    #[arg(long)]
    quick: bool,
    /// Also logs of 1 M and 10 M events, and 1 M streams touched
    #[arg(long, conflicts_with = "quick")]
    large: bool,
    /// Prints one JSON object instead of the tables, and nothing else to the standard output
    #[arg(long)]
    json: bool,
    /// Only sees whether the benchmark works, on a debug build and in seconds; `cargo xtask test` does so too
    #[arg(long, exclusive = true)]
    smoke: bool,
    /// Only these scenarios (see the benchmark's own help)
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,
    /// What the order of each round follows from
    #[arg(long)]
    seed: Option<u64>,
    /// A folder on the disk that is to be measured; the folder of temporary files without it
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Cargo's profile for host and benchmark: `release` is what users run
    #[arg(long, default_value = "release")]
    profile: String,
}

/// Builds and runs. Whatever is said on the way goes to the standard error: the standard output is the result alone.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let postgres_bin = postgres::find(workspace)?;
    if options.smoke {
        return smoke(workspace, &postgres_bin);
    }
    guests::run(workspace, &MODULES.map(str::to_owned))?;
    // Of these packages alone: what is measured shouldn't have features that only other parts of the workspace need.
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--profile", &options.profile, "--package", "everfold", "--package", DRIVER, "--bins"]);
    run_command(&mut cargo)?;
    let mut driver = driver(workspace, folder_of(&options.profile), &postgres_bin)?;
    driver.args(arguments(options));
    // It takes the place of this process: whoever ends the one ends the other, which then cleans up.
    Err(driver.exec()).context("can't start the benchmark")
}

/// The benchmark as it was built into a folder of the target, for the host beside it.
fn driver(workspace: &Workspace, built: &str, postgres_bin: &Path) -> Result<Command> {
    let built = workspace.target.join(built);
    let mut driver = Command::new(built.join(DRIVER));
    driver.arg("--host").arg(built.join("everfold")).arg("--pg-bin").arg(postgres_bin);
    driver.arg("--guests").arg(guests::components_folder(workspace)).stdin(Stdio::null());
    if let Some(user) = cluster::unprivileged_user()? {
        driver.arg("--postgres-user").arg(format!("{}:{}", user.id, user.group));
    }
    Ok(driver)
}

/// Where cargo leaves what it builds by a profile.
fn folder_of(profile: &str) -> &str {
    if profile == "dev" { "debug" } else { profile }
}

/// What is passed on as it is.
fn arguments(options: &Options) -> Vec<String> {
    let mut arguments = vec!["--profile".to_owned(), options.profile.clone()];
    let flags = [("--quick", options.quick), ("--large", options.large), ("--json", options.json)];
    arguments.extend(flags.into_iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag.to_owned()));
    if !options.only.is_empty() {
        arguments.extend(["--only".to_owned(), options.only.join(",")]);
    }
    if let Some(seed) = options.seed {
        arguments.extend(["--seed".to_owned(), seed.to_string()]);
    }
    if let Some(folder) = &options.folder {
        arguments.extend(["--folder".to_owned(), folder.display().to_string()]);
    }
    arguments
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

    fn parse(line: &[&str]) -> Result<Options, clap::Error> {
        Cli::try_parse_from([&["bench"], line].concat()).map(|cli| cli.options)
    }

    #[test]
    fn options_are_passed_on() {
        let options = parse(&["--quick", "--json", "--only", "commands,hot", "--seed", "7"]).unwrap();
        let passed = arguments(&options).join(" ");
        assert_eq!(passed, "--profile release --quick --json --only commands,hot --seed 7");
        assert!(parse(&["--quick", "--large"]).is_err());
    }

    #[test]
    fn a_profile_has_its_folder() {
        assert_eq!(["dev", "release"].map(folder_of), ["debug", "release"]);
    }
}
