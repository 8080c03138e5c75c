//! A copy of the repository that may be broken, with a target folder of its own: the user's files stay as they are, and
//! so does what cargo has made of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
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
    /// The copy as a workspace.
    pub(super) workspace: Workspace,
    /// Where logs are written.
    pub(super) logs: PathBuf,
    /// What files held before they were changed; none where there was no file.
    changed: RefCell<BTreeMap<PathBuf, Option<Vec<u8>>>>,
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
        copy_all(&workspace.root, &copy.root)?;
        Ok(Tree { workspace: copy, logs, changed: RefCell::default(), _lock: lock })
    }

    /// The text of a file of the copy.
    pub(super) fn read(&self, name: &str) -> Result<String> {
        fs::read_to_string(self.workspace.root.join(name)).with_context(|| format!("can't read {name}"))
    }

    /// Changes a file of the copy, or makes one.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<()> {
        let file = self.workspace.root.join(name);
        self.changed.borrow_mut().entry(file.clone()).or_insert_with(|| fs::read(&file).ok());
        fs::write(&file, text).with_context(|| format!("can't write {name}"))
    }

    /// Takes all changes back. What the user edits meanwhile is of the next run: this one judges one state throughout.
    pub(super) fn undo(&self) -> Result<()> {
        for (file, before) in self.changed.take() {
            match before {
                Some(before) => fs::write(file, before)?,
                None => fs::remove_file(file)?,
            }
        }
        Ok(())
    }
}

/// Makes the copy equal to the repository: every file that git knows, and every new one that it doesn't ignore. Files
/// that are equal keep their times, so that cargo compiles only what differs.
fn copy_all(from: &Path, to: &Path) -> Result<()> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(from);
    let listed = output(&mut git)?;
    // One that was deleted but not yet committed is still listed.
    let is_there = |name: &&Path| from.join(name).symlink_metadata().is_ok();
    let names = listed.split('\0').filter(|name| !name.is_empty()).map(Path::new).filter(is_there);
    let names: HashSet<&Path> = names.collect();
    for name in &names {
        copy(&from.join(name), &to.join(name))?;
    }
    remove_others(to, to, &names)
}

/// Removes files that aren't among these.
fn remove_others(root: &Path, folder: &Path, names: &HashSet<&Path>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.symlink_metadata()?.is_dir() {
            remove_others(root, &path, names)?;
        } else if !names.contains(path.strip_prefix(root)?) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
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

    #[test]
    fn changes_are_taken_back() {
        let folder = std::env::temp_dir().join(format!("everfold-undo-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let workspace = Workspace { root: folder.clone(), target: folder.clone() };
        let lock = File::create(folder.join("lock")).unwrap();
        let tree = Tree { workspace, logs: folder.clone(), changed: RefCell::default(), _lock: lock };
        let outcome = (|| -> Result<_> {
            fs::write(folder.join("old"), "one")?;
            tree.write("old", "two")?;
            tree.write("old", "three")?;
            tree.write("new", "four")?;
            let between = (tree.read("old")?, tree.read("new")?);
            tree.undo()?;
            Ok((between, tree.read("old")?, folder.join("new").exists()))
        })();
        fs::remove_dir_all(&folder).unwrap();
        let (between, old, new) = outcome.unwrap();
        assert_eq!(between, ("three".to_owned(), "four".to_owned()));
        assert_eq!((old.as_str(), new), ("one", false));
    }
}
