//! Whether the benchmark works: a run of seconds that measures as little as it can, and one that is broken off.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{DRIVER, MODULES, driver};
use crate::guests;
use crate::process::run as run_command;
use crate::workspace::Workspace;

/// The names in `ratios` that others read.
const RATIOS: [&str; 11] = [
    "http64_vs_postgres_es64",
    "http256_vs_postgres_es256",
    "ndjson_vs_postgres_es_best",
    "http256_vs_seed64",
    "http256_vs_raw64",
    "ndjson_vs_raw64",
    "hot64_vs_postgres_es_hot64",
    "p50_http1_vs_raw1",
    "p99_vs_p50_http64",
    "guest_vs_native_cycle",
    "http256_10m_vs_10k",
];

/// What the short run measures of them.
const MEASURED: [&str; 4] =
    ["http256_vs_postgres_es256", "ndjson_vs_postgres_es_best", "p50_http1_vs_raw1", "guest_vs_native_cycle"];

/// As little as gives those.
const SHORT: [&str; 9] = [
    "--quick",
    "--json",
    "--rounds=1",
    "--seconds=1",
    "--only=commands,guest",
    "--in-flight=1,8,256",
    "--of=http,bulk,postgres-es,raw",
    "--seed=1",
    "--profile=dev",
];

/// How long anything may take: much more than it does.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs both on a build without optimisations: nobody reads the figures.
pub(crate) fn smoke(workspace: &Workspace, postgres_bin: &Path) -> Result<()> {
    guests::run(workspace, &MODULES.map(str::to_owned))?;
    // Of the whole workspace, so that the dependencies keep the features that the tests have.
    run_command(workspace.cargo().args(["build", "--workspace", "--bin", DRIVER, "--bin", "everfold"]))?;
    let folder = tempfile::tempdir()?;
    let mut driver = driver(workspace, "debug", postgres_bin)?;
    driver.args(SHORT).arg("--folder").arg(folder.path());
    ends_with_one_object(&mut driver)?;
    leaves_nothing(&folder)?;
    is_broken_off(&mut driver)?;
    leaves_nothing(&folder)
}

/// The standard output is one JSON object with all ratios, and those are numbers that were measured.
fn ends_with_one_object(driver: &mut Command) -> Result<()> {
    let output = driver.stderr(Stdio::inherit()).output().context("can't start the benchmark")?;
    ensure!(output.status.success(), "the benchmark ended with {}", output.status);
    let report: Value = serde_json::from_slice(&output.stdout).context("its output isn't one JSON value")?;
    let ratios = report["ratios"].as_object().context("its output has no ratios")?;
    ensure!(ratios.len() == RATIOS.len() && RATIOS.iter().all(|name| ratios.contains_key(*name)), "ratios: {ratios:?}");
    for (name, ratio) in ratios {
        let is_measured = MEASURED.contains(&name.as_str());
        ensure!(ratio.as_f64().is_some_and(|ratio| ratio > 0.0) == is_measured, "{name} is {ratio}");
    }
    println!("{} ratios, {} of them measured", ratios.len(), MEASURED.len());
    Ok(())
}

/// A run that is asked to end in its middle ends, and says why.
fn is_broken_off(driver: &mut Command) -> Result<()> {
    let mut child = driver.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("can't start the benchmark")?;
    let mut said = BufReader::new(child.stderr.take().context("the benchmark has no standard error")?).lines();
    // Its first words come when PostgreSQL and the host are there.
    let first = said.next().context("the benchmark ended without a word")??;
    let process = Pid::from_raw(child.id().cast_signed()).context("the benchmark has no number")?;
    kill_process(process, Signal::TERM)?;
    let last = said.map_while(Result::ok).last().unwrap_or_default();
    let ended = wait(&mut child)?;
    ensure!(!ended && last.contains("SIGTERM"), "after {first:?} and SIGTERM it said {last:?}");
    println!("broken off: {last}");
    Ok(())
}

/// Waits until it ends: whether it succeeded.
fn wait(child: &mut Child) -> Result<bool> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if begun.elapsed() > PATIENCE {
            child.kill()?;
            bail!("the benchmark doesn't end");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// No file in the folder, and no process that was started in it.
fn leaves_nothing(folder: &TempDir) -> Result<()> {
    ensure!(fs::read_dir(folder.path())?.next().is_none(), "the benchmark leaves files in {}", folder.path().display());
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        // Those that end meanwhile, and those of others, tell nothing.
        let Ok(cwd) = fs::read_link(process.path().join("cwd")) else { continue };
        ensure!(
            !cwd.starts_with(folder.path()),
            "the benchmark leaves process {:?} in {}",
            process.file_name(),
            cwd.display()
        );
    }
    Ok(())
}
