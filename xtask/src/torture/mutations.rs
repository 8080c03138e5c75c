//! `cargo xtask torture --mutations`: breaks the host in one way after the other, in a copy of the repository, and sees
//! whether those notice who should. A check that can't fail proves nothing.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::mutation::{self, Harness, Mutation};
use super::tree::Tree;
use super::trial::{Tests, Trial};
use super::{DRIVER, Driver, guests, postgres};
use crate::workspace::Workspace;

/// Runs that the harness has to find a violation; each has another seed.
const SEEDS: u64 = 3;

/// What came of asking one of those who should notice.
enum Finding {
    /// It noticed this.
    Caught(String),
    /// It noticed nothing.
    NotCaught,
    /// It couldn't be asked.
    Failed(String),
}

/// A line of the table.
struct Row {
    mutation: String,
    /// `tests` or `harness`.
    catcher: &'static str,
    finding: Finding,
    took: Duration,
}

/// Tries the mutations of these names, or all; fails unless each is caught by everyone whom it names.
pub(super) fn run(workspace: &Workspace, names: &[String]) -> Result<()> {
    let started = Instant::now();
    let mutations = mutation::load(&workspace.root, names)?;
    let postgres_bin = postgres::find(workspace)?;
    guests::run(workspace, &[])?;
    // The judge is never a mutant: modules and harness are the repository's own.
    let driver = Driver::build(workspace, postgres_bin, &[DRIVER])?;
    let tree = Tree::open(workspace)?;
    println!("\n=== control: without a mutation nobody may see anything wrong");
    control(&Trial::new(&tree, &driver, "control")?, &mutations)?;

    let mut rows = Vec::new();
    for mutation in &mutations {
        println!("\n=== {}: {}", mutation.name, mutation.description.breaks);
        let trial = Trial::new(&tree, &driver, &mutation.name)?;
        match mutation.apply(&tree) {
            Ok(()) => rows.extend(try_out(&trial, mutation)),
            Err(error) => {
                let finding = Finding::Failed(format!("{error:#}"));
                rows.push(Row { mutation: mutation.name.clone(), catcher: "-", finding, took: Duration::ZERO });
            }
        }
        tree.undo()?;
    }
    close(&rows, started.elapsed(), &tree.logs)
}

/// Fails where somebody sees something wrong with the host as it is, or isn't there at all.
fn control(trial: &Trial<'_>, mutations: &[Mutation]) -> Result<()> {
    let mut filters: Vec<&str> = mutations.iter().flat_map(|m| &m.description.tests).map(String::as_str).collect();
    filters.sort_unstable();
    filters.dedup();
    if !filters.is_empty() {
        let tests = trial.tests(&filters)?;
        if !tests.failed.is_empty() {
            bail!("tests fail without a mutation: {}", tests.failed.join(", "));
        }
        if let Some(nobody) = filters.iter().find(|filter| !tests.passed.iter().any(|name| name.contains(**filter))) {
            bail!("there is no integration test {nobody}");
        }
        println!("{} tests pass", tests.passed.len());
    }
    let mut tried: Vec<&Harness> = Vec::new();
    for harness in mutations.iter().filter_map(|mutation| mutation.description.harness.as_ref()) {
        if tried.contains(&harness) {
            continue;
        }
        if let Some(violation) = trial.harness(harness, 1)? {
            bail!("the harness finds violations without a mutation: {violation}");
        }
        println!("the harness finds nothing ({} hosts, faults: {})", harness.hosts, shown_faults(harness));
        tried.push(harness);
    }
    Ok(())
}

/// Asks everyone who should notice.
fn try_out(trial: &Trial<'_>, mutation: &Mutation) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut ask = |catcher, question: &dyn Fn() -> Result<Option<String>>| {
        let started = Instant::now();
        let finding = match question() {
            Ok(Some(seen)) => Finding::Caught(seen),
            Ok(None) => Finding::NotCaught,
            Err(error) => Finding::Failed(format!("{error:#}")),
        };
        let row = Row { mutation: mutation.name.clone(), catcher, finding, took: started.elapsed() };
        println!("{row}");
        rows.push(row);
    };
    let filters: Vec<&str> = mutation.description.tests.iter().map(String::as_str).collect();
    if !filters.is_empty() {
        ask("tests", &|| Ok(failure(&trial.tests(&filters)?)));
    }
    if let Some(harness) = &mutation.description.harness {
        ask("harness", &|| violation(trial, harness));
    }
    rows
}

/// The first test that failed, and how many did.
fn failure(tests: &Tests) -> Option<String> {
    let (first, more) = tests.failed.split_first()?;
    Some(if more.is_empty() { first.clone() } else { format!("{first} (and {} more)", more.len()) })
}

/// The first violation that the harness finds, with the seed that it took.
fn violation(trial: &Trial<'_>, harness: &Harness) -> Result<Option<String>> {
    for seed in 1..=SEEDS {
        if let Some(violation) = trial.harness(harness, seed)? {
            return Ok(Some(format!("seed {seed}: {violation}")));
        }
    }
    Ok(None)
}

fn shown_faults(harness: &Harness) -> String {
    if harness.only.is_empty() { "all".to_owned() } else { harness.only.join(", ") }
}

impl fmt::Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, what) = match &self.finding {
            Finding::Caught(by) => ("caught", by.as_str()),
            Finding::NotCaught => ("NOT CAUGHT", "nothing was seen"),
            Finding::Failed(why) => ("ERROR", why.as_str()),
        };
        let seconds = self.took.as_secs();
        write!(out, "{word:10} {:28} {:8} {seconds:4} s  {what}", self.mutation, self.catcher)
    }
}

/// Prints the table; fails unless everything was caught.
fn close(rows: &[Row], took: Duration, logs: &Path) -> Result<()> {
    println!("\n=== mutations ({} min)", took.as_secs().div_ceil(60));
    rows.iter().for_each(|row| println!("{row}"));
    let uncaught = rows.iter().filter(|row| !matches!(row.finding, Finding::Caught(_))).count();
    if uncaught > 0 {
        bail!("{uncaught} of {} weren't caught; what was said is in {}", rows.len(), logs.display());
    }
    println!("all were caught");
    Ok(())
}
