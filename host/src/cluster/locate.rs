//! Finds PostgreSQL's programs on this machine.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest PostgreSQL that Everfold's log runs on.
const OLDEST: u32 = 15;

/// Folders in which distributions keep the programs. A `*` stands for a version; the highest is tried first.
const USUAL: &[&str] = &[
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/usr/local/pgsql/bin",
];

/// A PostgreSQL server's programs, new enough and able to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    bin_dir: PathBuf,
    major: u32,
}

impl Binaries {
    /// The folder that holds `postgres` and `initdb`.
    #[must_use]
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// The server's major version.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Asks the server in `bin_dir` for its version; a reason when it can't be used.
    fn probe(bin_dir: &Path) -> Result<Self, String> {
        for program in ["postgres", "initdb"] {
            if !bin_dir.join(program).is_file() {
                return Err(format!("{} has no `{program}`", bin_dir.display()));
            }
        }
        let postgres = bin_dir.join("postgres");
        let output = Command::new(&postgres)
            .arg("--version")
            .output()
            .map_err(|error| format!("{} doesn't run: {error}", postgres.display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{} doesn't run ({}): {}", postgres.display(), output.status, said.trim()));
        }
        let said = String::from_utf8_lossy(&output.stdout);
        match major_version(&said) {
            None => Err(format!("{} doesn't tell its version: `{}`", postgres.display(), said.trim())),
            Some(major) if major < OLDEST => {
                Err(format!("{} is version {major}; Everfold needs {OLDEST} or later", postgres.display()))
            }
            Some(major) => Ok(Self { bin_dir: bin_dir.to_owned(), major }),
        }
    }
}

/// No PostgreSQL server that Everfold could run.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// The folder that was set isn't one.
    #[error("the setting pg_bin (EVERFOLD_PG_BIN) doesn't name a usable folder of PostgreSQL's programs: {0}")]
    Setting(String),
    /// Nothing was set, and nothing usable was found.
    #[error(
        "no PostgreSQL server ({OLDEST} or later) was found on this machine{}\n\
         Everfold keeps its log in PostgreSQL. One of these helps:\n  \
         - set DATABASE_URL to a server that runs already, such as postgres://user:password@host/database\n  \
         - install your distribution's package, such as `apt-get install postgresql` or `brew install postgresql`\n  \
         - set EVERFOLD_PG_BIN to the folder that holds `postgres` and `initdb`\n  \
         - in a checkout of Everfold, `EVERFOLD_PG_BIN=$(cargo xtask postgres)` finds or fetches the programs",
        .0.iter().map(|why| format!("\n  ({why})")).collect::<String>()
    )]
    NotFound(
        /// What was found, and why it can't be used.
        Vec<String>,
    ),
}

/// Finds the programs of a PostgreSQL server, version 15 or later: in the folder that was set, else on the PATH, else
/// where `pg_config` says, else in the folders that distributions use.
///
/// # Errors
/// When there are none; the message tells the ways out. A folder that was set is never passed over in silence.
pub fn locate(setting: Option<&Path>) -> Result<Binaries, LocateError> {
    if let Some(folder) = setting {
        return Binaries::probe(folder).map_err(LocateError::Setting);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let candidates = from_path(env::split_paths(&path)).into_iter().chain(from_pg_config()).chain(usual_folders());
    first_usable(candidates)
}

/// The first candidate that can be used, or what is wrong with all of them.
fn first_usable(candidates: impl Iterator<Item = PathBuf>) -> Result<Binaries, LocateError> {
    let mut seen = Vec::new();
    let mut reasons = Vec::new();
    for folder in candidates {
        if seen.contains(&folder) {
            continue;
        }
        match Binaries::probe(&folder) {
            Ok(binaries) => return Ok(binaries),
            Err(reason) => reasons.push(reason),
        }
        seen.push(folder);
    }
    Err(LocateError::NotFound(reasons))
}

/// Folders behind the `postgres` programs of a PATH. Links are followed: PostgreSQL finds its own files from its place.
fn from_path(folders: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    folders
        .filter_map(|folder| fs::canonicalize(folder.join("postgres")).ok())
        .filter_map(|program| program.parent().map(Path::to_owned))
        .collect()
}

/// The folder that `pg_config` names. It belongs to the development files, so the server needn't be there.
fn from_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok().filter(|output| output.status.success())?;
    let folder = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    folder.join("postgres").is_file().then_some(folder)
}

/// The folders of [`USUAL`] that exist.
fn usual_folders() -> Vec<PathBuf> {
    USUAL.iter().flat_map(|pattern| expand(pattern)).filter(|folder| folder.join("postgres").is_file()).collect()
}

/// The paths that match a pattern with at most one `*`, which stands for a version; highest first.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![PathBuf::from(pattern)];
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.split('.').next()?.parse().ok()?;
            Some((version, PathBuf::from(format!("{parent}/{name}{after}"))))
        })
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, path)| path).collect()
}

/// The major version in the answer of `postgres --version`: 15 of `postgres (PostgreSQL) 15.18 (Debian …)`, 19 of `19beta1`.
fn major_version(said: &str) -> Option<u32> {
    let version = said.split_once("(PostgreSQL)")?.1.trim_start();
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A folder that looks like PostgreSQL's, whose server calls itself `version`.
    fn fake(folder: &Path, version: &str) {
        fs::create_dir_all(folder).unwrap();
        for program in ["postgres", "initdb"] {
            let path = folder.join(program);
            fs::write(&path, format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(major_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 19beta1"), Some(19));
        assert_eq!(major_version("postgres (PostgreSQL) 9.6.24"), Some(9));
        assert_eq!(major_version("postgres (EnterpriseDB) 15.18"), None);
    }

    #[test]
    fn the_highest_version_comes_first() {
        let root = tempfile::tempdir().unwrap();
        for version in ["9.6", "15", "9", "100", "notes"] {
            fs::create_dir_all(root.path().join(version).join("bin")).unwrap();
        }
        let found = expand(&format!("{}/*/bin", root.path().display()));
        let names: Vec<_> =
            found.iter().map(|path| path.strip_prefix(root.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(&names[..2], ["100/bin", "15/bin"]);
        assert_eq!(names.len(), 4, "{names:?}");
    }

    #[test]
    fn links_on_the_path_are_followed() {
        let root = tempfile::tempdir().unwrap();
        let real = root.path().join("lib/bin");
        fake(&real, "16.1");
        let bin = root.path().join("bin");
        fs::create_dir(&bin).unwrap();
        symlink(real.join("postgres"), bin.join("postgres")).unwrap();
        assert_eq!(from_path([bin].into_iter()), [fs::canonicalize(real).unwrap()]);
    }

    #[test]
    fn an_old_server_is_passed_over_and_named() {
        let root = tempfile::tempdir().unwrap();
        let (old, new) = (root.path().join("old"), root.path().join("new"));
        fake(&old, "14.2");
        fake(&new, "17.0");
        let found = first_usable([old.clone(), new.clone()].into_iter()).unwrap();
        assert_eq!((found.bin_dir(), found.major()), (new.as_path(), 17));

        let message = first_usable([old].into_iter()).unwrap_err().to_string();
        assert!(message.contains("is version 14; Everfold needs 15"), "{message}");
        for way_out in ["DATABASE_URL", "apt-get install postgresql", "EVERFOLD_PG_BIN", "cargo xtask postgres"] {
            assert!(message.contains(way_out), "{message}");
        }
    }

    #[test]
    fn a_setting_that_is_wrong_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("postgres"), "").unwrap();
        let message = locate(Some(root.path())).unwrap_err().to_string();
        assert!(message.contains("EVERFOLD_PG_BIN") && message.contains("has no `initdb`"), "{message}");
    }
}
