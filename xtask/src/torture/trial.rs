//! One state of the copied repository, built and put to the integration tests and to the harness.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::mutation::Harness;
use super::tree::Tree;
use super::{Driver, Round, VIOLATED, host_binary, postgres};

/// How long the harness has load to find something.
const SECONDS: u64 = 40;

/// How long tests may take, and the harness beyond its load: what a mutation lets hang isn't waited for for ever.
const PATIENCE: Duration = Duration::from_secs(600);

/// What is tried, and where what is said is written.
pub(super) struct Trial<'a> {
    tree: &'a Tree,
    driver: &'a Driver,
    log: PathBuf,
}

/// Integration tests that were run, by name.
pub(super) struct Tests {
    pub(super) passed: Vec<String>,
    pub(super) failed: Vec<String>,
}

impl<'a> Trial<'a> {
    /// Tries the copy as it is now; `name` is the log's.
    pub(super) fn new(tree: &'a Tree, driver: &'a Driver, name: &str) -> Result<Self> {
        let log = tree.logs.join(format!("{name}.log"));
        File::create(&log).with_context(|| format!("can't write {}", log.display()))?;
        Ok(Self { tree, driver, log })
    }

    /// Runs the integration tests whose names contain one of these.
    pub(super) fn tests(&self, filters: &[&str]) -> Result<Tests> {
        let binary = self.build_tests()?;
        let before = fs::metadata(&self.log)?.len() as usize;
        let mut tests = Command::new(binary);
        tests.current_dir(self.tree.workspace.root.join("host")).args(filters);
        tests.env("EVERFOLD_GUESTS_DIR", &self.driver.guests).env(postgres::SETTING, &self.driver.postgres_bin);
        // How a panic came about is of no interest, and slow to find out.
        tests.env("RUST_BACKTRACE", "0").stdout(self.log_end()?).stderr(self.log_end()?);
        let ended = wait(tests.spawn().context("can't start the tests")?, PATIENCE)?;
        let said = fs::read(&self.log)?.split_off(before);
        let tests = parse_tests(&String::from_utf8_lossy(&said));
        if ended.is_none_or(|status| !status.success()) && tests.failed.is_empty() {
            bail!("the tests ended without a result; see {}", self.log.display());
        }
        Ok(tests)
    }

    /// Has the harness drive the host; answers the first violation.
    pub(super) fn harness(&self, harness: &Harness, seed: u64) -> Result<Option<String>> {
        let build = ["build", "--workspace", "--bin", "everfold"];
        self.cargo(self.tree.workspace.cargo().args(build).stdout(self.log_end()?))?;
        let before = fs::metadata(&self.log)?.len() as usize;
        let round = Round { seconds: SECONDS, seed, hosts: harness.hosts, only: &harness.only };
        let mut driver = self.driver.command(&host_binary(&self.tree.workspace.target), &round)?;
        let child =
            driver.stdout(self.log_end()?).stderr(self.log_end()?).spawn().context("can't start the harness")?;
        let ended = wait(child, Duration::from_secs(SECONDS) + PATIENCE)?;
        let said = fs::read(&self.log)?.split_off(before);
        let said = String::from_utf8_lossy(&said);
        let violation = said.lines().find(|line| line.starts_with("VIOLATION "));
        match (ended, violation) {
            (Some(status), _) if status.success() => Ok(None),
            (Some(status), Some(violation)) if status.code() == Some(VIOLATED) => Ok(Some(violation.to_owned())),
            (ended, _) => {
                let how = ended.map_or_else(|| "had to be ended".to_owned(), |status| format!("ended with {status}"));
                bail!("the harness itself failed: it {how}; see {}", self.log.display())
            }
        }
    }

    /// Builds the integration tests, and answers where they are.
    fn build_tests(&self) -> Result<PathBuf> {
        let mut cargo = self.tree.workspace.cargo();
        cargo.args(["test", "--workspace", "--test", "it", "--no-run", "--message-format=json-render-diagnostics"]);
        let messages = self.tree.logs.join("cargo.json");
        self.cargo(cargo.stdout(File::create(&messages)?))?;
        let messages = BufReader::new(File::open(&messages)?).lines();
        let executable = |line: String| Some(serde_json::from_str::<Value>(&line).ok()?["executable"].as_str()?.into());
        messages.map_while(Result::ok).filter_map(executable).last().context("cargo names no binary with the tests")
    }

    /// Runs cargo; what doesn't compile proves nothing.
    fn cargo(&self, cargo: &mut Command) -> Result<()> {
        let status = cargo.stderr(self.log_end()?).status().context("can't start cargo")?;
        if !status.success() {
            bail!("it doesn't compile; see {}", self.log.display());
        }
        Ok(())
    }

    fn log_end(&self) -> Result<Stdio> {
        Ok(File::options().append(true).open(&self.log)?.into())
    }
}

/// Waits for a child's end; `None` where it had to be ended. The harness is asked first, so that it ends its hosts.
fn wait(mut child: Child, patience: Duration) -> Result<Option<ExitStatus>> {
    let mut deadline = Instant::now() + patience;
    let mut asked = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((!asked).then_some(status));
        }
        if Instant::now() > deadline && !asked {
            kill_process(Pid::from_child(&child), Signal::TERM)?;
            (asked, deadline) = (true, Instant::now() + Duration::from_secs(30));
        } else if Instant::now() > deadline {
            child.kill()?;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What libtest says of each test.
fn parse_tests(said: &str) -> Tests {
    let with_result = |word: &str| {
        let name = |line: &str| {
            let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
            (result == word).then(|| name.to_owned())
        };
        said.lines().filter_map(name).collect()
    };
    Tests { passed: with_result("ok"), failed: with_result("FAILED") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_tests_are_told_apart_from_what_else_is_said() {
        let said = "running 3 tests\ntest log::a ... ok\ntest log::b ... FAILED\ntest result: FAILED. 1 passed\n";
        let tests = parse_tests(said);
        assert_eq!((tests.passed, tests.failed), (vec!["log::a".to_owned()], vec!["log::b".to_owned()]));
    }

    #[test]
    fn what_does_not_end_is_ended() {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        assert!(wait(child, Duration::ZERO).unwrap().is_none());
        let child = Command::new("true").spawn().unwrap();
        assert!(wait(child, PATIENCE).unwrap().unwrap().success());
    }
}
