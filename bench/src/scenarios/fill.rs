//! Logs of a given size, made by the server itself: a million events take seconds.

use anyhow::Result;

use crate::site::{ADMIN, Postgres};
use crate::subjects::PEERS;

/// The metadata of an event, as long as a host's own is.
const METADATA: &str = r#"{"command_id":"01a20318-c010-7049-b9fd-4d5b9fe08338"}"#;

/// Events of one transaction, about: what they add to PostgreSQL's own log is dropped before the next.
const AT_ONCE: u64 = 1_000_000;

/// Streams to be made, numbered from 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streams<'a> {
    /// How the names of the streams begin. It must be safe within SQL text.
    pub(super) prefix: &'a str,
    /// How the names go on.
    pub(super) names: Names,
    /// How many.
    pub(super) count: u64,
    /// Events of each: an account is opened and then paid into.
    pub(super) length: u64,
}

/// Names of streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// The prefix and the stream's number.
    Numbered,
    /// A UUID that follows from both. Names of streams that come to be meanwhile lie everywhere between these, as in a
    /// log that grew by itself: what is appended meets all of the index, and not only its end.
    Scattered,
}

impl Streams<'_> {
    /// The name of the stream whose number is in the column `stream`, in SQL.
    fn name(&self) -> String {
        let numbered = format!("'{}' || stream", self.prefix);
        match self.names {
            Names::Numbered => numbered,
            Names::Scattered => format!("md5({numbered})::uuid::text"),
        }
    }
}

/// Appends streams to the log of a database that no host writes meanwhile. The triggers that guard the log against just
/// this are off for each of the transactions. The host must have registered its module: the events are said to be its.
pub(super) async fn log(postgres: &Postgres, database: &str, streams: Streams<'_>) -> Result<()> {
    let admin = postgres.connect(ADMIN, database).await?;
    let step = (AT_ONCE / streams.length).max(1);
    let mut first = 1;
    while first <= streams.count {
        let last = streams.count.min(first + step - 1);
        admin.batch_execute(&fill(streams, first, last)).await?;
        postgres.checkpoint().await?;
        first = last + 1;
    }
    // What autovacuum would do by and by, and in the middle of a measurement.
    for table in ["event_store", "event_kinds"] {
        admin.batch_execute(&format!("VACUUM ANALYZE everfold.{table}")).await?;
    }
    postgres.checkpoint().await
}

/// The transaction that appends the streams of these numbers.
fn fill(streams: Streams<'_>, first: u64, last: u64) -> String {
    let (name, length) = (streams.name(), streams.length);
    format!(
        "BEGIN;
         SET LOCAL session_replication_role = replica;
         INSERT INTO everfold.event_store (position, version, occurred_at, created_at, event_id, schema_version, module_id,
                 tenant_id, aggregate_type, stream_id, event_type, payload, metadata)
             SELECT head + (stream - {first}) * {length} + version + 1, version, now(), now(), gen_random_uuid(), 1, module,
                 'default', 'account', {name}, CASE version WHEN 0 THEN 'Opened' ELSE 'Deposited' END,
                 CASE version WHEN 0 THEN '{{\"owner\":\"Ann\"}}'::json ELSE '{{\"amount\":1}}'::json END, '{METADATA}'::json
             FROM (SELECT coalesce(max(position), 0) AS head FROM everfold.event_store) AS log,
                 (SELECT max(module_id) AS module FROM everfold.modules) AS modules,
                 generate_series({first}::bigint, {last}) AS stream, generate_series(0, {length}::bigint - 1) AS version;
         INSERT INTO everfold.event_kinds (aggregate_type, event_type, schema_version, first_position)
             VALUES ('account', 'Opened', 1, 1), ('account', 'Deposited', 1, 2) ON CONFLICT DO NOTHING;
         COMMIT"
    )
}

/// The same streams in the tables of postgres-es, and a snapshot of each as of its last event.
pub(super) async fn peer(postgres: &Postgres, streams: Streams<'_>) -> Result<()> {
    let (name, Streams { count, length, .. }) = (streams.name(), streams);
    let owner = postgres.connect(PEERS, PEERS).await?;
    let fill = format!(
        "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         SELECT 'account', {name}, version + 1, CASE version WHEN 0 THEN 'Opened' ELSE 'Deposited' END, '1',
             CASE version WHEN 0 THEN '{{\"Opened\":{{\"owner\":\"Ann\"}}}}'::json
                 ELSE '{{\"Deposited\":{{\"amount\":1}}}}'::json END, '{{}}'::json
         FROM generate_series(1, {count}::bigint) AS stream, generate_series(0, {length}::bigint - 1) AS version;
         INSERT INTO snapshots (aggregate_type, aggregate_id, last_sequence, current_snapshot, payload)
         SELECT 'account', {name}, {length}, 1, json_build_object('owner', 'Ann', 'balance', {length} - 1)
         FROM generate_series(1, {count}::bigint) AS stream"
    );
    owner.batch_execute(&fill).await?;
    for table in ["events", "snapshots"] {
        owner.batch_execute(&format!("VACUUM ANALYZE {table}")).await?;
    }
    postgres.checkpoint().await
}
