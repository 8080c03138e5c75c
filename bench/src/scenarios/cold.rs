//! Streams loaded that aren't in memory: how long the first answer of a long stream takes, with and without a snapshot.
//!
//! Both are asked for the state, one stream after the other: the host over HTTP, the peer by a call. The snapshots of both
//! are as new as the streams.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::fill::{self, Names, Streams};
use crate::effort::Effort;
use crate::results::Results;
use crate::site::{ADMIN, Host, Site};
use crate::stats::median;
use crate::subjects::Loader;
use crate::wire::Wire;
use crate::work::Act;

const DATABASE: &str = "cold";

/// Streams that are read before any is measured, and how many.
const WARM_UP: &str = "warm-up-";
const WARM_UPS: u64 = 50;

/// The host's own count of the folds that began with a snapshot.
const RESTORED: &str = r#"everfold_snapshots_total{fate="restored"}"#;

/// How long the host may take to write the snapshots that are due, off the commands' path.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn measure(site: &Site, folder: &Path, effort: Effort, results: &mut Results) -> Result<()> {
    // Its start makes the tables.
    site.another_host(folder, DATABASE).await?.stop().await?;
    let lengths = effort.stream_lengths();
    let all = lengths.iter().map(|length| (prefix(*length), copies(*length), *length));
    for (prefix, count, length) in all.chain([(WARM_UP.to_owned(), WARM_UPS, 10)]) {
        let streams = Streams { prefix: &prefix, names: Names::Numbered, count, length };
        fill::log(&site.postgres, DATABASE, streams).await?;
        fill::peer(&site.postgres, streams).await?;
    }
    let host = site.another_host(folder, DATABASE).await?;
    warm_up(&host).await?;
    let (replaying, restoring) = (Loader::replaying(site).await?, Loader::restoring(site).await?);
    for length in lengths {
        results.measure(format!("cold stream of {length}, no snapshot"), read_cold(&host, *length).await?, "ms");
        let took = load_peer(&replaying, *length).await?;
        results.measure(format!("cold stream of {length}, no snapshot, postgres-es"), took, "ms");
    }
    write_snapshots(site, &host, lengths).await?;
    host.stop().await?;
    let host = site.another_host(folder, DATABASE).await?;
    warm_up(&host).await?;
    let before = host.metrics().await?;
    let with_snapshot = || lengths.iter().copied().filter(|length| has_snapshot(*length));
    for length in with_snapshot() {
        results.measure(format!("cold stream of {length}, snapshot"), read_cold(&host, length).await?, "ms");
        let took = load_peer(&restoring, length).await?;
        results.measure(format!("cold stream of {length}, snapshot, postgres-es"), took, "ms");
    }
    let restored = host.metrics().await?.value(RESTORED) - before.value(RESTORED);
    ensure!(restored as u64 == with_snapshot().map(copies).sum::<u64>(), "{restored} folds began with a snapshot");
    host.stop().await
}

/// Has everything there that isn't the stream's: the host's connections to the database, prepared statements, instances.
async fn warm_up(host: &Host) -> Result<()> {
    let mut wire = Wire::connect(host.address).await?;
    for stream in 1..=WARM_UPS {
        let status = wire.get(&format!("/v1/aggregates/account/{WARM_UP}{stream}")).await?;
        ensure!(status == 200, "{status} {}", String::from_utf8_lossy(wire.body()));
    }
    Ok(())
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
    Ok(median(took).unwrap_or(f64::NAN))
}

async fn load_peer(loader: &Loader, length: u64) -> Result<f64> {
    // Its statements are prepared on its connection: for ours, the warm-up did so.
    loader.load(&format!("{WARM_UP}1")).await?;
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
