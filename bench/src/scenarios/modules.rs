//! Modules: compiled, loaded from the cache, instantiated; and replaced while commands run.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use everfold::model::{AggregateType, Tenant};
use everfold::runtime::{Engine, EngineOptions, Instances, Placement};

use crate::load::Timing;
use crate::results::Results;
use crate::sample::Sample;
use crate::site::{ADMIN, Host, Site};
use crate::stats::median;
use crate::subjects::run_http;
use crate::wire::Wire;
use crate::work::{Work, fresh_stream};

const DATABASE: &str = "modules";

/// Times that a module is compiled, and loaded.
const LOADS: usize = 5;

/// Instances that are made.
const INSTANCES: usize = 200;

/// Swaps to modules that the host has never seen, and to modules that it has compiled before.
const NEW: usize = 4;
const KNOWN: usize = 2;

/// Clients at work while a module is swapped.
const IN_FLIGHT: usize = 64;

/// The load around a swap: long enough that everything that the swap delays is answered within it.
const TIMING: Timing = Timing { warm_up: Duration::from_millis(500), measure: Duration::from_secs(3) };

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

/// What swaps under load came to.
#[derive(Default)]
struct Swaps {
    /// From the file's drop to the first command on the new module, in milliseconds.
    took: Vec<f64>,
    p99_ms: Vec<f64>,
    most_ms: f64,
    refused: u64,
    acknowledged: u64,
}

async fn swaps(site: &Site, folder: &Path, results: &mut Results) -> Result<()> {
    let host = site.another_host(folder, DATABASE).await?;
    let before = head(site).await?;
    let calm = load(site, &host).await?;
    let modules = [site.plan.module("bank-account")?, site.plan.module("bank-account-v1.1")?];
    // Of what the host has compiled once it keeps the result, under the file's digest: what differs is new.
    let unseen: Vec<_> = (1..=NEW).map(|nth| variant(&modules[nth % 2], nth)).collect();
    let new = swap_each(site, &host, &unseen).await?;
    let known = swap_each(site, &host, &unseen[..KNOWN]).await?;
    host.stop().await?;
    let appended = head(site).await? - before;

    let all = NEW + KNOWN;
    let name = "file drop to first command on the new module, under load";
    results.measure(name, median(new.took).unwrap_or(f64::NAN), "ms");
    results.measure(format!("{name}, compiled before"), median(known.took).unwrap_or(f64::NAN), "ms");
    results.measure(format!("commands refused in {all} swaps"), (new.refused + known.refused) as f64, "commands");
    // Each command that succeeds appends one event; nothing else does.
    let acknowledged = calm.acknowledged + new.acknowledged + known.acknowledged;
    let lost = acknowledged as f64 - appended as f64;
    results.measure(format!("commands acknowledged and not in the log after {all} swaps"), lost, "commands");
    let p99_ms = median(new.p99_ms.into_iter().chain(known.p99_ms)).unwrap_or(f64::NAN);
    results.measure("p99 in seconds without a swap", calm.p99_ms, "ms");
    results.measure("p99 in seconds with one", p99_ms, "ms");
    results.measure("longest command without a swap", calm.most_ms, "ms");
    results.measure("longest command across a swap", new.most_ms.max(known.most_ms), "ms");
    Ok(())
}

/// Swaps to each of these under load, the first of which must be the newer version.
async fn swap_each(site: &Site, host: &Host, modules: &[Vec<u8>]) -> Result<Swaps> {
    let mut swaps = Swaps::default();
    for (nth, module) in modules.iter().enumerate() {
        let swap = async {
            tokio::time::sleep(TIMING.warm_up * 2).await;
            swap(host, module, nth % 2 == 0).await
        };
        let (sample, took) = tokio::join!(load(site, host), swap);
        let sample = sample?;
        swaps.took.push(took?);
        swaps.p99_ms.push(sample.p99_ms);
        swaps.most_ms = swaps.most_ms.max(sample.most_ms);
        swaps.refused += sample.refused;
        swaps.acknowledged += sample.acknowledged;
    }
    Ok(swaps)
}

/// The same module in another file: what is added is a custom section, which nobody reads, with the number in it.
fn variant(module: &[u8], number: usize) -> Vec<u8> {
    let name = format!("copy {number}");
    let length = u8::try_from(name.len()).unwrap_or_default();
    [module, &[0, length + 1, length], name.as_bytes()].concat()
}

/// Events in the log.
async fn head(site: &Site) -> Result<i64> {
    let admin = site.postgres.connect(ADMIN, DATABASE).await?;
    Ok(admin.query_one("SELECT coalesce(max(position), 0) FROM everfold.event_store", &[]).await?.get(0))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_has_one_more_section() {
        // The identifier 0 of a custom section, its size, the size of its name, its name.
        assert_eq!(variant(b"module", 7), b"module\x00\x07\x06copy 7");
    }
}
