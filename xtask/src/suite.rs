//! `cargo xtask test`: every test there is, step by step, and at the end what came of each.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use crate::{api, bench, guests, postgres};

/// The integration tests that PostgreSQL's version could make a difference to.
const OF_POSTGRES: [&str; 4] = ["cluster::", "doctor::", "guarantees::", "log::"];

/// Runs everything; with a filter, only the integration tests whose name contains it and what they need.
pub(crate) fn run(workspace: &Workspace, filter: Option<&str>) -> Result<()> {
    let mut suite = Suite { started: Instant::now(), steps: Vec::new() };
    let mut postgres_bin = None;
    suite.step("PostgreSQL", || {
        let folder = postgres::find(workspace)?;
        println!("binaries in {}", folder.display());
        postgres_bin = Some(folder);
        Ok(Vec::new())
    });
    suite.step("modules", || guests::run(workspace, &[]).map(|()| Vec::new()));
    if filter.is_none() {
        suite.step("unit tests", || cargo_test(workspace.cargo().args(["test", "--workspace", "--lib", "--bins"])));
    }
    suite.step("integration tests", || {
        let bin = postgres_bin.as_deref().context("there is no PostgreSQL to run them on")?;
        integration_tests(workspace, bin, filter.as_slice())
    });
    if filter.is_none() {
        suite.step("on the newest PostgreSQL", || {
            let first = postgres_bin.as_deref().context("there is no PostgreSQL at all")?;
            let Some(bin) = postgres::newest(workspace, first)? else {
                println!("the tests above ran on it");
                return Ok(Vec::new());
            };
            println!("binaries in {}", bin.display());
            integration_tests(workspace, &bin, &OF_POSTGRES)
        });
    }
    if filter.is_none() {
        suite.step("benchmark", || {
            let bin = postgres_bin.as_deref().context("there is no PostgreSQL to run it on")?;
            bench::smoke(workspace, bin).map(|()| Vec::new())
        });
        suite.step("documentation tests", || cargo_test(workspace.cargo().args(["test", "--workspace", "--doc"])));
        for folder in workspace.example_folders()? {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            suite.step(&format!("example {name}"), || example_tests(workspace, &folder));
        }
        api_steps(&mut suite, workspace, postgres_bin.as_deref());
    }
    suite.close()
}

/// Runs only what checks the HTTP API from outside.
pub(crate) fn run_api(workspace: &Workspace) -> Result<()> {
    let mut suite = Suite { started: Instant::now(), steps: Vec::new() };
    let postgres_bin = postgres::find(workspace)?;
    guests::run(workspace, &[api::MODULE.to_owned()])?;
    api_steps(&mut suite, workspace, Some(&postgres_bin));
    suite.close()
}

fn api_steps(suite: &mut Suite, workspace: &Workspace, postgres_bin: Option<&Path>) {
    let mut checks = None;
    suite.step("API: host and tools", || {
        let bin = postgres_bin.context("there is no PostgreSQL to run a host on")?;
        checks = Some(api::Checks::start(workspace, bin)?);
        Ok(Vec::new())
    });
    // Without them, what is wrong has been said.
    let Some(checks) = checks else { return };
    suite.step("API: description", || checks.description());
    suite.step("API: generated client", || checks.generated_client());
    suite.step("API: schemathesis", || checks.schemathesis());
    suite.step("API: host's end", || checks.stop().map(|()| Vec::new()));
}

fn integration_tests(workspace: &Workspace, postgres_bin: &Path, filters: &[&str]) -> Result<Vec<String>> {
    // Of the whole workspace, though only the host has such tests: so the dependencies keep the features that they
    // were compiled with for the unit tests.
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--workspace", "--test", "it"]);
    cargo.env("EVERFOLD_GUESTS_DIR", guests::components_folder(workspace)).env(postgres::SETTING, postgres_bin);
    if !filters.is_empty() {
        cargo.arg("--").args(filters);
    }
    cargo_test(&mut cargo)
}

/// An example's own tests, natively, in each of its variants.
fn example_tests(workspace: &Workspace, folder: &Path) -> Result<Vec<String>> {
    let mut closing = Vec::new();
    for guest in guests::of_folder(folder)? {
        let mut cargo = workspace.cargo();
        cargo.args(["test", "--locked", "--features", &guest.features.join(",")]);
        cargo.arg("--manifest-path").arg(folder.join("Cargo.toml"));
        cargo.arg("--target-dir").arg(workspace.target.join("examples"));
        closing.extend(cargo_test(&mut cargo)?);
    }
    Ok(closing)
}

/// Runs `cargo test`, passing on what it says, and answers the closing line of each test binary.
fn cargo_test(cargo: &mut Command) -> Result<Vec<String>> {
    let mut child = cargo.stdout(Stdio::piped()).spawn().context("can't start cargo")?;
    let said = child.stdout.take().context("cargo has no output")?;
    let mut closing = Vec::new();
    for line in BufReader::new(said).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        if line.starts_with("test result: ") {
            closing.push(line.into_owned());
        }
    }
    let status = child.wait()?;
    if !status.success() {
        // The closing lines of a failed run are part of what went wrong.
        bail!("cargo test ended with {status}\n{}", closing.join("\n"));
    }
    Ok(closing)
}

/// What has been run so far.
struct Suite {
    started: Instant,
    steps: Vec<Step>,
}

struct Step {
    name: String,
    took: Duration,
    outcome: Result<Vec<String>>,
}

impl Suite {
    fn step(&mut self, name: &str, work: impl FnOnce() -> Result<Vec<String>>) {
        println!("\n=== {name} (at {})", shown(self.started.elapsed()));
        let started = Instant::now();
        let outcome = work();
        if let Err(error) = &outcome {
            eprintln!("{name}: {error:#}");
        }
        self.steps.push(Step { name: name.to_owned(), took: started.elapsed(), outcome });
    }

    /// Prints the summary; fails if any step did.
    fn close(self) -> Result<()> {
        println!("\n=== summary ({})", shown(self.started.elapsed()));
        let mut failed = Vec::new();
        for step in &self.steps {
            let word = if step.outcome.is_ok() { "ok" } else { "FAILED" };
            println!("{word:6} {:24} {}", step.name, shown(step.took));
            match &step.outcome {
                Ok(closing) => closing.iter().for_each(|line| println!("       {line}")),
                Err(error) => {
                    error.to_string().lines().for_each(|line| println!("       {line}"));
                    failed.push(step.name.as_str());
                }
            }
        }
        if !failed.is_empty() {
            bail!("failed: {}", failed.join(", "));
        }
        println!("everything passed");
        Ok(())
    }
}

fn shown(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_collected_and_a_failure_carries_them() {
        let script = "echo running; echo 'test result: ok. 3 passed'";
        assert_eq!(cargo_test(Command::new("sh").args(["-c", script])).unwrap(), ["test result: ok. 3 passed"]);
        let failing = "echo 'test result: FAILED. 1 failed'; exit 101";
        let error = cargo_test(Command::new("sh").args(["-c", failing])).unwrap_err().to_string();
        assert!(error.contains("101") && error.contains("1 failed"), "{error}");
    }

    #[test]
    fn one_failed_step_fails_the_suite_and_the_others_still_run() {
        let mut suite = Suite { started: Instant::now(), steps: Vec::new() };
        suite.step("first", || bail!("no"));
        suite.step("second", || Ok(Vec::new()));
        assert_eq!(suite.steps.len(), 2);
        assert_eq!(suite.close().unwrap_err().to_string(), "failed: first");
    }

    #[test]
    fn times_are_minutes_and_seconds() {
        assert_eq!(shown(Duration::from_secs(605)), "10:05");
    }
}
