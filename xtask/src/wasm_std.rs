//! The standard library for `wasm32-unknown-unknown`, from wherever this machine can get it.
//!
//! It has no WASI at all, so what is built for it imports nothing: no clock, no randomness, no files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cache::Cache;
use crate::debian::{self, Packages};
use crate::process::{on_path, output, run};
use crate::workspace::Workspace;

/// What guests are built for.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// The cache's folder with Debian's compiler, and the script in it that starts the compiler.
const DEBIAN_ENTRY: &str = "wasm-rustc";
const DEBIAN_RUSTC: &str = "rustc";

/// Parts of the compiler's sources that the standard library isn't built from.
const UNUSED_SOURCES: [&str; 4] = ["compiler", "src/tools", "src/doc", "tests"];

/// How guests are compiled on this machine.
pub(crate) enum WasmStd {
    /// The toolchain has the standard library.
    Toolchain,
    /// The standard library is built from source, by the compiler that its sources belong to.
    FromSource {
        /// Starts that compiler.
        rustc: PathBuf,
        /// The linker of the toolchain.
        linker: PathBuf,
    },
}

impl WasmStd {
    /// Finds the standard library, or fetches it: by rustup, else from Debian's packages.
    pub(crate) fn find(workspace: &Workspace) -> Result<WasmStd> {
        if is_in_toolchain(workspace)? {
            return Ok(WasmStd::Toolchain);
        }
        let cache = Cache::open(workspace)?;
        if let Some(folder) = cache.get(DEBIAN_ENTRY) {
            return from_source(workspace, &folder);
        }
        eprintln!("The standard library for {TARGET} is missing.");
        let by_rustup = add_by_rustup(workspace);
        if by_rustup.is_ok() && is_in_toolchain(workspace)? {
            return Ok(WasmStd::Toolchain);
        }
        if Packages::are_available() {
            eprintln!("  rustup can't add it; taking Debian's second compiler with its sources (about 150 MB)");
            let folder = cache.get_or_fill(DEBIAN_ENTRY, fetch_from_debian).with_context(ways_out)?;
            return from_source(workspace, &folder);
        }
        match by_rustup {
            Err(error) => Err(error.context(ways_out())),
            Ok(()) => bail!(ways_out()),
        }
    }

    /// A cargo command that builds for the target: its sub-command and what it needs on this machine.
    pub(crate) fn cargo(&self, workspace: &Workspace, subcommand: &str) -> Command {
        let mut cargo = workspace.cargo();
        cargo.args([subcommand, "--target", TARGET]);
        if let WasmStd::FromSource { rustc, linker } = self {
            // The unstable flag is needed only here: everything else is built by the pinned toolchain as it is.
            cargo.arg("-Zbuild-std=std,panic_abort").env("RUSTC_BOOTSTRAP", "1").env("RUSTC", rustc);
            cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        cargo
    }
}

fn ways_out() -> String {
    format!(
        "there is no standard library for {TARGET}, which modules are built for. Any one of these brings it:\n  \
         1. rustup target add {TARGET}\n  \
         2. your distribution's package of it for the compiler in use (such as libstd-rust-dev-wasm32), 1.85 or later\n  \
         3. Debian 12's packages rustc-web and rust-web-src within reach of apt-get: xtask then fetches them by itself"
    )
}

fn is_in_toolchain(workspace: &Workspace) -> Result<bool> {
    let folder = ask_rustc(workspace, &["--print", "target-libdir", "--target", TARGET])?;
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(false);
    };
    let is_core = |name: &str| name.starts_with("libcore-") && name.ends_with(".rlib");
    Ok(entries.flatten().any(|entry| entry.file_name().to_str().is_some_and(is_core)))
}

fn add_by_rustup(workspace: &Workspace) -> Result<()> {
    if on_path("rustup").is_none() {
        bail!("there is no rustup on the PATH");
    }
    eprintln!("  rustup target add {TARGET}");
    run(Command::new("rustup").args(["target", "add", TARGET]).current_dir(&workspace.root))
}

fn ask_rustc(workspace: &Workspace, arguments: &[&str]) -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let answer = output(Command::new(rustc).args(arguments).current_dir(&workspace.root))?;
    Ok(answer.trim().to_owned())
}

/// Fills `prefix` with the newest compiler whose sources are packaged as well. A standard library fits only the very
/// compiler that it was released with, so both come from the same place.
fn fetch_from_debian(prefix: &Path) -> Result<()> {
    let mut packages = Packages::open(prefix)?;
    let mut names = vec!["rustc-web".to_owned(), "rust-web-src".to_owned()];
    // The packages' names carry versions: they are followed from the one that doesn't.
    let mut at = 0;
    while let Some(name) = names.get(at).cloned() {
        let parts = packages.dependencies(&name)?;
        let of_compiler = |name: &String| name.starts_with("libstd-rust-web") || name.starts_with("libllvm");
        for part in parts.into_iter().filter(of_compiler) {
            if !names.contains(&part) {
                names.push(part);
            }
        }
        at += 1;
    }
    packages.unpack(&names)?;
    let program = Path::new("usr/bin/rustc");
    packages.complete(program)?;
    packages.close()?;
    remove_unused_sources(prefix)?;
    let script = prefix.join(DEBIAN_RUSTC);
    fs::write(&script, debian::wrapper(prefix, 0, program)?)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let version = output(Command::new(&script).arg("--version"))?;
    eprintln!("  {} is ready", version.trim());
    Ok(())
}

fn remove_unused_sources(prefix: &Path) -> Result<()> {
    for entry in fs::read_dir(prefix.join("usr/src"))? {
        let sources = entry?.path();
        for part in UNUSED_SOURCES.iter().map(|part| sources.join(part)).filter(|part| part.is_dir()) {
            fs::remove_dir_all(&part).with_context(|| format!("can't remove {}", part.display()))?;
        }
    }
    Ok(())
}

fn from_source(workspace: &Workspace, folder: &Path) -> Result<WasmStd> {
    let sysroot = ask_rustc(workspace, &["--print", "sysroot"])?;
    let version = ask_rustc(workspace, &["-vV"])?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV names no host")?;
    let linker = Path::new(&sysroot).join("lib/rustlib").join(host).join("bin/rust-lld");
    if !linker.is_file() {
        bail!("the Rust toolchain has no WebAssembly linker at {}; a toolchain by rustup has one", linker.display());
    }
    Ok(WasmStd::FromSource { rustc: folder.join(DEBIAN_RUSTC), linker })
}
