//! The host's memory: what an aggregate costs that is in it, and whether it stays bounded when very many are touched.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use crate::effort::Effort;
use crate::results::Results;
use crate::site::Site;
use crate::wire::Wire;
use crate::work::{Act, fresh_stream};

const DATABASE: &str = "memory";

/// Connections that open accounts.
const CONNECTIONS: u64 = 64;

/// For the host to finish what it does behind its answers.
const SETTLE: Duration = Duration::from_secs(1);

pub(super) async fn measure(site: &Site, folder: &Path, effort: Effort, results: &mut Results) -> Result<()> {
    let host = site.another_host(folder, DATABASE).await?;
    // The first commands bring what every host has: connections, plans, the module's instances.
    open_accounts(host.address, CONNECTIONS).await?;
    let at_first = host.memory()?;
    results.measure("host memory, hardly used", mib(at_first), "MiB");
    let mut touched = 0;
    for wanted in effort.touched_streams() {
        open_accounts(host.address, wanted - touched).await?;
        touched = *wanted;
        tokio::time::sleep(SETTLE).await;
        let memory = host.memory()?;
        eprintln!("{touched} streams touched: {:.0} MiB", mib(memory));
        results.measure(format!("host memory, {touched} streams touched"), mib(memory), "MiB");
        if Some(wanted) == effort.touched_streams().first() {
            // Fewer than the host keeps by default: all of them are in memory.
            let each = memory.saturating_sub(at_first) as f64 / touched as f64;
            results.measure("memory per resident aggregate", each, "bytes");
        }
    }
    host.stop().await
}

/// Opens so many accounts.
async fn open_accounts(host: SocketAddr, count: u64) -> Result<()> {
    let mut tasks = JoinSet::new();
    for nth in 0..CONNECTIONS {
        let share = count / CONNECTIONS + u64::from(nth < count % CONNECTIONS);
        tasks.spawn(async move {
            let mut wire = Wire::connect(host).await?;
            let (command, payload) = Act::Open.command().unwrap_or_default();
            for _ in 0..share {
                let path = format!("/v1/aggregates/account/{}/commands/{command}", fresh_stream());
                let status = wire.post(&path, "", payload).await?;
                ensure!(status == 200, "{status} {}", String::from_utf8_lossy(wire.body()));
            }
            anyhow::Ok(())
        });
    }
    while let Some(opened) = tasks.join_next().await {
        opened??;
    }
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
