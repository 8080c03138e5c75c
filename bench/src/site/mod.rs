//! What is measured: one PostgreSQL, one host, and an empty log in it.

mod child;
mod host;
mod metrics;
mod postgres;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

pub(crate) use self::host::Host;
pub(crate) use self::metrics::Metrics;
pub(crate) use self::postgres::{ADMIN, Postgres, User};
use crate::cpu::Meter;

/// What a site is made of.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The host's program.
    pub(crate) host: PathBuf,
    /// The folder of PostgreSQL's programs.
    pub(crate) pg_bin: PathBuf,
    /// Whom PostgreSQL runs as, where the bench is root.
    pub(crate) postgres_user: Option<User>,
    /// The folder of the modules.
    pub(crate) guests: PathBuf,
}

impl Plan {
    /// A module's component.
    pub(crate) fn module(&self, name: &str) -> Result<Vec<u8>> {
        let file = self.guests.join(format!("{name}.wasm"));
        std::fs::read(&file).with_context(|| format!("can't read {}", file.display()))
    }
}

/// Everything that runs.
pub(crate) struct Site {
    /// How it was made.
    pub(crate) plan: Plan,
    /// The server.
    pub(crate) postgres: Postgres,
    /// The host, in its usual settings.
    pub(crate) host: Host,
}

impl Site {
    /// Builds it up in `folder`, and waits until the host is ready.
    pub(crate) async fn build(plan: Plan, folder: &Path) -> Result<Self> {
        let postgres = Postgres::create(&plan.pg_bin, &folder.join("postgres"), plan.postgres_user).await?;
        postgres.create_role(OWNER).await?;
        let host = start_host(&plan, &postgres, folder, "everfold").await?;
        Ok(Self { plan, postgres, host })
    }

    /// Another host with the usual settings, on a database of its own, which is made where it isn't there yet.
    pub(crate) async fn another_host(&self, folder: &Path, database: &str) -> Result<Host> {
        start_host(&self.plan, &self.postgres, folder, database).await
    }

    /// The counters of everything that runs, with this host.
    pub(crate) fn meter_of(&self, host: &Host) -> Meter {
        Meter::new(host.process(), self.postgres.process())
    }

    /// The counters of everything that runs.
    pub(crate) fn meter(&self) -> Meter {
        self.meter_of(&self.host)
    }

    /// Stops everything in order.
    pub(crate) async fn close(self) -> Result<()> {
        self.host.stop().await?;
        self.postgres.stop().await
    }
}

/// Who owns the databases of all hosts.
const OWNER: &str = "everfold";

/// Starts a host whose folder and database have this name.
async fn start_host(plan: &Plan, postgres: &Postgres, folder: &Path, name: &str) -> Result<Host> {
    let own = folder.join(format!("host-{name}"));
    if !own.exists() {
        postgres.create_database(name, OWNER).await?;
    }
    let module = plan.module("bank-account")?;
    Host::start(&plan.host, &own, &postgres.url(OWNER, name), &module).await
}
