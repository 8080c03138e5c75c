//! What is measured, ourselves and the peers: each can do some kinds of work, with some number in flight.

mod bulk;
mod http;
mod plain;
mod pool;
mod postgres_es;

use std::fmt;

use anyhow::{Result, bail};
use clap::ValueEnum;

pub(crate) use self::http::run as run_http;
pub(crate) use self::postgres_es::Loader;
use crate::load::Timing;
use crate::sample::Sample;
use crate::site::{Postgres, Site};
use crate::work::Work;

/// Connections of a peer, at most. More than this only costs it, on the few processors that a bench has.
const MOST_CONNECTIONS: usize = 64;

/// Who does the work. The names are those of the printed table and of the JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Subject {
    /// Everfold over HTTP, a request for each command, a connection for each client.
    Http,
    /// Everfold's bulk endpoint, lines in and lines out.
    Bulk,
    /// postgres-es in this process, with a connection for each client, up to [`MOST_CONNECTIONS`].
    PostgresEs,
    /// The same with the ten connections of its own default pool.
    PostgresEsTen,
    /// A transaction of single statements, on the tables and indexes of a classic design with an outbox.
    Seed,
    /// One row, one commit.
    Raw,
}

impl fmt::Display for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Http => "everfold http",
            Self::Bulk => "everfold ndjson",
            Self::PostgresEs => "postgres-es",
            Self::PostgresEsTen => "postgres-es, pool of 10",
            Self::Seed => "select max + outbox",
            Self::Raw => "raw row commits",
        })
    }
}

impl Subject {
    /// Works for a while.
    pub(crate) async fn run(self, site: &Site, work: Work, in_flight: usize, timing: Timing) -> Result<Sample> {
        let connections = in_flight.min(MOST_CONNECTIONS);
        match self {
            Self::Http => http::run(site.host.address, &site.meter(), work, in_flight, timing).await,
            Self::Bulk => bulk::run(site, work, in_flight, timing).await,
            Self::PostgresEs => postgres_es::run(site, work, in_flight, connections, timing).await,
            Self::PostgresEsTen => postgres_es::run(site, work, in_flight, in_flight.min(10), timing).await,
            Self::Seed | Self::Raw if work != Work::Accounts => bail!("{self} has no domain: it can't do {work}"),
            Self::Seed => plain::run::<plain::Seed>(site, in_flight, connections, timing).await,
            Self::Raw => plain::run::<plain::Raw>(site, in_flight, connections, timing).await,
        }
    }
}

/// The database of the peers.
pub(crate) const PEERS: &str = "peers";

/// Makes the peers' tables.
pub(crate) async fn prepare(postgres: &Postgres) -> Result<()> {
    postgres.create_role(PEERS).await?;
    postgres.create_database(PEERS, PEERS).await?;
    let owner = postgres.connect(PEERS, PEERS).await?;
    for tables in [postgres_es::TABLES, plain::TABLES] {
        owner.batch_execute(tables).await?;
    }
    Ok(())
}
