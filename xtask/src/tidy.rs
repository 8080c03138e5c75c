//! `cargo xtask tidy`: holds the code to the house rules of CONTRIBUTING.md.

mod docs;
mod files;
mod promises;
mod rooms;
mod source;

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::output;
use crate::workspace::Workspace;

/// One breach of a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    file: String,
    line: usize,
    /// What is wrong.
    what: String,
    /// What to do about it.
    fix: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}\n    {}", self.file, self.line, self.what, self.fix)
    }
}

/// Checks every file that git knows, and every new one that it doesn't ignore.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let listed = output(
        Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&workspace.root),
    )?;
    let mut findings = Vec::new();
    let mut checked = 0;
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        let path = workspace.root.join(name);
        // A file that was deleted but not yet committed is still listed; one that isn't text has no lines to check.
        let Some(text) = read_text(&path)? else {
            continue;
        };
        findings.extend(check(name, &text)?);
        if name.ends_with(".md") {
            findings.extend(docs::check(&workspace.root, name, &text));
            findings.extend(promises::check(&workspace.root, name, &text));
        }
        checked += 1;
    }
    if findings.is_empty() {
        println!("tidy: {checked} files, nothing to say");
        return Ok(());
    }
    findings.sort();
    for finding in &findings {
        eprintln!("{finding}");
    }
    bail!("tidy: {} findings", findings.len())
}

/// The rules that a file's own text is enough for; `name` is its path from the root.
fn check(name: &str, text: &str) -> Result<Vec<Finding>> {
    let mut findings = files::check_text(name, text);
    if name.ends_with(".rs") {
        findings.extend(files::check_rust_text(name, text));
        let source = source::Source::parse(name, text).with_context(|| format!("can't parse {name}"))?;
        findings.extend(files::check_unsafe(name, &source));
        if let Some(inside) = name.strip_prefix("host/src/") {
            findings.extend(rooms::check(name, inside, &source));
        }
    }
    Ok(findings)
}

fn read_text(path: &Path) -> Result<Option<String>> {
    match path.symlink_metadata() {
        Ok(found) if found.is_file() => {}
        _ => return Ok(None),
    }
    let bytes = fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    Ok(String::from_utf8(bytes).ok())
}
