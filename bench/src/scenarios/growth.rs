//! Throughput on larger and larger logs: whether the thousandth gigabyte is as fast as the first.

use std::path::Path;

use anyhow::Result;

use super::fill::{self, Streams};
use crate::effort::Effort;
use crate::results::Results;
use crate::site::Site;
use crate::subjects::run_http;
use crate::work::Work;

const DATABASE: &str = "growth";

/// Events of each stream that the log is filled with: ten million events are a million streams.
const LENGTH: u64 = 10;

/// Times that each size is measured.
const ROUNDS: usize = 3;

/// Requests under way.
const IN_FLIGHT: usize = 256;

pub(super) async fn measure(site: &Site, folder: &Path, effort: Effort, results: &mut Results) -> Result<()> {
    // Its start makes the tables.
    site.another_host(folder, DATABASE).await?.stop().await?;
    let mut filled = 0;
    for size in effort.log_sizes() {
        let prefix = format!("of-{size}-");
        let count = (size - filled) / LENGTH;
        fill::log(&site.postgres, DATABASE, Streams { prefix: &prefix, count, length: LENGTH }).await?;
        filled = *size;
        let host = site.another_host(folder, DATABASE).await?;
        let mut rates = Vec::new();
        for _ in 0..ROUNDS {
            let meter = site.meter_of(&host);
            let sample = run_http(host.address, &meter, Work::Accounts, IN_FLIGHT, effort.timing()).await?;
            rates.push(Some(sample.rate()));
        }
        eprintln!("{size} events: {rates:.0?}");
        results.growth.insert(*size, rates);
        host.stop().await?;
    }
    Ok(())
}
