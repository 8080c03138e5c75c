//! `cargo xtask sqlx-check` and `sqlx-prepare`: the query data that lets the host build without a database.
//!
//! sqlx's macros ask a database what each query takes and answers. Here they ask a temporary one, made by the migrations,
//! and write what they learn into a folder: the same that `cargo sqlx prepare` does, without that tool.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::cluster::TemporaryCluster;
use crate::postgres;
use crate::process::run;
use crate::workspace::Workspace;

/// Where the query data is committed, from the root.
const COMMITTED: &str = "host/.sqlx";

/// The crate with the queries: the root file that makes cargo check it again.
const CRATE_ROOT: &str = "host/src/lib.rs";

/// The names and contents of query files.
type Queries = BTreeMap<String, Vec<u8>>;

/// Fails where the committed query data isn't what the queries and migrations make.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let fresh = read_queries(&describe(workspace)?)?;
    let committed = read_queries(&workspace.root.join(COMMITTED))?;
    let differences = differences(&committed, &fresh);
    if !differences.is_empty() {
        bail!("{COMMITTED} is out of date; run `cargo xtask sqlx-prepare`:\n  {}", differences.join("\n  "));
    }
    println!("{COMMITTED}: {} queries, up to date", fresh.len());
    Ok(())
}

/// Replaces the committed query data.
pub(crate) fn prepare(workspace: &Workspace) -> Result<()> {
    let fresh = read_queries(&describe(workspace)?)?;
    let folder = workspace.root.join(COMMITTED);
    for name in read_queries(&folder)?.keys().filter(|name| !fresh.contains_key(*name)) {
        fs::remove_file(folder.join(name))?;
    }
    fs::create_dir_all(&folder)?;
    for (name, content) in &fresh {
        fs::write(folder.join(name), content)?;
    }
    println!("{COMMITTED}: {} queries", fresh.len());
    Ok(())
}

/// Has every query described by a migrated database, and answers the folder with what it said.
fn describe(workspace: &Workspace) -> Result<PathBuf> {
    let described = workspace.target.join("sqlx-described");
    if described.exists() {
        fs::remove_dir_all(&described)?;
    }
    fs::create_dir_all(&described)?;
    let migrations = migrations(&workspace.root.join("migrations"))?;
    let cluster = TemporaryCluster::start(&postgres::find(workspace)?, &migrations)?;

    // All targets of the workspace, as clippy checks them, so that the dependencies are taken from there.
    let url = cluster.url();
    let mut cargo = workspace.cargo();
    cargo.args(["check", "--quiet", "--workspace", "--all-targets"]);
    cargo.env("DATABASE_URL", &url).env("SQLX_OFFLINE", "false").env("SQLX_OFFLINE_DIR", &described);
    let touched = Touched::now(&workspace.root.join(CRATE_ROOT))?;
    let checked = run(&mut cargo);
    drop(touched);
    checked?;
    Ok(described)
}

/// The migrations, in the order of their numbers.
fn migrations(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut numbered = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("can't read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let number: u64 = name
                .split('_')
                .next()
                .and_then(|number| number.parse().ok())
                .with_context(|| format!("{} isn't named NUMBER_WHAT.sql", path.display()))?;
            numbered.push((number, path));
        }
    }
    numbered.sort();
    Ok(numbered.into_iter().map(|(_, path)| path).collect())
}

/// A source file that looks edited, so that cargo compiles its crate again; afterwards it has its old time back, and
/// what was built before counts as up to date.
struct Touched {
    file: File,
    before: SystemTime,
}

impl Touched {
    fn now(path: &Path) -> Result<Touched> {
        let file =
            File::options().append(true).open(path).with_context(|| format!("can't touch {}", path.display()))?;
        let before = file.metadata()?.modified()?;
        file.set_modified(SystemTime::now())?;
        Ok(Touched { file, before })
    }
}

impl Drop for Touched {
    fn drop(&mut self) {
        // Left as it is, the file costs one more compilation.
        let _ = self.file.set_modified(self.before);
    }
}

/// The query files in a folder; none if there is no such folder.
fn read_queries(folder: &Path) -> Result<Queries> {
    let mut queries = Queries::new();
    if !folder.is_dir() {
        return Ok(queries);
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let name = path.file_name().context("a file without a name")?.to_string_lossy().into_owned();
            queries.insert(name, fs::read(&path)?);
        }
    }
    Ok(queries)
}

/// What to say of each query that isn't the same on both sides.
fn differences(committed: &Queries, fresh: &Queries) -> Vec<String> {
    let mut found = Vec::new();
    for (name, content) in fresh {
        match committed.get(name) {
            None => found.push(format!("{name} is missing")),
            Some(old) if old != content => found.push(format!("{name} differs")),
            Some(_) => {}
        }
    }
    let unused = committed.keys().filter(|name| !fresh.contains_key(*name));
    found.extend(unused.map(|name| format!("{name} belongs to no query any more")));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_is_named() {
        let queries = |pairs: &[(&str, &str)]| -> Queries {
            pairs.iter().map(|(name, content)| ((*name).to_owned(), content.as_bytes().to_vec())).collect()
        };
        let committed = queries(&[("same", "1"), ("other", "1"), ("unused", "1")]);
        let fresh = queries(&[("same", "1"), ("other", "2"), ("new", "1")]);
        let expected = ["new is missing", "other differs", "unused belongs to no query any more"];
        assert_eq!(differences(&committed, &fresh), expected);
        assert!(differences(&fresh, &fresh).is_empty());
    }

    #[test]
    fn a_touched_file_gets_its_time_back() {
        let path = std::env::temp_dir().join(format!("everfold-touched-{}", std::process::id()));
        fs::write(&path, "").unwrap();
        let old = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        File::options().append(true).open(&path).unwrap().set_modified(old).unwrap();
        let time = || path.metadata().unwrap().modified().unwrap();
        let touched = Touched::now(&path).unwrap();
        assert!(time() > old);
        drop(touched);
        assert_eq!(time(), old);
        fs::remove_file(path).unwrap();
    }
}
