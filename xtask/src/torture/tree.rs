//! A copy of the repository that may be broken, with a target folder of its own: the user's files stay as they are, and
//! so does what cargo has made of them.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{output, run};
use crate::workspace::Workspace;

/// What of a target folder makes a build warm.
const WARM: [&str; 3] = ["deps", "build", ".fingerprint"];

/// The copy.
pub(super) struct Tree {
    /// Where the originals are.
    root: PathBuf,
    /// The copy as a workspace.
    pub(super) workspace: Workspace,
    /// Where logs are written.
    pub(super) logs: PathBuf,
    /// Held as long as the copy is used.
    _lock: File,
}

impl Tree {
    /// Makes the copy, or takes the one that is there.
    pub(super) fn open(workspace: &Workspace) -> Result<Tree> {
        let folder = workspace.target.join("mutations");
        let logs = folder.join("logs");
        fs::create_dir_all(&logs)?;
        let lock = File::create(folder.join("lock"))?;
        lock.try_lock().with_context(|| format!("mutations are being tried already, in {}", folder.display()))?;
        let copy = Workspace { root: folder.join("tree"), target: folder.join("target") };
        if !copy.target.exists() {
            // Sources older than what was compiled from others would be taken for unchanged: they are written anew.
            remove_folder(&copy.root)?;
            warm_up(&workspace.target.join("debug"), &copy.target)?;
        }
        let tree = Tree { root: workspace.root.clone(), workspace: copy, logs, _lock: lock };
        tree.restore()?;
        Ok(tree)
    }

    /// Makes the copy equal to the repository: every file that git knows, and every new one that it doesn't ignore.
    /// Files that are equal keep their times, so that cargo compiles only what differs.
    pub(super) fn restore(&self) -> Result<()> {
        let mut git = Command::new("git");
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(&self.root);
        let listed = output(&mut git)?;
        let names: HashSet<&Path> = listed.split('\0').filter(|name| !name.is_empty()).map(Path::new).collect();
        for name in &names {
            // One that was deleted but not yet committed is still listed.
            if self.root.join(name).symlink_metadata().is_ok() {
                copy(&self.root.join(name), &self.workspace.root.join(name))?;
            }
        }
        self.remove_others(&self.workspace.root, &names)
    }

    /// Removes what the repository doesn't have.
    fn remove_others(&self, folder: &Path, names: &HashSet<&Path>) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.strip_prefix(&self.workspace.root)?;
            if path.symlink_metadata()?.is_dir() {
                self.remove_others(&path, names)?;
            } else if !names.contains(name) || self.root.join(name).symlink_metadata().is_err() {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

/// Copies a file or a symbolic link, unless the copy is equal.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let failed = || format!("can't copy {}", from.display());
    let folder = to.parent().with_context(failed)?;
    fs::create_dir_all(folder).with_context(failed)?;
    if from.symlink_metadata()?.is_symlink() {
        let target = fs::read_link(from)?;
        if fs::read_link(to).ok().as_ref() != Some(&target) {
            let _ = fs::remove_file(to);
            symlink(target, to).with_context(failed)?;
        }
    } else if fs::read(to).ok() != Some(fs::read(from).with_context(failed)?) {
        fs::copy(from, to).with_context(failed)?;
    }
    Ok(())
}

/// Most of a build is dependencies, which are the same in the copy: those that are compiled already are taken over.
fn warm_up(from: &Path, target: &Path) -> Result<()> {
    let partial = target.with_extension("partial");
    remove_folder(&partial)?;
    fs::create_dir_all(partial.join("debug"))?;
    println!("copying what is compiled already");
    for part in WARM.iter().map(|part| from.join(part)).filter(|part| part.is_dir()) {
        // With their times, which are how cargo knows that they are up to date.
        run(Command::new("cp").arg("-a").arg(part).arg(partial.join("debug")))?;
    }
    fs::rename(&partial, target).context("can't put the copied target folder in place")
}

fn remove_folder(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("can't clear {}", folder.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_equal_keeps_its_time_and_another_is_replaced() {
        let folder = std::env::temp_dir().join(format!("everfold-tree-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (from, to) = (folder.join("from"), folder.join("below/to"));
        let outcome = (|| -> Result<_> {
            fs::write(&from, "one")?;
            copy(&from, &to)?;
            let first = fs::metadata(&to)?.modified()?;
            copy(&from, &to)?;
            let second = fs::metadata(&to)?.modified()?;
            fs::write(&to, "broken")?;
            copy(&from, &to)?;
            let link = folder.join("link");
            symlink("from", &link)?;
            copy(&link, &folder.join("below/link"))?;
            Ok((first == second, fs::read_to_string(&to)?, fs::read_link(folder.join("below/link"))?))
        })();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(outcome.unwrap(), (true, "one".to_owned(), PathBuf::from("from")));
    }
}
