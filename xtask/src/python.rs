//! Python and packages for it: the machine's own interpreter where it will do, else Debian's, unpacked into the cache.
//!
//! Nothing is installed into an interpreter: packages lie in a folder of the cache, which `PYTHONPATH` names.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cache::Cache;
use crate::debian::{self, Packages};
use crate::process::{on_path, output, run};
use crate::workspace::Workspace;

/// The oldest version that the pinned packages run on.
const OLDEST: (u32, u32) = (3, 11);

/// Debian's package with pip as a wheel, which runs as it lies.
const PIP_PACKAGE: &str = "python3-pip-whl";

/// An interpreter with a pip.
pub(crate) struct Python {
    program: PathBuf,
    version: (u32, u32),
    /// What pip is run by: `-m pip`, or the path of its wheel.
    pip: Vec<String>,
}

impl Python {
    /// The interpreter on the `PATH` if it is recent, else one that is fetched.
    pub(crate) fn find(workspace: &Workspace) -> Result<Python> {
        let own = ["python3", "python"].into_iter().filter_map(on_path);
        let recent =
            |program: PathBuf| version_of(&program).filter(|found| *found >= OLDEST).map(|found| (program, found));
        if let Some((program, version)) = own.filter_map(recent).next() {
            let pip = own_pip(&program).map_or_else(|| fetched_pip(workspace), Ok)?;
            return Ok(Python { program, version, pip });
        }
        fetched(workspace).with_context(|| {
            let (major, minor) = OLDEST;
            format!(
                "Python {major}.{minor} or later is missing. Either of these brings it:\n  \
                 1. your system's packages, such as `apt-get install python3 python3-pip`\n  \
                 2. apt-get on the PATH, of a release that has it: xtask then fetches it by itself"
            )
        })
    }

    /// A folder with the packages that the file pins, each with its version; fetched once.
    pub(crate) fn packages(&self, workspace: &Workspace, requirements: &Path) -> Result<PathBuf> {
        let pins = fs::read(requirements).with_context(|| format!("can't read {}", requirements.display()))?;
        let (major, minor) = self.version;
        let entry = format!("python-{major}.{minor}-packages-{}", key(&pins));
        Cache::open(workspace)?.get_or_fill(&entry, |folder| {
            eprintln!("  fetching Python packages: {} (pip install)", requirements.display());
            let mut pip = self.command();
            pip.args(&self.pip).args(["install", "--quiet", "--no-input", "--disable-pip-version-check"]);
            // The file names every package: what isn't in it isn't fetched.
            pip.args(["--no-deps", "--only-binary=:all:", "--no-compile", "--target"]).arg(folder);
            run(pip.arg("--requirement").arg(requirements).env("PIP_USER", "0").env("PIP_ROOT_USER_ACTION", "ignore"))
        })
    }

    /// The interpreter, about to run.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_remove("PYTHONPATH").env_remove("PYTHONHOME").env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

/// What tells these pins from others in the cache.
pub(crate) fn key(pins: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    pins.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn version_of(program: &Path) -> Option<(u32, u32)> {
    parse_version(&output(Command::new(program).arg("--version")).ok()?)
}

/// The version in `Python 3.11.2`.
fn parse_version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.trim().strip_prefix("Python ")?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn own_pip(program: &Path) -> Option<Vec<String>> {
    let pip = ["-m".to_owned(), "pip".to_owned()];
    output(Command::new(program).args(&pip).arg("--version")).ok().map(|_| pip.to_vec())
}

/// pip for an interpreter that came without.
fn fetched_pip(workspace: &Workspace) -> Result<Vec<String>> {
    let why = "python3 has no pip: install it, such as by `apt-get install python3-pip`";
    if !Packages::are_available() {
        bail!("{why}");
    }
    let folder = Cache::open(workspace)?.get_or_fill("pip-debian", |prefix| {
        eprintln!("pip is missing; fetching it into the cache.");
        let mut packages = Packages::open(prefix)?;
        packages.unpack(&[PIP_PACKAGE])?;
        packages.close()
    });
    pip_below(&folder.context(why)?)
}

/// pip's wheel below a folder that `PIP_PACKAGE` was unpacked into.
fn pip_below(prefix: &Path) -> Result<Vec<String>> {
    let wheels = prefix.join("usr/share/python-wheels");
    let entries = fs::read_dir(&wheels).with_context(|| format!("can't read {}", wheels.display()))?;
    let names = entries.flatten().map(|entry| entry.path());
    let is_pip = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pip-"));
    let wheel = names.into_iter().find(is_pip).with_context(|| format!("{PIP_PACKAGE} brings no pip"))?;
    // A wheel is an archive that Python can run from: its folder `pip` is the program.
    Ok(vec![wheel.join("pip").display().to_string()])
}

fn fetched(workspace: &Workspace) -> Result<Python> {
    if !Packages::are_available() {
        bail!("there is no apt-get to fetch it by");
    }
    let prefix = Cache::open(workspace)?.get_or_fill("python-debian", fetch_from_debian)?;
    let program = prefix.join("bin/python3");
    let version = version_of(&program).with_context(|| format!("{} doesn't start", program.display()))?;
    Ok(Python { program, version, pip: pip_below(&prefix)? })
}

/// Debian's interpreter, which finds its library beside itself wherever it lies.
fn fetch_from_debian(prefix: &Path) -> Result<()> {
    eprintln!("Python is missing; fetching it into the cache.");
    let mut packages = Packages::open(prefix)?;
    let interpreter = packages
        .dependencies("python3")?
        .into_iter()
        .find(|name| parse_version(&name.replacen("python", "Python ", 1)).is_some())
        .context("the package python3 names no interpreter")?;
    let minimal = format!("{interpreter}-minimal");
    packages.unpack(&[
        &interpreter,
        &minimal,
        &format!("lib{minimal}"),
        &format!("lib{interpreter}-stdlib"),
        PIP_PACKAGE,
    ])?;
    let program = Path::new("usr/bin").join(&interpreter);
    packages.complete(&program)?;
    let modules = Path::new("usr/lib").join(&interpreter).join("lib-dynload");
    for entry in fs::read_dir(prefix.join(&modules))? {
        packages.complete(&modules.join(entry?.file_name()))?;
    }
    packages.close()?;
    let script = prefix.join("bin/python3");
    fs::create_dir(prefix.join("bin"))?;
    fs::write(&script, debian::wrapper(prefix, 1, &program)?)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let version = version_of(&script).context("the fetched Python doesn't start")?;
    if version < OLDEST {
        bail!("this release of the system has Python {}.{} only", version.0, version.1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(parse_version("Python 3.11.2\n"), Some((3, 11)));
        assert_eq!(parse_version("Python 3.14.0rc1"), Some((3, 14)));
        assert_eq!(parse_version("Python is not installed"), None);
        assert!(parse_version("Python 3.9.1") < Some(OLDEST));
    }

    #[test]
    fn other_pins_have_another_key() {
        assert_eq!(key(b"a==1\n"), key(b"a==1\n"));
        assert_ne!(key(b"a==1\n"), key(b"a==2\n"));
    }
}
