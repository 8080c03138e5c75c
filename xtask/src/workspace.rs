//! Where things are: the repository, cargo's target folder, the guests; and cargo itself.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::output;

/// Folders whose sub-folders are guests: projects of their own that build for WebAssembly.
const GUEST_PARENTS: [&str; 2] = ["examples", "host/tests/guests"];

/// The repository that xtask was built from.
pub(crate) struct Workspace {
    /// Its root folder.
    pub(crate) root: PathBuf,
    /// Cargo's target folder, wherever the user's settings put it.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Asks cargo where its target folder is: `CARGO_TARGET_DIR` and `build.target-dir` both count.
    pub(crate) fn open() -> Result<Workspace> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.parent().context("xtask has no parent folder")?.to_path_buf();
        let manifest = root.join("Cargo.toml");
        let metadata = manifest_metadata(&manifest)?;
        let target = metadata["target_directory"].as_str().context("cargo metadata names no target folder")?;
        Ok(Workspace { root, target: PathBuf::from(target) })
    }

    /// Cargo, in the root folder and with the target folder made absolute, so that it means the same in every folder.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(cargo_program());
        cargo.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        cargo
    }

    /// The root folders of all guests, by name.
    pub(crate) fn guest_folders(&self) -> Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        for parent in GUEST_PARENTS {
            folders.extend(project_folders(&self.root.join(parent))?);
        }
        Ok(folders)
    }

    /// The root folders of the examples, by name.
    pub(crate) fn example_folders(&self) -> Result<Vec<PathBuf>> {
        project_folders(&self.root.join("examples"))
    }
}

/// What `cargo metadata` says of the one package or workspace at `manifest`.
pub(crate) fn manifest_metadata(manifest: &Path) -> Result<Value> {
    let mut cargo = Command::new(cargo_program());
    cargo.args(["metadata", "--no-deps", "--format-version=1", "--manifest-path"]).arg(manifest);
    serde_json::from_str(&output(&mut cargo)?).context("cargo metadata answered something else than JSON")
}

fn cargo_program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Sub-folders of `parent` with a Cargo.toml; none if there is no such folder.
fn project_folders(parent: &Path) -> Result<Vec<PathBuf>> {
    if !parent.is_dir() {
        return Ok(Vec::new());
    }
    let mut folders = Vec::new();
    for entry in parent.read_dir().with_context(|| format!("can't read {}", parent.display()))? {
        let folder = entry?.path();
        if folder.join("Cargo.toml").is_file() {
            folders.push(folder);
        }
    }
    folders.sort();
    Ok(folders)
}
