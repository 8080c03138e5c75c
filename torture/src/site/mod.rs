//! The place under torture: one PostgreSQL, a network, hosts.

mod disk;
mod host;
mod postgres;
mod proxy;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

pub(crate) use self::disk::{Disk, enter_private_mounts};
pub(crate) use self::host::Host;
pub(crate) use self::postgres::{Postgres, User};
pub(crate) use self::proxy::{Proxy, Side, Weather};

/// How long a host may take to be ready when nothing is in its way. A loaded machine compiles modules slowly.
pub(crate) const READY_PATIENCE: Duration = Duration::from_secs(120);

/// The forms of the module, as files.
pub(crate) struct Modules {
    /// What a vault is.
    pub(crate) vault: Vec<u8>,
    /// The same with another state.
    pub(crate) vault_v2: Vec<u8>,
    /// One that panics at every command.
    pub(crate) poison: Vec<u8>,
    /// One that can't fold any event.
    pub(crate) unfolding: Vec<u8>,
}

impl Modules {
    /// Reads them from the folder that `cargo xtask guests` leaves them in.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let read = |name: &str| {
            let file = folder.join(format!("{name}.wasm"));
            std::fs::read(&file).with_context(|| format!("can't read {}", file.display()))
        };
        Ok(Self {
            vault: read("vault")?,
            vault_v2: read("vault-v2")?,
            poison: read("vault-poison")?,
            unfolding: read("vault-unfolding")?,
        })
    }
}

/// Everything that runs.
pub(crate) struct Site {
    /// The database.
    pub(crate) postgres: Postgres,
    /// Its disk, where it can be filled.
    pub(crate) disk: Option<Disk>,
    /// The hosts, each behind a network of its own.
    pub(crate) hosts: Vec<Host>,
    /// What they may be given to serve.
    pub(crate) modules: Modules,
}

/// What a site is made of.
pub(crate) struct Plan {
    /// The host's program.
    pub(crate) host: PathBuf,
    /// The folder of PostgreSQL's programs.
    pub(crate) pg_bin: PathBuf,
    /// Whom PostgreSQL runs as.
    pub(crate) postgres_user: Option<User>,
    /// The folder of the modules.
    pub(crate) guests: PathBuf,
    /// How many hosts.
    pub(crate) hosts: usize,
    /// Bytes of PostgreSQL's disk.
    pub(crate) disk: u64,
}

impl Site {
    /// Builds it up in `folder`, and waits until every host is ready.
    pub(crate) async fn build(plan: &Plan, folder: &Path, http: &reqwest::Client) -> Result<Self> {
        let modules = Modules::read(&plan.guests)?;
        let database = folder.join("postgres");
        std::fs::create_dir(&database)?;
        let disk = Disk::mount(&database, plan.disk);
        let postgres = Postgres::create(&plan.pg_bin, &database, plan.postgres_user).await?;
        let mut hosts = Vec::new();
        for number in 0..plan.hosts {
            let proxy = Proxy::start(&postgres.socket()).await?;
            let host = Host::new(&plan.host, folder.join(format!("host-{number}")), proxy, &modules.vault).await?;
            host.start().await?;
            hosts.push(host);
        }
        for host in &hosts {
            host.until_ready(http, READY_PATIENCE).await?;
        }
        Ok(Self { postgres, disk, hosts, modules })
    }

    /// Ends every fault: everything runs again, with the good module, behind a network in order.
    pub(crate) async fn restore(&self, http: &reqwest::Client) -> Result<()> {
        self.postgres.start().await?;
        for host in &self.hosts {
            host.proxy.set(Weather::Fair);
            host.put_module(&self.modules.vault)?;
            host.thaw().await;
            host.start().await?;
        }
        for host in &self.hosts {
            host.until_ready(http, READY_PATIENCE).await?;
        }
        Ok(())
    }

    /// Stops the hosts in order.
    pub(crate) async fn stop_hosts(&self) -> Result<()> {
        for host in &self.hosts {
            host.stop().await?;
        }
        Ok(())
    }
}
