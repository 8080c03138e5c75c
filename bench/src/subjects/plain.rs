//! Peers that are plain SQL: the least that a durable command can cost, and a classic event store design.

use std::future::Future;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use tokio_postgres::{Client as Connection, Statement};
use uuid::Uuid;

use super::PEERS;
use super::pool::Pool;
use crate::load::{Answer, Client, Timing, drive};
use crate::sample::Sample;
use crate::site::Site;
use crate::work::{Act, Step, Work};

/// The tables of both. Types and indexes of `event_store` and `outbox` are those of the design as it is found in the
/// wild: one index for each column that somebody may ask for.
pub(super) const TABLES: &str = "
    CREATE TABLE raw_events (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, stream_id text NOT NULL, version integer NOT NULL,
        event_type text NOT NULL, payload json NOT NULL, metadata json NOT NULL);

    CREATE TABLE event_store (
        event_id VARCHAR(36) PRIMARY KEY, stream_id VARCHAR(36) NOT NULL, event_type VARCHAR(100) NOT NULL,
        aggregate_type VARCHAR(100) NOT NULL, payload JSONB NOT NULL, metadata JSONB NOT NULL, version INTEGER NOT NULL,
        tenant_id VARCHAR(36) NOT NULL, occurred_at TIMESTAMPTZ NOT NULL, created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
        UNIQUE (stream_id, version));
    CREATE INDEX ON event_store (stream_id);
    CREATE INDEX ON event_store (event_type);
    CREATE INDEX ON event_store (tenant_id);
    CREATE INDEX ON event_store (occurred_at);
    CREATE INDEX ON event_store (aggregate_type);
    CREATE TABLE outbox (
        id VARCHAR(36) PRIMARY KEY, event_type VARCHAR(100) NOT NULL, event_version VARCHAR(10) NOT NULL DEFAULT 'v1',
        payload JSONB NOT NULL, metadata JSONB NOT NULL, tenant_id VARCHAR(36) NOT NULL,
        status VARCHAR(20) NOT NULL DEFAULT 'PENDING', retry_count INTEGER NOT NULL DEFAULT 0,
        max_retries INTEGER NOT NULL DEFAULT 3, created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
        processed_at TIMESTAMPTZ, error TEXT);
    CREATE INDEX ON outbox (status, created_at);
    CREATE INDEX ON outbox (tenant_id);
";

/// A way to store one event durably. It knows its stream's version, as a caller with an expected version does.
pub(super) trait Store: Send + Sync + Sized + 'static {
    /// Prepares its statements on a connection.
    fn prepare(connection: Connection) -> impl Future<Output = Result<Self>> + Send;

    /// Stores an event as this version of the stream, and comes back when it is durable.
    fn append(
        &mut self,
        stream: &str,
        version: i32,
        event: (&'static str, &'static str),
    ) -> impl Future<Output = Result<()>> + Send;
}

pub(super) async fn run<S: Store>(site: &Site, in_flight: usize, connections: usize, timing: Timing) -> Result<Sample> {
    let open = (0..connections).map(|_| async { S::prepare(site.postgres.connect(PEERS, PEERS).await?).await });
    let pool = Pool::new(try_join_all(open).await?);
    let clients = (0..in_flight).map(|_| Appender { pool: pool.clone(), version: -1 }).collect();
    drive(clients, Work::Accounts, timing, &site.meter()).await
}

/// A client of such a store.
struct Appender<S> {
    pool: Pool<S>,
    /// Of its present stream.
    version: i32,
}

impl<S: Store> Client for Appender<S> {
    async fn send(&mut self, step: Step<'_>) -> Result<Answer> {
        let event = step.act.event().context("there is no event to store")?;
        self.version = if step.act == Act::Open { 0 } else { self.version + 1 };
        let mut taken = self.pool.take().await?;
        taken.connection.append(step.stream, self.version, event).await?;
        self.pool.put_back(taken);
        Ok(Answer::Done)
    }
}

/// One prepared INSERT, which commits by itself.
pub(super) struct Raw {
    connection: Connection,
    insert: Statement,
}

impl Store for Raw {
    async fn prepare(connection: Connection) -> Result<Self> {
        let insert = "INSERT INTO raw_events (stream_id, version, event_type, payload, metadata) \
                      VALUES ($1, $2, $3, $4::text::json, '{}')";
        let insert = connection.prepare(insert).await?;
        Ok(Self { connection, insert })
    }

    async fn append(&mut self, stream: &str, version: i32, (kind, payload): (&str, &str)) -> Result<()> {
        self.connection.execute(&self.insert, &[&stream, &version, &kind, &payload]).await?;
        Ok(())
    }
}

/// BEGIN; SELECT MAX(version); INSERT the event; INSERT the outbox row; COMMIT.
pub(super) struct Seed {
    connection: Connection,
    head: Statement,
    event: Statement,
    outbox: Statement,
}

impl Store for Seed {
    async fn prepare(connection: Connection) -> Result<Self> {
        let head = connection.prepare("SELECT MAX(version) FROM event_store WHERE stream_id = $1").await?;
        let event = "INSERT INTO event_store (event_id, stream_id, event_type, aggregate_type, payload, metadata, \
                     version, tenant_id, occurred_at) \
                     VALUES ($1, $2, $3, 'account', $4::text::jsonb, '{}', $5, 'default', NOW())";
        let event = connection.prepare(event).await?;
        let outbox = "INSERT INTO outbox (id, event_type, payload, metadata, tenant_id) \
                      VALUES ($1, $2, $3::text::jsonb, '{}', 'default')";
        let outbox = connection.prepare(outbox).await?;
        Ok(Self { connection, head, event, outbox })
    }

    async fn append(&mut self, stream: &str, version: i32, (kind, payload): (&str, &str)) -> Result<()> {
        let transaction = self.connection.transaction().await?;
        let head: Option<i32> = transaction.query_one(&self.head, &[&stream]).await?.get(0);
        ensure!(head.unwrap_or(-1) == version - 1, "a conflict on a stream that has one writer");
        let id = Uuid::new_v4().to_string();
        transaction.execute(&self.event, &[&id, &stream, &kind, &payload, &version]).await?;
        transaction.execute(&self.outbox, &[&id, &kind, &payload]).await?;
        Ok(transaction.commit().await?)
    }
}
