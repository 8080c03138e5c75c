//! Readers that ask PostgreSQL itself, past the hosts: of the log with `position > last`, and of the snapshots.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Executor as _, Row as _};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock::Clock;
use crate::history::{LogRow, SeenSnapshot, Stream};
use crate::site::Site;

/// How long a query may take before the connection counts as dead: a killed server doesn't say good-bye.
const QUERY_PATIENCE: Duration = Duration::from_secs(10);

/// A connection that is made anew when it is lost.
struct Connection {
    site: Arc<Site>,
    open: Option<PgConnection>,
}

impl Connection {
    fn new(site: &Arc<Site>) -> Self {
        Self { site: site.clone(), open: None }
    }

    /// The rows of a query, or nothing where the server is away.
    async fn rows<'q>(
        &mut self,
        query: sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>,
    ) -> Option<Vec<PgRow>> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => timeout(QUERY_PATIENCE, self.site.postgres.connect()).await.ok()?.ok()?,
        };
        let rows = timeout(QUERY_PATIENCE, open.fetch_all(query)).await.ok()?.ok()?;
        self.open = Some(open);
        Some(rows)
    }
}

/// Reads the log behind the last position that it has seen, until it has seen `until`.
pub(super) async fn follow(site: Arc<Site>, until: watch::Receiver<Option<i64>>) -> Vec<(i64, Uuid)> {
    let mut connection = Connection::new(&site);
    let mut seen: Vec<(i64, Uuid)> = Vec::new();
    loop {
        let last = seen.last().map_or(0, |(position, _)| *position);
        if until.borrow().is_some_and(|until| last >= until) {
            return seen;
        }
        let sql =
            "SELECT position, event_id FROM everfold.event_store WHERE position > $1 ORDER BY position LIMIT 1000";
        match connection.rows(sqlx::query(sql).bind(last)).await {
            Some(rows) => seen.extend(rows.iter().map(|row| (row.get(0), row.get(1)))),
            None => sleep(Duration::from_millis(200)).await,
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// Looks at the snapshots again and again, and keeps what it hasn't seen before.
pub(super) async fn watch_snapshots(site: Arc<Site>, clock: Clock, until: CancellationToken) -> Vec<SeenSnapshot> {
    let mut connection = Connection::new(&site);
    let mut seen = Vec::new();
    let mut newest: HashMap<(Stream, String), (i64, Uuid)> = HashMap::new();
    while !until.is_cancelled() {
        let sql = "SELECT s.tenant_id, s.stream_id, encode(m.digest, 'hex'), s.version, s.event_id, s.state::text
                   FROM everfold.snapshots s JOIN everfold.modules m USING (module_id)
                   WHERE s.created_at > clock_timestamp() - interval '30 seconds'";
        for row in connection.rows(sqlx::query(sql)).await.into_iter().flatten() {
            let snapshot = SeenSnapshot {
                seen: clock.now(),
                stream: Stream { tenant: row.get(0), id: row.get(1) },
                module: row.get(2),
                version: row.get(3),
                event_id: row.get(4),
                state: serde_json::from_str(row.get(5)).unwrap_or_default(),
            };
            let key = (snapshot.stream.clone(), snapshot.module.clone());
            let what = (snapshot.version, snapshot.event_id);
            if newest.insert(key, what) != Some(what) {
                seen.push(snapshot);
            }
        }
        sleep(Duration::from_millis(400)).await;
    }
    seen
}

/// The whole log.
///
/// # Errors
/// Where the server doesn't answer, or holds what no vault writes.
pub(crate) async fn whole_log(site: &Site) -> anyhow::Result<Vec<LogRow>> {
    let sql = "SELECT position, tenant_id, stream_id, version, event_id,
                      (extract(epoch FROM created_at) * 1000000)::bigint, payload->>'token',
                      (payload->>'amount')::bigint, (payload->>'nth')::bigint
               FROM everfold.event_store ORDER BY position";
    let mut connection = site.postgres.connect().await?;
    let rows = connection.fetch_all(sqlx::query(sql)).await?;
    rows.iter()
        .map(|row| {
            Ok(LogRow {
                position: row.try_get(0)?,
                stream: Stream { tenant: row.try_get(1)?, id: row.try_get(2)? },
                version: row.try_get(3)?,
                event_id: row.try_get(4)?,
                created_at: row.try_get(5)?,
                token: row.try_get(6)?,
                amount: row.try_get(7)?,
                nth: u32::try_from(row.try_get::<i64, _>(8)?)?,
            })
        })
        .collect()
}

/// The log's last position.
///
/// # Errors
/// Where the server doesn't answer.
pub(crate) async fn head(site: &Site) -> anyhow::Result<i64> {
    let mut connection = site.postgres.connect().await?;
    let row = connection.fetch_one("SELECT coalesce(max(position), 0) FROM everfold.event_store").await?;
    Ok(row.try_get(0)?)
}
