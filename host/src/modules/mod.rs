//! The modules directory: files come, are checked, become active, and go, while commands run.
//!
//! Whoever puts a component into the directory updates the host. A file counts once it's complete: unchanged over two
//! looks. It's compiled and tried off the path of commands; what passes replaces the module of its name in one step,
//! what doesn't is reported, and the old module serves on. A module's identity is the digest of its bytes, so touching
//! or renaming a file changes nothing.

mod directory;
mod file;
mod handle;
mod inspect;
mod metrics;
mod registry;
mod report;
mod selection;
mod status;
mod watcher;

pub use handle::{Modules, ModulesError, ModulesOptions, UpdateMode};
pub use inspect::{Inspected, inspect};
pub(crate) use metrics::METRICS;
pub use registry::ModuleRegistry;
pub use status::{ModuleState, ModuleStatus};
pub use watcher::ModulesWatcher;
