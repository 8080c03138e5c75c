//! The server: its version and settings, who we are to it, how we reach it, what time it has.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;
use time::OffsetDateTime;

/// Settings that bear on what the host promises.
const SETTINGS: [&str; 19] = [
    "autovacuum",
    "data_checksums",
    "data_directory",
    "default_transaction_read_only",
    "fsync",
    "full_page_writes",
    "idle_session_timeout",
    "ignore_checksum_failure",
    "max_connections",
    "server_version",
    "session_replication_role",
    "statement_timeout",
    "superuser_reserved_connections",
    "synchronous_commit",
    "synchronous_standby_names",
    "transaction_timeout",
    "wal_sync_method",
    "track_activities",
    "zero_damaged_pages",
];

/// What was found out about a server.
#[derive(Debug, Clone)]
pub struct ServerFacts {
    /// Version number, such as 150018.
    pub version: i32,
    /// The database's name.
    pub database: String,
    /// The database's encoding.
    pub encoding: String,
    /// The login.
    pub user: String,
    /// Whether the login is a superuser.
    pub is_superuser: bool,
    /// Whether the server is a standby.
    pub is_standby: bool,
    /// Whether this connection is encrypted.
    pub tls: bool,
    /// The server's address; none over a Unix socket.
    pub address: Option<String>,
    /// Connections of all databases that are open now.
    pub connections: i64,
    /// Connections that the login may have at once; none where that isn't bounded.
    pub connection_limit: Option<i32>,
    /// How far the server's clock is ahead of this host's, in seconds; half the round trip is the error.
    pub clock_ahead: f64,
    /// Settings as a session of this login has them in this database. What the login may not see, and what this version
    /// doesn't have, is absent.
    pub settings: BTreeMap<String, String>,
}

impl ServerFacts {
    /// A setting; empty where it's absent.
    #[must_use]
    pub fn setting(&self, name: &str) -> &str {
        self.settings.get(name).map_or("", String::as_str)
    }
}

pub(super) async fn examine(connection: &mut PgConnection) -> Result<ServerFacts, sqlx::Error> {
    let names: Vec<String> = SETTINGS.iter().map(|name| (*name).to_owned()).collect();
    let settings = sqlx::query!(
        r#"SELECT name AS "name!", setting AS "setting!" FROM pg_settings WHERE name = ANY ($1) AND setting IS NOT NULL"#,
        &names
    )
    .fetch_all(&mut *connection)
    .await?;
    let row = sqlx::query!(
        r#"SELECT current_setting('server_version_num')::int AS "version!", d.datname::text AS "database!",
                  pg_encoding_to_char(d.encoding)::text AS "encoding!", r.rolname::text AS "user!",
                  r.rolsuper AS "is_superuser!", pg_is_in_recovery() AS "is_standby!", r.rolconnlimit AS "limit!",
                  coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS "tls!",
                  host(inet_server_addr()) AS address,
                  (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS "connections!"
           FROM pg_database d, pg_roles r WHERE d.datname = current_database() AND r.rolname = current_user"#
    )
    .fetch_one(&mut *connection)
    .await?;
    let clock_ahead = clock_ahead(connection).await?;
    Ok(ServerFacts {
        version: row.version,
        database: row.database,
        encoding: row.encoding,
        user: row.user,
        is_superuser: row.is_superuser,
        is_standby: row.is_standby,
        tls: row.tls,
        address: row.address,
        connections: row.connections,
        connection_limit: (row.limit >= 0).then_some(row.limit),
        clock_ahead,
        settings: settings.into_iter().map(|row| (row.name, row.setting)).collect(),
    })
}

/// Compared with the middle of the round trip.
async fn clock_ahead(connection: &mut PgConnection) -> Result<f64, sqlx::Error> {
    let asked = OffsetDateTime::now_utc();
    let theirs = sqlx::query!(r#"SELECT clock_timestamp() AS "now!""#).fetch_one(connection).await?.now;
    let answered = OffsetDateTime::now_utc();
    let middle: OffsetDateTime = asked + (answered - asked) / 2;
    let ahead: time::Duration = theirs - middle;
    Ok(ahead.as_seconds_f64())
}
