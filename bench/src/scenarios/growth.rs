//! Throughput on larger and larger logs: whether the thousandth gigabyte is as fast as the first.

use std::path::Path;

use anyhow::Result;

use super::fill::{self, Names, Streams};
use crate::effort::Effort;
use crate::results::Results;
use crate::site::Site;
use crate::subjects::run_http;
use crate::work::Work;

/// Events of each stream that a log is filled with: ten million events are a million streams.
const LENGTH: u64 = 10;

/// Times that each size is measured.
const ROUNDS: usize = 3;

/// Requests under way.
const IN_FLIGHT: usize = 256;

/// Each size has a log of its own, so that all of them can be measured in each round: a machine's bad minute then
/// spoils both sides of a ratio.
pub(super) async fn measure(site: &Site, folder: &Path, effort: Effort, results: &mut Results) -> Result<()> {
    for size in effort.log_sizes() {
        // Its start makes the tables.
        site.another_host(folder, &database(*size)).await?.stop().await?;
        let streams = Streams { prefix: "account", names: Names::Scattered, count: size / LENGTH, length: LENGTH };
        fill::log(&site.postgres, &database(*size), streams).await?;
        eprintln!("a log of {size} events is made");
    }
    for round in 0..ROUNDS {
        for size in effort.log_sizes() {
            let host = site.another_host(folder, &database(*size)).await?;
            site.postgres.checkpoint().await?;
            let sample =
                run_http(host.address, &site.meter_of(&host), Work::Accounts, IN_FLIGHT, effort.timing()).await?;
            host.stop().await?;
            eprintln!("round {}/{ROUNDS}: {size} events: {:.0}/s", round + 1, sample.rate());
            results.add_growth(*size, round, sample);
        }
    }
    Ok(())
}

fn database(size: u64) -> String {
    format!("growth_{size}")
}
