//! Debian and Ubuntu packages, unpacked into a folder of ours: no root, nothing installed, no service started.
//!
//! `apt-get` keeps its lists in a folder of ours too, since only root may refresh the system's.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{on_path, output, run};

/// Libraries that belong to the machine itself: another copy beside its own does harm.
const MACHINES_OWN: [&str; 3] = ["libc6", "libcrypt1", "libgcc-s1"];

/// The machine's packages, and a folder that some of them are unpacked into.
pub(crate) struct Packages {
    prefix: PathBuf,
    private: PathBuf,
    unpacked: BTreeSet<String>,
}

impl Packages {
    /// Whether this machine has the tools.
    pub(crate) fn are_available() -> bool {
        ["apt-get", "apt-cache", "dpkg", "ldd"].iter().all(|tool| on_path(tool).is_some())
    }

    /// Fetches the lists of packages; what is unpacked later goes into `prefix`.
    pub(crate) fn open(prefix: &Path) -> Result<Packages> {
        let private = prefix.join(".apt");
        for folder in ["state/lists/partial", "cache/archives/partial", "download"] {
            fs::create_dir_all(private.join(folder))?;
        }
        let packages = Packages { prefix: prefix.to_path_buf(), private, unpacked: BTreeSet::new() };
        eprintln!("  fetching the lists of packages (apt-get update, in {})", packages.private.display());
        run(packages.apt("apt-get").args(["-qq", "update"]))?;
        Ok(packages)
    }

    /// The packages that `package` depends on.
    pub(crate) fn dependencies(&self, package: &str) -> Result<Vec<String>> {
        let listed = output(self.apt("apt-cache").args(["depends", "--important", package]))?;
        Ok(parse_dependencies(&listed))
    }

    /// Fetches packages and unpacks them; those that are there already are left.
    pub(crate) fn unpack<S: AsRef<str>>(&mut self, names: &[S]) -> Result<()> {
        let new: Vec<&str> = names.iter().map(S::as_ref).filter(|name| !self.unpacked.contains(*name)).collect();
        if new.is_empty() {
            return Ok(());
        }
        eprintln!("  fetching Debian packages: {} (apt-get download)", new.join(" "));
        let download = self.private.join("download");
        run(self.apt("apt-get").args(["-qq", "download"]).args(&new).current_dir(&download))?;
        for entry in fs::read_dir(&download)? {
            let archive = entry?.path();
            run(Command::new("dpkg").arg("-x").arg(&archive).arg(&self.prefix))?;
            fs::remove_file(archive)?;
        }
        self.unpacked.extend(new.into_iter().map(str::to_owned));
        Ok(())
    }

    /// Adds the shared libraries that `program` (a path below the prefix) needs and the machine lacks.
    pub(crate) fn complete(&mut self, program: &Path) -> Result<()> {
        loop {
            let missing = self.missing_libraries(program)?;
            if missing.is_empty() {
                return Ok(());
            }
            let mut wanted = BTreeSet::new();
            for package in &self.unpacked {
                wanted.extend(self.dependencies(package)?.into_iter().filter(|name| may_hold_libraries(name)));
            }
            let wanted: Vec<String> = wanted.difference(&self.unpacked).cloned().collect();
            if wanted.is_empty() {
                bail!("no package brings {}, which {} needs", missing.join(", "), program.display());
            }
            self.unpack(&wanted)?;
        }
    }

    /// Ends the work in the folder: what only apt needed goes.
    pub(crate) fn close(self) -> Result<()> {
        fs::remove_dir_all(&self.private).context("can't remove apt's own files")
    }

    fn missing_libraries(&self, program: &Path) -> Result<Vec<String>> {
        let mut ldd = Command::new("ldd");
        ldd.arg(self.prefix.join(program)).env("LC_ALL", "C").env("LD_LIBRARY_PATH", search_path(&self.prefix)?);
        Ok(parse_missing(&output(&mut ldd)?))
    }

    fn apt(&self, tool: &str) -> Command {
        let mut apt = Command::new(tool);
        let set = |name: &str, folder: &str| format!("{name}={}", self.private.join(folder).display());
        apt.args(["-o", &set("Dir::State", "state"), "-o", &set("Dir::Cache", "cache")]);
        for option in [
            "Dir::State::status=/var/lib/dpkg/status",
            // As root, apt would fetch as a user who can't write here.
            "APT::Sandbox::User=root",
            "APT::Update::Error-Mode=any",
            "Acquire::Languages=none",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
        ] {
            apt.args(["-o", option]);
        }
        apt
    }
}

/// The folders below `prefix` with shared libraries, relative to it.
pub(crate) fn library_folders(prefix: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for parent in ["usr/lib", "lib"] {
        let Ok(entries) = fs::read_dir(prefix.join(parent)) else {
            continue;
        };
        for entry in entries {
            let name = entry?.file_name();
            if name.to_string_lossy().contains("-linux-gnu") {
                folders.push(Path::new(parent).join(name));
            }
        }
    }
    Ok(folders)
}

/// A shell script that starts `program` (a path below `prefix`) with the libraries below the prefix. It finds both by
/// its own place, `depth` folders below the prefix, so that the prefix may be moved.
pub(crate) fn wrapper(prefix: &Path, depth: usize, program: &Path) -> Result<String> {
    let up = vec![".."; depth].join("/");
    let folders: Vec<String> =
        library_folders(prefix)?.iter().map(|folder| format!("$prefix/{}", folder.display())).collect();
    Ok(format!(
        "#!/bin/sh\n\
         prefix=$(cd \"${{0%/*}}/{up}\" && pwd)\n\
         export LD_LIBRARY_PATH=\"{}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}\"\n\
         exec \"$prefix/{}\" \"$@\"\n",
        folders.join(":"),
        program.display()
    ))
}

fn search_path(prefix: &Path) -> Result<std::ffi::OsString> {
    let folders = library_folders(prefix)?;
    std::env::join_paths(folders.iter().map(|folder| prefix.join(folder))).context("the cache's path holds a colon")
}

/// The real packages in the output of `apt-cache depends`.
fn parse_dependencies(listed: &str) -> Vec<String> {
    listed
        .lines()
        .filter_map(|line| line.trim_start_matches([' ', '|']).strip_prefix("Depends: "))
        .filter(|name| !name.starts_with('<'))
        .map(str::to_owned)
        .collect()
}

/// The libraries that `ldd` didn't find.
fn parse_missing(listed: &str) -> Vec<String> {
    listed.lines().filter_map(|line| line.trim().strip_suffix(" => not found")).map(str::to_owned).collect()
}

/// LLVM serves PostgreSQL's optional compiler alone, and rustc names its own LLVM among its packages.
fn may_hold_libraries(package: &str) -> bool {
    let library = package.starts_with("lib") || package.starts_with("zlib");
    library && !package.starts_with("libllvm") && !MACHINES_OWN.contains(&package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_packages_and_conflicts_are_no_dependencies() {
        let listed =
            "tool\n |Depends: locales\n  Depends: libpq5\n  Depends: <debconf-2.0>\n    debconf\n  Breaks: old\n";
        assert_eq!(parse_dependencies(listed), ["locales", "libpq5"]);
    }

    #[test]
    fn only_missing_libraries_are_listed() {
        let listed = "\tlinux-vdso.so.1 (0x1)\n\tlibpq.so.5 => not found\n\tlibc.so.6 => /lib/libc.so.6 (0x2)\n";
        assert_eq!(parse_missing(listed), ["libpq.so.5"]);
    }

    #[test]
    fn the_machines_own_libraries_stay() {
        assert!(may_hold_libraries("libicu72") && may_hold_libraries("zlib1g"));
        assert!(!may_hold_libraries("libc6") && !may_hold_libraries("locales") && !may_hold_libraries("libllvm14"));
    }
}
