//! Streams loaded that aren't in memory: how long the first answer of a long stream takes, with and without a snapshot.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::fill::{self, Streams};
use crate::effort::Effort;
use crate::results::Results;
use crate::site::{ADMIN, Host, Site};
use crate::stats::median;
use crate::subjects::Loader;
use crate::wire::Wire;
use crate::work::Act;

const DATABASE: &str = "cold";

/// How long the host may take to write the snapshots that are due, off the commands' path.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn measure(site: &Site, folder: &Path, effort: Effort, results: &mut Results) -> Result<()> {
    // Its start makes the tables.
    site.another_host(folder, DATABASE).await?.stop().await?;
    let lengths = effort.stream_lengths();
    for length in lengths {
        let prefix = prefix(*length);
        let streams = Streams { prefix: &prefix, count: copies(*length), length: *length };
        fill::log(&site.postgres, DATABASE, streams).await?;
        fill::peer(&site.postgres, streams).await?;
    }
    let host = site.another_host(folder, DATABASE).await?;
    for length in lengths {
        let took = read_cold(&host, *length).await?;
        results.measure(format!("cold stream of {length}, no snapshot"), took, "ms");
        results.measure(format!("cold stream of {length}, postgres-es"), load_peer(site, *length).await?, "ms");
    }
    write_snapshots(site, &host, lengths).await?;
    host.stop().await?;
    let host = site.another_host(folder, DATABASE).await?;
    for length in lengths.iter().filter(|length| has_snapshot(**length)) {
        results.measure(format!("cold stream of {length}, snapshot"), read_cold(&host, *length).await?, "ms");
    }
    host.stop().await
}

fn prefix(length: u64) -> String {
    format!("of-{length}-")
}

/// Streams of a length: each can be read cold but once.
fn copies(length: u64) -> u64 {
    (20_000 / length).clamp(3, 20)
}

/// Whether the host keeps a snapshot of it: by default of a hundred events and more.
fn has_snapshot(length: u64) -> bool {
    length >= 100
}

/// Reads each stream of a length once; the median in milliseconds.
async fn read_cold(host: &Host, length: u64) -> Result<f64> {
    let mut wire = Wire::connect(host.address).await?;
    let mut took = Vec::new();
    for stream in 1..=copies(length) {
        let begin = Instant::now();
        let status = wire.get(&format!("/v1/aggregates/account/{}{stream}", prefix(length))).await?;
        took.push(begin.elapsed().as_secs_f64() * 1e3);
        ensure!(status == 200, "{status} {}", String::from_utf8_lossy(wire.body()));
    }
    eprintln!("cold streams of {length}: {took:.2?} ms");
    Ok(median(took).unwrap_or(f64::NAN))
}

async fn load_peer(site: &Site, length: u64) -> Result<f64> {
    let loader = Loader::new(site).await?;
    let mut took = Vec::new();
    for stream in 1..=copies(length) {
        let begin = Instant::now();
        loader.load(&format!("{}{stream}", prefix(length))).await?;
        took.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(took).unwrap_or(f64::NAN))
}

/// Has the host write a snapshot of each stream that is long enough: one is due with a command.
async fn write_snapshots(site: &Site, host: &Host, lengths: &[u64]) -> Result<()> {
    let mut wire = Wire::connect(host.address).await?;
    let (command, payload) = Act::Deposit.command().unwrap_or_default();
    let mut due = 0;
    for length in lengths.iter().filter(|length| has_snapshot(**length)) {
        for stream in 1..=copies(*length) {
            let path = format!("/v1/aggregates/account/{}{stream}/commands/{command}", prefix(*length));
            let status = wire.post(&path, "", payload).await?;
            ensure!(status == 200, "{status} {}", String::from_utf8_lossy(wire.body()));
            due += 1;
        }
    }
    let admin = site.postgres.connect(ADMIN, DATABASE).await?;
    let begin = Instant::now();
    loop {
        let there: i64 = admin.query_one("SELECT count(*) FROM everfold.snapshots", &[]).await?.get(0);
        if there >= due {
            return Ok(());
        }
        ensure!(begin.elapsed() < PATIENCE, "{there} of {due} snapshots were written");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
