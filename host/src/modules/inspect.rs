//! A look at the modules directory that changes nothing: each file loaded, none registered, none activated.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::directory;
use crate::runtime::{Engine, LoadError, Module};

/// A file's name, and the module in it or the reason for its refusal.
pub type Inspected = (String, Result<Arc<Module>, LoadError>);

/// The files that a host would take for modules, each with the module or the reason for its refusal. Compiles: it may
/// take seconds.
///
/// # Errors
/// The directory, or a file in it, can't be read.
pub fn inspect(dir: &Path, engine: &Engine) -> io::Result<Vec<Inspected>> {
    let mut loaded = Vec::new();
    for seen in directory::list(dir)? {
        // One that is being replaced just now is the next look's affair.
        if let Some(wasm) = directory::read(&seen)? {
            loaded.push((seen.name, engine.load(&wasm)));
        }
    }
    Ok(loaded)
}
