//! The schema, brought up to date by numbered steps under an advisory lock.

use std::io;
use std::sync::LazyLock;
use std::time::Duration;

use sqlx::migrate::{Migrate as _, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection};
use tokio::time::timeout;

use super::StoreError;

/// How long a look at the database may take. A network that has fallen silent would otherwise keep a host from starting
/// for good. Steps themselves take as long as they take.
const LOOK: Duration = Duration::from_secs(30);

/// Where the steps that were applied are kept: in the schema that they build, not in the user's.
const TABLE: &str = "everfold.migrations";

/// The advisory lock of this database under which steps are counted and applied.
const LOCK: &str = "SELECT pg_advisory_lock(hashtext('everfold.migrations'))";

static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = Migrator::with_migrations(sqlx::migrate!("../migrations").iter().cloned().collect());
    migrator.create_schema("everfold");
    migrator.dangerous_set_table_name(TABLE);
    // `migrate` has the lock already.
    migrator.set_locking(false);
    // Steps of a newer host are left alone.
    migrator.set_ignore_missing(true);
    migrator
});

/// A database that can't be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// It can't be reached.
    #[error("PostgreSQL can't be reached")]
    Unavailable(#[source] sqlx::Error),
    /// It is older than what Everfold needs.
    #[error("PostgreSQL {found} is too old: Everfold needs 15 or later")]
    TooOld {
        /// The server's version number, such as 140009.
        found: i32,
    },
    /// Its encoding can't hold every text.
    #[error(
        "the database's encoding is {0}: Everfold needs UTF8 (CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0)"
    )]
    Encoding(String),
    /// A step failed; it left nothing behind.
    #[error("a migration failed")]
    Step(#[source] sqlx::migrate::MigrateError),
}

/// Applies every step that is missing, and answers how many there were.
///
/// Hosts that start together wait for each other. Steps that a newer host has applied are left alone: old and new run
/// side by side.
///
/// # Errors
/// [`MigrateError`]; a failed step is rolled back, and the next run takes it up again.
pub async fn migrate(options: &PgConnectOptions) -> Result<usize, MigrateError> {
    let looked = timeout(LOOK, look(options)).await.unwrap_or_else(|_| Err(MigrateError::Unavailable(silence())));
    let Some(mut connection) = looked? else { return Ok(0) };
    // The settings of functions are kept as this writes them, and the log's function is known by its own.
    connection.execute("SET quote_all_identifiers = off").await.map_err(MigrateError::Unavailable)?;
    // Held until the connection closes.
    connection.execute(LOCK).await.map_err(MigrateError::Unavailable)?;
    let before = applied(&mut connection).await;
    MIGRATIONS.run(&mut connection).await.map_err(MigrateError::Step)?;
    let after = applied(&mut connection).await;
    connection.close().await.map_err(MigrateError::Unavailable)?;
    Ok(after - before)
}

/// A connection to a database that has steps to apply; `None` where nothing is to be done, and so nobody to wait for.
async fn look(options: &PgConnectOptions) -> Result<Option<PgConnection>, MigrateError> {
    let mut connection =
        options.clone().application_name("everfold-migrate").connect().await.map_err(MigrateError::Unavailable)?;
    let server = sqlx::query!(
        r#"SELECT current_setting('server_version_num')::int AS "version!",
                  pg_encoding_to_char(encoding)::text AS "encoding!"
           FROM pg_database WHERE datname = current_database()"#
    )
    .fetch_one(&mut connection)
    .await
    .map_err(MigrateError::Unavailable)?;
    if server.version < 150_000 {
        return Err(MigrateError::TooOld { found: server.version });
    }
    if server.encoding != "UTF8" {
        return Err(MigrateError::Encoding(server.encoding));
    }
    let steps = Steps::of(&mut connection).await.map_err(MigrateError::Unavailable)?;
    if !steps.missing.is_empty() {
        return Ok(Some(connection));
    }
    // There is no step to run: it only holds those that were applied to what they are known to be.
    MIGRATIONS.run(&mut connection).await.map_err(MigrateError::Step)?;
    connection.close().await.map_err(MigrateError::Unavailable)?;
    Ok(None)
}

fn silence() -> sqlx::Error {
    let what = format!("no answer within {} seconds", LOOK.as_secs());
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, what))
}

async fn applied(connection: &mut PgConnection) -> usize {
    // Before the first run there is no table to list from.
    connection.list_applied_migrations(TABLE).await.map_or(0, |steps| steps.len())
}

/// How the steps that a database has differ from this host's.
pub(super) struct Steps {
    /// Not applied.
    pub(super) missing: Vec<i64>,
    /// Not known: a newer host's.
    pub(super) newer: Vec<i64>,
}

impl Steps {
    pub(super) async fn of(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        // Not checked at compile time: sqlx makes that table, no migration does.
        let applied: Vec<i64> =
            sqlx::query_scalar("SELECT version FROM everfold.migrations WHERE success ORDER BY version")
                .fetch_all(connection)
                .await
                .or_else(|error| if is_undefined_table(&error) { Ok(Vec::new()) } else { Err(error) })?;
        let own: Vec<i64> = MIGRATIONS.iter().map(|step| step.version).collect();
        let without = |all: &[i64], others: &[i64]| all.iter().copied().filter(|step| !others.contains(step)).collect();
        Ok(Self { missing: without(&own, &applied), newer: without(&applied, &own) })
    }
}

fn is_undefined_table(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|answer| answer.code().as_deref() == Some(UNDEFINED_TABLE))
}

/// Whether every step of this host is applied.
///
/// # Errors
/// [`StoreError::Corrupt`] where one is missing, [`StoreError::Unavailable`] where PostgreSQL doesn't answer.
pub async fn schema_is_current(pool: &PgPool) -> Result<(), StoreError> {
    let newest = MIGRATIONS.iter().map(|step| step.version).max().unwrap_or_default();
    // Not checked at compile time: sqlx makes that table, no migration does.
    let found: Result<bool, _> =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM everfold.migrations WHERE version = $1 AND success)")
            .bind(newest)
            .fetch_one(pool)
            .await;
    match found {
        Ok(true) => Ok(()),
        Ok(false) => Err(missing(newest)),
        Err(error) if is_undefined_table(&error) => Err(missing(newest)),
        Err(error) => Err(error.into()),
    }
}

/// A database that was never migrated doesn't even have the list of steps.
const UNDEFINED_TABLE: &str = "42P01";

fn missing(step: i64) -> StoreError {
    StoreError::Corrupt(format!("migration {step} is not applied: run `everfold migrate`"))
}
