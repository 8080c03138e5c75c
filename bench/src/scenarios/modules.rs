//! Modules: compiled, loaded from the cache, instantiated; and replaced while commands run.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use everfold::model::{AggregateType, Tenant};
use everfold::runtime::{Engine, EngineOptions, Instances, Placement};

use crate::load::Timing;
use crate::results::Results;
use crate::sample::Sample;
use crate::site::{Host, Site};
use crate::stats::median;
use crate::subjects::run_http;
use crate::wire::Wire;
use crate::work::{Work, fresh_stream};

const DATABASE: &str = "modules";

/// Times that a module is compiled, and loaded.
const LOADS: usize = 5;

/// Instances that are made.
const INSTANCES: usize = 200;

/// Swaps, there and back in turn.
const SWAPS: usize = 4;

/// Clients at work while a module is swapped.
const IN_FLIGHT: usize = 64;

/// The load around a swap: long enough that everything that the swap delays is answered within it.
const TIMING: Timing = Timing { warm_up: Duration::from_millis(500), measure: Duration::from_secs(6) };

/// How long the host may take to notice a file and to be done with it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is asked whether the new module serves.
const ASK_EVERY: Duration = Duration::from_millis(1);

pub(super) async fn measure(site: &Site, folder: &Path, results: &mut Results) -> Result<()> {
    loads(site, folder, results)?;
    swaps(site, folder, results).await
}

fn loads(site: &Site, folder: &Path, results: &mut Results) -> Result<()> {
    let wasm = site.plan.module("bank-account")?;
    let time = |engine: &Engine| {
        let timed = |_| {
            let begin = Instant::now();
            engine.load(&wasm)?;
            anyhow::Ok(begin.elapsed().as_secs_f64() * 1e3)
        };
        (0..LOADS).map(timed).collect::<Result<Vec<f64>>>()
    };
    let compiling = Engine::new(EngineOptions::default())?;
    results.measure("module compiled and checked", median(time(&compiling)?).unwrap_or(f64::NAN), "ms");
    let cache_dir = Some(folder.join("compiled"));
    let caching = Engine::new(EngineOptions { cache_dir, ..EngineOptions::default() })?;
    let module = caching.load(&wasm)?;
    results.measure("module loaded from the cache and checked", median(time(&caching)?).unwrap_or(f64::NAN), "ms");

    let mut instances = Instances::new(caching);
    let (tenant, aggregate) = (Tenant::default_tenant(), AggregateType::new("account")?);
    let mut took = Vec::new();
    for _ in 0..INSTANCES {
        let begin = Instant::now();
        let resident = instances.create(&module, &tenant, &aggregate, Placement::Alone)?;
        took.push(begin.elapsed().as_secs_f64() * 1e6);
        instances.release(resident);
    }
    results.measure("instance made, with one aggregate", median(took).unwrap_or(f64::NAN), "µs");
    Ok(())
}

async fn swaps(site: &Site, folder: &Path, results: &mut Results) -> Result<()> {
    let host = site.another_host(folder, DATABASE).await?;
    let modules = [site.plan.module("bank-account-v1.1")?, site.plan.module("bank-account")?];
    let undisturbed = load(site, &host).await?;
    let (mut took, mut longest, mut refused) = (Vec::new(), Vec::new(), 0);
    for nth in 0..SWAPS {
        let is_newer = nth % 2 == 0;
        let swap = async {
            tokio::time::sleep(TIMING.warm_up * 2).await;
            swap(&host, &modules[nth % 2], is_newer).await
        };
        let (sample, swapped) = tokio::join!(load(site, &host), swap);
        let sample = sample?;
        took.push(swapped?);
        longest.push(sample.most_ms);
        refused += sample.refused;
    }
    results.measure("file drop to first command on the new module, under load", median(took).unwrap_or(f64::NAN), "ms");
    results.measure(format!("commands refused in {SWAPS} swaps"), refused as f64, "commands");
    results.measure("longest command without a swap", undisturbed.most_ms, "ms");
    results.measure("longest command across a swap", longest.into_iter().fold(0.0, f64::max), "ms");
    host.stop().await
}

async fn load(site: &Site, host: &Host) -> Result<Sample> {
    run_http(host.address, &site.meter_of(host), Work::Accounts, IN_FLIGHT, TIMING).await
}

/// Drops the file, and asks for the command that only the newer module has until the answer is the other one.
async fn swap(host: &Host, module: &[u8], is_newer: bool) -> Result<f64> {
    let mut wire = Wire::connect(host.address).await?;
    let path = format!("/v1/aggregates/account/{}/commands/Close", fresh_stream());
    // The newer one says that the account isn't open, the older one that it knows no such command.
    let due = if is_newer { 422 } else { 404 };
    let begin = Instant::now();
    host.put_module("bank-account", module)?;
    while wire.post(&path, "", "{}").await? != due {
        ensure!(begin.elapsed() < PATIENCE, "the module isn't taken after {} s", PATIENCE.as_secs());
        tokio::time::sleep(ASK_EVERY).await;
    }
    Ok(begin.elapsed().as_secs_f64() * 1e3)
}
