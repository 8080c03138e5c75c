//! The modules directory from outside: how to watch it, and what is known of its files.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::registry::ModuleRegistry;
use super::status::ModuleStatus;
use super::watcher::ModulesWatcher;
use crate::runtime::{ActiveModules, Engine};

/// How updates are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateMode {
    /// A new digest under a known name and version is taken: what a developer who rebuilds wants.
    Auto,
    /// A name and version stand for one digest, for good.
    Manual,
}

/// What to watch, and how.
#[derive(Debug, Clone)]
pub struct ModulesOptions {
    /// The directory; it's made where it's missing.
    pub dir: PathBuf,
    /// How often it's looked at where no event says that it changed: network mounts send none.
    pub poll_interval: Duration,
    /// How updates are taken.
    pub mode: UpdateMode,
}

/// Why the directory can't be watched.
#[derive(Debug, thiserror::Error)]
pub enum ModulesError {
    /// It can't be made or read.
    #[error("the modules directory {} can't be read; check that it is a directory and who may read it", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
}

/// What is known of the modules' files. Cloning it is cheap.
#[derive(Debug, Clone, Default)]
pub struct Modules {
    status: Arc<Mutex<Arc<Vec<ModuleStatus>>>>,
}

impl Modules {
    /// Takes the first look at the directory: files that are complete serve when this returns. The watch goes on in
    /// [`ModulesWatcher::run`].
    ///
    /// # Errors
    /// The directory can't be made or read. A bad file is no error: its status says what is wrong.
    pub async fn start(
        options: ModulesOptions,
        engine: Engine,
        active: ActiveModules,
        registry: Arc<dyn ModuleRegistry>,
    ) -> Result<(Self, ModulesWatcher), ModulesError> {
        let wrong = |source| ModulesError::Directory { path: options.dir.clone(), source };
        std::fs::create_dir_all(&options.dir).map_err(wrong)?;
        let handle = Self::default();
        let dir = options.dir.clone();
        let mut watcher = ModulesWatcher::new(options, engine, active, registry, handle.clone());
        watcher.first_looks().await.map_err(|source| ModulesError::Directory { path: dir, source })?;
        Ok((handle, watcher))
    }

    /// Every file, and what became of it.
    #[must_use]
    pub fn status(&self) -> Arc<Vec<ModuleStatus>> {
        Arc::clone(&self.status.lock().expect("no holder panics"))
    }

    pub(super) fn set_status(&self, status: Vec<ModuleStatus>) {
        *self.status.lock().expect("no holder panics") = Arc::new(status);
    }
}
