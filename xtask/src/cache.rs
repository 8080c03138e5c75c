//! Fetched things, kept between runs: each is a folder that is either there and whole, or not there.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::workspace::Workspace;

/// The folder for fetched things.
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The first usable of `$XDG_CACHE_HOME/everfold`, `~/.cache/everfold`, root's `/var/cache/everfold`, and the
    /// target folder.
    pub(crate) fn open(workspace: &Workspace) -> Result<Cache> {
        let root = rustix::process::getuid().is_root();
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let candidates = [
            set("XDG_CACHE_HOME").filter(|folder| folder.is_absolute()).map(|folder| folder.join("everfold")),
            set("HOME").map(|home| home.join(".cache/everfold")),
            root.then(|| PathBuf::from("/var/cache/everfold")),
        ];
        for folder in candidates.into_iter().flatten() {
            // PostgreSQL refuses to run as root, and another user must then be able to reach its binaries.
            if fs::create_dir_all(&folder).is_ok() && is_writable(&folder) && (!root || is_open_to_all(&folder)) {
                return Ok(Cache { folder });
            }
        }
        let folder = workspace.target.join("cache");
        fs::create_dir_all(&folder).with_context(|| format!("can't make the cache folder {}", folder.display()))?;
        Ok(Cache { folder })
    }

    /// The folder `name`, if it is there.
    pub(crate) fn get(&self, name: &str) -> Option<PathBuf> {
        let folder = self.folder.join(name);
        folder.is_dir().then_some(folder)
    }

    /// The folder `name`; `fill` makes its content if it isn't there. It's filled under another name and then renamed,
    /// so a killed run leaves nothing half, and one of several runs at once does the work.
    pub(crate) fn get_or_fill(&self, name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let lock_file = self.folder.join(format!("{name}.lock"));
        let lock = File::create(&lock_file).with_context(|| format!("can't write {}", lock_file.display()))?;
        lock.lock().with_context(|| format!("can't lock {}", lock_file.display()))?;
        if let Some(folder) = self.get(name) {
            return Ok(folder);
        }
        let partial = self.folder.join(format!("{name}.partial"));
        if partial.exists() {
            fs::remove_dir_all(&partial).with_context(|| format!("can't clear {}", partial.display()))?;
        }
        fs::create_dir(&partial).with_context(|| format!("can't make {}", partial.display()))?;
        fill(&partial)?;
        let folder = self.folder.join(name);
        fs::rename(&partial, &folder).with_context(|| format!("can't make {}", folder.display()))?;
        Ok(folder)
    }
}

fn is_writable(folder: &Path) -> bool {
    let probe = folder.join(format!(".probe-{}", std::process::id()));
    let writable = File::create(&probe).is_ok();
    // The probe is empty: one that can't be removed again does no harm.
    let _ = fs::remove_file(probe);
    writable
}

/// Whether every user may pass through the folder and all those above it.
fn is_open_to_all(folder: &Path) -> bool {
    folder.ancestors().all(|folder| folder.metadata().is_ok_and(|found| found.permissions().mode() & 0o001 != 0))
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    fn empty(name: &str) -> Cache {
        let folder = std::env::temp_dir().join(format!("everfold-cache-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Cache { folder }
    }

    #[test]
    fn a_thing_is_fetched_once() {
        let cache = empty("once");
        let filled = cache.get_or_fill("thing", |folder| Ok(fs::write(folder.join("file"), "1")?)).unwrap();
        let again = cache.get_or_fill("thing", |_| bail!("fetched twice")).unwrap();
        assert_eq!(filled, again);
        assert_eq!(fs::read_to_string(again.join("file")).unwrap(), "1");
        fs::remove_dir_all(cache.folder).unwrap();
    }

    #[test]
    fn a_fetch_that_broke_off_leaves_nothing_and_is_done_again() {
        let cache = empty("half");
        let broken = cache.get_or_fill("thing", |folder| {
            fs::write(folder.join("half"), "")?;
            bail!("line cut")
        });
        assert!(broken.is_err());
        assert!(cache.get("thing").is_none());
        let whole = cache.get_or_fill("thing", |folder| Ok(fs::write(folder.join("file"), "")?)).unwrap();
        assert!(!whole.join("half").exists());
        fs::remove_dir_all(cache.folder).unwrap();
    }

    #[test]
    fn a_private_folder_is_not_open_to_all() {
        let cache = empty("private");
        assert!(is_open_to_all(&cache.folder));
        fs::set_permissions(&cache.folder, fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!is_open_to_all(&cache.folder));
        fs::remove_dir_all(cache.folder).unwrap();
    }
}
