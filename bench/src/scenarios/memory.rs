//! The host's memory: what an aggregate costs that is in it, and that it stays bounded when very many are touched.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use crate::effort::Effort;
use crate::results::Results;
use crate::site::{Host, Site};
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
    let first = Footprint::of(&host).await?;
    results.measure("host memory, hardly used", first.mib(), "MiB");
    let mut touched = 0;
    for (nth, wanted) in effort.touched_streams().iter().enumerate() {
        open_accounts(host.address, wanted - touched).await?;
        touched = *wanted;
        tokio::time::sleep(SETTLE).await;
        let now = Footprint::of(&host).await?;
        eprintln!("{touched} streams touched: {:.0} MiB, {} aggregates in memory", now.mib(), now.residents);
        results.measure(format!("host memory, {touched} streams touched"), now.mib(), "MiB");
        results.measure(format!("aggregates in memory, {touched} streams touched"), now.residents, "aggregates");
        if nth == 0 {
            // Fewer than the host keeps by default: all of them are in memory.
            let each = (now.bytes - first.bytes) / (now.residents - first.residents);
            results.measure("memory per aggregate in memory", each, "bytes");
        }
    }
    host.stop().await
}

/// What a host holds at one moment.
struct Footprint {
    /// Memory, in bytes.
    bytes: f64,
    /// Aggregates that it keeps, as it counts them: at most its setting `residents`, 100,000 by default.
    residents: f64,
}

impl Footprint {
    async fn of(host: &Host) -> Result<Self> {
        Ok(Self { bytes: host.memory()? as f64, residents: host.metrics().await?.value("everfold_residents") })
    }

    fn mib(&self) -> f64 {
        self.bytes / f64::from(1 << 20)
    }
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
