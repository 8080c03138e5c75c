//! Does to the site what the plan says. A host, the server and the disk have one fault at a time; faults of different
//! things overlap.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::plan::{Fault, Kind};
use crate::clock::Clock;
use crate::history::Disturbance;
use crate::site::{Side, Site, Weather};

/// A lock for each thing: a fault whose thing has one already is passed over.
struct Things {
    hosts: Vec<Arc<Mutex<()>>>,
    networks: Vec<Arc<Mutex<()>>>,
    modules: Vec<Arc<Mutex<()>>>,
    postgres: Arc<Mutex<()>>,
}

impl Things {
    fn new(hosts: usize) -> Self {
        let each = || (0..hosts).map(|_| Arc::default()).collect();
        Self { hosts: each(), networks: each(), modules: each(), postgres: Arc::default() }
    }

    fn of(&self, fault: &Fault) -> Arc<Mutex<()>> {
        let thing = match fault.kind {
            Kind::HostKilled | Kind::HostFrozen | Kind::HostRestarted => &self.hosts[fault.host],
            Kind::PostgresKilled
            | Kind::PostgresRestarted
            | Kind::PostgresFrozen
            | Kind::BackendKilled
            | Kind::DiskFull => &self.postgres,
            Kind::NetworkSlow
            | Kind::NetworkHeld
            | Kind::NetworkCut
            | Kind::NetworkHalfClosed
            | Kind::AnswersLost
            | Kind::RequestsLost
            | Kind::NetworkDown => &self.networks[fault.host],
            Kind::ModuleSwapped | Kind::ModuleBroken | Kind::ModulePoisoned | Kind::ModuleUnfolding => {
                &self.modules[fault.host]
            }
        };
        thing.clone()
    }
}

/// Lets everything go wrong as planned, and comes back when the last fault is over.
pub(crate) async fn run(
    site: &Arc<Site>,
    faults: Vec<Fault>,
    clock: Clock,
    until: &CancellationToken,
) -> Result<Vec<Disturbance>> {
    let begin = Instant::now();
    let things = Things::new(site.hosts.len());
    let mut under_way: JoinSet<Result<Disturbance>> = JoinSet::new();
    let mut injected = Vec::new();
    for fault in faults {
        tokio::select! {
            () = sleep_until(begin + fault.at) => {}
            () = until.cancelled() => break,
        }
        let Ok(thing) = things.of(&fault).try_lock_owned() else { continue };
        if fault.kind == Kind::DiskFull && site.disk.is_none() {
            continue;
        }
        println!("{:8.1} s  {} host {} for {} ms", clock.seconds(), fault.kind, fault.host, fault.lasts.as_millis());
        let site = site.clone();
        under_way.spawn(async move {
            let _busy = thing;
            let begin = clock.now();
            inject(&site, fault).await?;
            Ok(Disturbance { fault: fault.kind.to_string(), host: fault.host, begin, end: clock.now() })
        });
        while let Some(over) = under_way.try_join_next() {
            injected.push(over??);
        }
    }
    while let Some(over) = under_way.join_next().await {
        injected.push(over??);
    }
    Ok(injected)
}

async fn inject(site: &Site, fault: Fault) -> Result<()> {
    let host = &site.hosts[fault.host];
    match fault.kind {
        Kind::HostKilled => {
            host.kill().await?;
            sleep(fault.lasts).await;
            host.start().await
        }
        Kind::HostFrozen => {
            host.freeze().await;
            sleep(fault.lasts).await;
            host.thaw().await;
            Ok(())
        }
        Kind::HostRestarted => {
            host.stop().await?;
            sleep(fault.lasts / 4).await;
            host.start().await
        }
        Kind::PostgresKilled => {
            site.postgres.kill().await?;
            sleep(fault.lasts).await;
            site.postgres.start().await
        }
        Kind::PostgresRestarted => {
            site.postgres.stop().await?;
            sleep(fault.lasts).await;
            site.postgres.start().await
        }
        Kind::PostgresFrozen => {
            site.postgres.freeze().await;
            sleep(fault.lasts).await;
            site.postgres.thaw().await;
            Ok(())
        }
        Kind::BackendKilled => {
            site.postgres.kill_backend().await?;
            site.postgres.start().await
        }
        Kind::DiskFull => fill_disk(site, fault.lasts).await,
        Kind::NetworkSlow => {
            weather(site, fault, Weather::Slow(Duration::from_millis(u64::from(fault.dice % 200)))).await
        }
        Kind::NetworkHeld => weather(site, fault, Weather::Held).await,
        Kind::AnswersLost => weather(site, fault, Weather::LosesAnswers).await,
        Kind::RequestsLost => weather(site, fault, Weather::LosesRequests).await,
        Kind::NetworkDown => {
            host.proxy.set(Weather::Down);
            host.proxy.cut();
            sleep(fault.lasts).await;
            host.proxy.set(Weather::Fair);
            Ok(())
        }
        Kind::NetworkCut => {
            host.proxy.cut();
            Ok(())
        }
        Kind::NetworkHalfClosed => {
            host.proxy.half_close(if fault.dice.is_multiple_of(2) { Side::Requests } else { Side::Answers });
            Ok(())
        }
        Kind::ModuleSwapped | Kind::ModuleBroken | Kind::ModulePoisoned | Kind::ModuleUnfolding => {
            swap_module(site, fault).await
        }
    }
}

async fn weather(site: &Site, fault: Fault, weather: Weather) -> Result<()> {
    let proxy = &site.hosts[fault.host].proxy;
    proxy.set(weather);
    sleep(fault.lasts).await;
    proxy.set(Weather::Fair);
    Ok(())
}

/// Fills the disk, and starts the server again where that ended it.
async fn fill_disk(site: &Site, lasts: Duration) -> Result<()> {
    let Some(disk) = &site.disk else { return Ok(()) };
    disk.fill()?;
    sleep(lasts).await;
    disk.relieve()?;
    site.postgres.start().await
}

async fn swap_module(site: &Site, fault: Fault) -> Result<()> {
    let (host, modules) = (&site.hosts[fault.host], &site.modules);
    let is_even = fault.dice.is_multiple_of(2);
    let good: &[u8] = if is_even { &modules.vault } else { &modules.vault_v2 };
    let bad: &[u8] = match fault.kind {
        Kind::ModuleBroken if is_even => &modules.vault[..modules.vault.len() / 2],
        Kind::ModuleBroken => b"no module at all",
        Kind::ModulePoisoned => &modules.poison,
        Kind::ModuleUnfolding => &modules.unfolding,
        _ => return host.put_module(good),
    };
    host.put_module(bad)?;
    sleep(fault.lasts).await;
    host.put_module(good)
}
