//! What a run shows in the end, and what it leaves behind.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::Cli;
use crate::check::{Summary, Violation};
use crate::history::{Disturbance, History};

/// Violations that are printed; the others are counted.
const SHOWN: usize = 40;

/// What there is to tell.
pub(crate) struct Report<'a> {
    /// What was asked for.
    pub(crate) cli: &'a Cli,
    /// What went wrong on purpose.
    pub(crate) disturbances: &'a [Disturbance],
    /// What was counted, where there is a history.
    pub(crate) summary: Option<&'a Summary>,
    /// What went wrong otherwise.
    pub(crate) violations: &'a [Violation],
}

impl Report<'_> {
    /// Prints it.
    pub(crate) fn print(&self) {
        let Cli { seed, seconds, hosts, .. } = self.cli;
        println!("seed {seed}, {hosts} hosts, {seconds} s of faults");
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        self.disturbances.iter().for_each(|it| *kinds.entry(it.fault.as_str()).or_default() += 1);
        let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        println!("{} faults: {}", self.disturbances.len(), kinds.join(", "));
        if let Some(summary) = self.summary {
            println!("{summary}");
        }
        for violation in self.violations.iter().take(SHOWN) {
            println!("VIOLATION {}: {}", violation.promise, violation.what);
        }
        println!("{} violations", self.violations.len());
    }
}

/// Leaves the history, where there is one, and the logs in a folder.
pub(crate) fn keep(history: Option<&History>, from: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    if let Some(history) = history {
        let file = folder.join("history.json");
        let writer = BufWriter::new(File::create(&file).with_context(|| format!("can't make {}", file.display()))?);
        serde_json::to_writer(writer, history)?;
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?.path();
        let log = entry.join("host.log");
        let (source, name) = if log.is_file() { (log, entry.with_extension("log")) } else { (entry.clone(), entry) };
        let to = folder.join(name.file_name().context("a log has a name")?);
        if source.is_file() && source != to && name.extension().is_some_and(|extension| extension == "log") {
            fs::copy(&source, &to)?;
        }
    }
    Ok(())
}
