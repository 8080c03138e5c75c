//! postgres-es, a native framework for the same pattern: the same bank account, in this process, on tables of its own.
//!
//! Streams of ten events are folded from their events, which is what its documentation begins with and costs it least.
//! One stream with thousands of them is kept with its aggregate store, which reads one row instead of all events.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::PersistedEventStore;
use cqrs_es::{Aggregate, AggregateError, DomainEvent, EventStore};
use peer_sqlx::PgPool;
use peer_sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use postgres_es::{PostgresCqrs, PostgresEventRepository, postgres_aggregate_cqrs, postgres_cqrs};
use serde::{Deserialize, Serialize};

use super::PEERS;
use crate::load::{Answer, Client, Timing, drive};
use crate::sample::Sample;
use crate::site::Site;
use crate::work::{Act, Step, Work};

/// Its tables, as its documentation gives them.
pub(super) const TABLES: &str = "
    CREATE TABLE events (
        aggregate_type text NOT NULL, aggregate_id text NOT NULL, sequence bigint CHECK (sequence >= 0) NOT NULL,
        event_type text NOT NULL, event_version text NOT NULL, payload json NOT NULL, metadata json NOT NULL,
        PRIMARY KEY (aggregate_type, aggregate_id, sequence));
    CREATE TABLE snapshots (
        aggregate_type text NOT NULL, aggregate_id text NOT NULL,
        last_sequence bigint CHECK (last_sequence >= 0) NOT NULL,
        current_snapshot bigint CHECK (current_snapshot >= 0) NOT NULL, payload json NOT NULL,
        PRIMARY KEY (aggregate_type, aggregate_id, last_sequence));
";

/// Events from one snapshot to the next, as many as the host has by default.
const SNAPSHOT_INTERVAL: usize = 100;

/// How long a client waits for a connection: with a thousand clients on ten connections it may take a while.
const ACQUIRE: Duration = Duration::from_secs(60);

pub(super) async fn run(
    site: &Site,
    work: Work,
    in_flight: usize,
    connections: usize,
    timing: Timing,
) -> Result<Sample> {
    let (folder, port) = site.postgres.socket();
    let pool = pool(folder, port, connections).await?;
    let framework: Arc<PostgresCqrs<Account>> = Arc::new(if work == Work::OneStream {
        postgres_aggregate_cqrs(pool.clone(), Vec::new(), ())
    } else {
        postgres_cqrs(pool.clone(), Vec::new(), ())
    });
    let reader = Arc::new(PersistedEventStore::new_event_store(PostgresEventRepository::new(pool.clone())));
    let clients = (0..in_flight).map(|_| Caller { framework: framework.clone(), reader: reader.clone() }).collect();
    let sample = drive(clients, work, timing, &site.meter()).await;
    pool.close().await;
    sample
}

async fn pool(folder: &Path, port: u16, connections: usize) -> Result<PgPool> {
    let options = PgConnectOptions::new_without_pgpass().socket(folder).port(port).username(PEERS).database(PEERS);
    let connections = u32::try_from(connections)?;
    let pool = PgPoolOptions::new().min_connections(connections).max_connections(connections);
    // The check before each use costs a round trip, and the server is here.
    Ok(pool.acquire_timeout(ACQUIRE).test_before_acquire(false).connect_with(options).await?)
}

/// Loads streams as the framework does before each command, on one connection.
pub(crate) struct Loader {
    store: Store,
}

impl Loader {
    /// One that folds all events.
    pub(crate) async fn replaying(site: &Site) -> Result<Self> {
        Ok(Self { store: PersistedEventStore::new_event_store(repository(site).await?) })
    }

    /// One that begins with a snapshot.
    pub(crate) async fn restoring(site: &Site) -> Result<Self> {
        Ok(Self { store: PersistedEventStore::new_snapshot_store(repository(site).await?, SNAPSHOT_INTERVAL) })
    }

    /// Loads a stream and folds it.
    pub(crate) async fn load(&self, stream: &str) -> Result<()> {
        self.store.load_aggregate(stream).await?;
        Ok(())
    }
}

async fn repository(site: &Site) -> Result<PostgresEventRepository> {
    let (folder, port) = site.postgres.socket();
    Ok(PostgresEventRepository::new(pool(folder, port, 1).await?))
}

type Store = PersistedEventStore<PostgresEventRepository, Account>;

/// A client, which calls the framework directly.
struct Caller {
    framework: Arc<PostgresCqrs<Account>>,
    reader: Arc<Store>,
}

impl Client for Caller {
    async fn send(&mut self, step: Step<'_>) -> Result<Answer> {
        let command = match step.act {
            Act::Open => Command::Open { owner: "Ann".to_owned() },
            Act::Deposit => Command::Deposit { amount: 1 },
            Act::Overdraw => Command::Withdraw { amount: 1_000_000 },
            Act::Read { .. } => {
                self.reader.load_aggregate(step.stream).await?;
                return Ok(Answer::Done);
            }
        };
        loop {
            match self.framework.execute(step.stream, command.clone()).await {
                Ok(()) => return Ok(Answer::Done),
                // What its documentation tells callers to do. The time of all tries is the command's.
                Err(AggregateError::AggregateConflict) => {}
                Err(AggregateError::UserError(_)) => return Ok(Answer::Rejected),
                Err(error) => bail!("postgres-es: {error}"),
            }
        }
    }
}

/// The bank account of `examples/bank-account`, in the terms of cqrs-es.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Account {
    owner: Option<String>,
    balance: u64,
}

/// What happened to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Event {
    Opened { owner: String },
    Deposited { amount: u64 },
    Withdrawn { amount: u64 },
}

/// What it can be asked.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    Open { owner: String },
    Deposit { amount: u64 },
    Withdraw { amount: u64 },
}

/// Why it says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    AlreadyOpen,
    NotOpen,
    InsufficientFunds,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, out)
    }
}

impl std::error::Error for Refusal {}

impl DomainEvent for Event {
    fn event_type(&self) -> String {
        match self {
            Self::Opened { .. } => "Opened",
            Self::Deposited { .. } => "Deposited",
            Self::Withdrawn { .. } => "Withdrawn",
        }
        .to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Command = Command;
    type Event = Event;
    type Error = Refusal;
    type Services = ();

    async fn handle(&mut self, command: Command, (): &(), sink: &EventSink<Self>) -> Result<(), Refusal> {
        let event = match command {
            Command::Open { .. } if self.owner.is_some() => return Err(Refusal::AlreadyOpen),
            Command::Open { owner } => Event::Opened { owner },
            _ if self.owner.is_none() => return Err(Refusal::NotOpen),
            Command::Deposit { amount } => Event::Deposited { amount },
            Command::Withdraw { amount } if amount > self.balance => return Err(Refusal::InsufficientFunds),
            Command::Withdraw { amount } => Event::Withdrawn { amount },
        };
        sink.write(event, self).await;
        Ok(())
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Opened { owner } => self.owner = Some(owner),
            Event::Deposited { amount } => self.balance += amount,
            Event::Withdrawn { amount } => self.balance -= amount,
        }
    }
}
