//! Looks at the modules directory.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, os::unix::fs::MetadataExt};

/// A file as one look saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) print: Print,
}

/// What changes when a file's content does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Print {
    pub(super) modified: SystemTime,
    pub(super) bytes: u64,
    /// A file that was moved over another may have its time and size.
    inode: u64,
}

/// The modules' files, by name. Links are followed: that is how a mounted ConfigMap swaps its files.
pub(super) fn list(dir: &Path) -> io::Result<Vec<Seen>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !is_module_file(&name) {
            continue;
        }
        // A file that went between listing and looking is simply not there.
        let Ok(print) = print(&entry.path()) else { continue };
        files.extend(print.map(|print| Seen { name, path: entry.path(), print }));
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// The bytes of a file, unless it changed since it was seen.
pub(super) fn read(seen: &Seen) -> io::Result<Option<Vec<u8>>> {
    let bytes = fs::read(&seen.path)?;
    Ok((print(&seen.path)? == Some(seen.print) && bytes.len() as u64 == seen.print.bytes).then_some(bytes))
}

fn print(path: &Path) -> io::Result<Option<Print>> {
    let metadata = fs::metadata(path)?;
    let print = Print { modified: metadata.modified()?, bytes: metadata.len(), inode: metadata.ino() };
    Ok(metadata.is_file().then_some(print))
}

/// Tools that copy write under a hidden or other name first.
fn is_module_file(name: &str) -> bool {
    name.ends_with(".wasm") && !name.starts_with(['.', '~', '#'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finished_names_are_seen() {
        assert!(is_module_file("bank-account.wasm"));
        for name in [".bank.wasm", "bank.wasm.part", "bank.wasm~", "~bank.wasm", "bank.cwasm", "README.md"] {
            assert!(!is_module_file(name), "{name}");
        }
    }

    #[test]
    fn a_file_that_changed_since_it_was_seen_is_not_read() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("a.wasm"), b"12").expect("written");
        fs::create_dir(dir.path().join("b.wasm")).expect("made");
        let seen = list(dir.path()).expect("listed");
        assert_eq!(seen.len(), 1, "a directory is no file");
        assert_eq!(read(&seen[0]).expect("read").as_deref(), Some(&b"12"[..]));
        fs::write(dir.path().join("a.wasm"), b"123").expect("written");
        assert_eq!(read(&seen[0]).expect("read"), None);
    }
}
