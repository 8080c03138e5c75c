//! Logs of a given size, made by the server itself: a million events take seconds.

use anyhow::Result;

use crate::site::{ADMIN, Postgres};
use crate::subjects::PEERS;

/// The metadata of an event, as long as a host's own is.
const METADATA: &str = r#"{"command_id":"01a20318-c010-7049-b9fd-4d5b9fe08338"}"#;

/// Streams to be made: `{prefix}{number}`, numbered from 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streams<'a> {
    /// How the names of the streams begin. It must be safe within SQL text.
    pub(super) prefix: &'a str,
    /// How many.
    pub(super) count: u64,
    /// Events of each: an account is opened and then paid into.
    pub(super) length: u64,
}

/// Appends streams to the log of a database that no host writes meanwhile. The triggers that guard the log against just
/// this are off for one transaction.
pub(super) async fn log(postgres: &Postgres, database: &str, streams: Streams<'_>) -> Result<()> {
    let Streams { prefix, count, length } = streams;
    let admin = postgres.connect(ADMIN, database).await?;
    let fill = format!(
        "BEGIN;
         SET LOCAL session_replication_role = replica;
         INSERT INTO everfold.event_kinds (aggregate_type, event_type, schema_version, first_position)
             VALUES ('account', 'Opened', 1, 1), ('account', 'Deposited', 1, 2) ON CONFLICT DO NOTHING;
         INSERT INTO everfold.event_store (position, version, occurred_at, created_at, event_id, schema_version,
                 tenant_id, aggregate_type, stream_id, event_type, payload, metadata)
             SELECT head + (stream - 1) * {length} + version + 1, version, now(), now(), gen_random_uuid(), 1,
                 'default', 'account', '{prefix}' || stream, CASE version WHEN 0 THEN 'Opened' ELSE 'Deposited' END,
                 CASE version WHEN 0 THEN '{{\"owner\":\"Ann\"}}'::json ELSE '{{\"amount\":1}}'::json END, '{METADATA}'::json
             FROM (SELECT coalesce(max(position), 0) AS head FROM everfold.event_store) AS log,
                 generate_series(1, {count}::bigint) AS stream, generate_series(0, {length}::bigint - 1) AS version;
         COMMIT"
    );
    admin.batch_execute(&fill).await?;
    // What autovacuum would do by and by, and in the middle of a measurement.
    admin.batch_execute("VACUUM ANALYZE everfold.event_store").await?;
    postgres.checkpoint().await
}

/// The same streams in the tables of postgres-es.
pub(super) async fn peer(postgres: &Postgres, streams: Streams<'_>) -> Result<()> {
    let Streams { prefix, count, length } = streams;
    let owner = postgres.connect(PEERS, PEERS).await?;
    let fill = format!(
        "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         SELECT 'account', '{prefix}' || stream, version + 1, CASE version WHEN 0 THEN 'Opened' ELSE 'Deposited' END, '1',
             CASE version WHEN 0 THEN '{{\"Opened\":{{\"owner\":\"Ann\"}}}}'::json
                 ELSE '{{\"Deposited\":{{\"amount\":1}}}}'::json END, '{{}}'::json
         FROM generate_series(1, {count}::bigint) AS stream, generate_series(0, {length}::bigint - 1) AS version"
    );
    owner.batch_execute(&fill).await?;
    owner.batch_execute("VACUUM ANALYZE events").await?;
    postgres.checkpoint().await
}
