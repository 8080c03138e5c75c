//! `cargo xtask demo`: a host with its own PostgreSQL and one module, shown by real commands and their answers.

mod answers;
mod client;
pub(crate) mod host;
mod swap;
mod tour;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::process::run as run_command;
use crate::workspace::Workspace;
use crate::{guests, postgres};
use client::Client;
use host::Host;

/// The module that is shown, and the version of it that it is swapped for.
const MODULE: &str = "bank-account";
const NEXT_VERSION: &str = "bank-account-v1.1";

/// Set by Ctrl-C: the demo ends at its next step, and stops the host.
type Interrupted = Arc<AtomicBool>;

/// Sets up, shows, and either ends (`once`) or leaves the host running until Ctrl-C.
pub(crate) fn run(workspace: &Workspace, once: bool) -> Result<()> {
    let interrupted = Interrupted::default();
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    let started = Instant::now();
    let folder = DemoFolder::make(workspace)?;
    println!("== What the host needs");
    let postgres_bin = postgres::find(workspace)?;
    println!("PostgreSQL: {}", postgres_bin.display());
    guests::run(workspace, &[MODULE.to_owned(), NEXT_VERSION.to_owned()])?;
    println!("\n== The host (the first build compiles WebAssembly's engine and takes minutes)");
    // The development profile optimises dependencies; in the whole workspace they are compiled as the tests need them.
    run_command(workspace.cargo().args(["build", "--workspace", "--bin", "everfold"]))?;
    println!("ready after {} s", started.elapsed().as_secs());

    folder.install(&guests::component_file(workspace, MODULE))?;
    let mut host = Host::start(workspace, &folder.path, &postgres_bin)?;
    host.wait_until_ready(&interrupted)?;
    println!("the host answers at {} (its log: {})\n", host.base(), host.log().display());

    let client = Client::new(host.base(), Arc::clone(&interrupted));
    let shown = tour::run(&client)
        .and_then(|()| swap::run(&client, || folder.install(&guests::component_file(workspace, NEXT_VERSION))));
    if let Err(error) = shown {
        if !interrupted.load(Ordering::Relaxed) {
            eprintln!("\nthe host's log ends with:\n{}", host.last_log_lines());
        }
        return Err(error);
    }
    if once {
        host.stop()?;
        println!("\nThe demo went as expected, in {} s.", started.elapsed().as_secs());
        return Ok(());
    }
    leave_running(host, &folder.path, &interrupted)
}

fn leave_running(mut host: Host, folder: &Path, interrupted: &AtomicBool) -> Result<()> {
    let base = host.base();
    println!("\n== Go on");
    println!("The host keeps running. Some things to try:");
    println!("  curl {base}/v1/aggregates/account/alice");
    println!(
        "  curl -H 'Content-Type: application/json' -d '{}' {base}/v1/aggregates/account/bob/commands/Open",
        tour::open("Bob")
    );
    println!("  curl {base}/v1/events");
    println!("Put modules of your own into {}.", folder.join("modules").display());
    println!("Ctrl-C stops the host.");
    while !interrupted.load(Ordering::Relaxed) {
        if let Some(ended) = host.has_ended()? {
            bail!("the host ended by itself, with {ended}; its log ends with:\n{}", host.last_log_lines());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("\nstopping the host");
    host.stop()
}

/// The demo's own folder, made anew: the host's data, and the modules directory.
struct DemoFolder {
    path: PathBuf,
    /// Held as long as the demo runs.
    _lock: File,
}

impl DemoFolder {
    fn make(workspace: &Workspace) -> Result<DemoFolder> {
        let path = workspace.target.join("demo");
        let lock = File::create(workspace.target.join("demo.lock"))?;
        lock.try_lock().with_context(|| format!("another demo is running in {}", path.display()))?;
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("can't clear {}", path.display()))?;
        }
        fs::create_dir_all(path.join("modules"))?;
        Ok(DemoFolder { path, _lock: lock })
    }

    /// Puts a component where the module's file is, in one step.
    fn install(&self, component: &Path) -> Result<()> {
        let modules = self.path.join("modules");
        let partial = modules.join(format!(".{MODULE}.partial"));
        fs::copy(component, &partial).with_context(|| format!("can't copy {}", component.display()))?;
        fs::rename(partial, modules.join(format!("{MODULE}.wasm"))).context("can't put the module in place")
    }
}
