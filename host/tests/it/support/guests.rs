//! The components that the tests run, and an engine to run them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use everfold::runtime::{Engine, EngineOptions, Module};

/// One engine for all tests: each reserves address space of its own.
pub(crate) fn engine() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let options = || EngineOptions { max_instances: 128, ..EngineOptions::default() };
    ENGINE.get_or_init(|| Engine::new(options()).unwrap()).clone()
}

/// A component that `cargo xtask guests` built.
pub(crate) fn wasm(name: &str) -> Vec<u8> {
    let beside_tests = || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("guests");
    let dir = std::env::var_os("EVERFOLD_GUESTS_DIR").map_or_else(beside_tests, PathBuf::from);
    let path = dir.join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask guests`", path.display()))
}

/// The same, loaded.
pub(crate) fn module(name: &str) -> Arc<Module> {
    engine().load(&wasm(name)).unwrap()
}
