//! Connections: a pool for folds and checks, one for pages, single sessions for the writer, all under roles that can't
//! change history.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Executor as _};
use tokio::sync::watch;

use super::StoreError;
use super::settle::SessionIdentity;
use super::tenant::TenantPool;
use crate::model::{Append, AppendOutcome, Digest};

/// How the host reaches PostgreSQL.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Where, and as whom.
    pub connect: PgConnectOptions,
    /// Connections for reads, half of them for pages; the writer has one more of its own.
    pub read_connections: u32,
    /// How long a read waits for a free connection.
    pub acquire_timeout: Duration,
    /// Positions that one page of a filtered read looks at.
    pub scan_limit: i64,
}

impl StoreOptions {
    /// The defaults: 16 connections, 5 seconds, 10,000 positions.
    #[must_use]
    pub fn new(connect: PgConnectOptions) -> Self {
        Self { connect, read_connections: 16, acquire_timeout: Duration::from_secs(5), scan_limit: 10_000 }
    }
}

/// The log's read sides, and what is kept beside the log. A cheap handle.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) pool: PgPool,
    pub(super) pages: TenantPool,
    pub(super) scan_limit: i64,
    pub(super) connect: Arc<PgConnectOptions>,
    /// Numbers of modules by digest: they never change once given.
    pub(super) module_ids: Arc<Mutex<HashMap<Digest, i32>>>,
    pub(super) head: Arc<watch::Sender<i64>>,
}

impl Store {
    /// Makes the handle; connections are opened when they are needed, so that a host outlives a database that is away.
    #[must_use]
    pub fn new(options: &StoreOptions) -> Self {
        let connect = options.connect.clone().log_statements(tracing::log::LevelFilter::Trace);
        // Pages of events have their own, so that long exports don't keep folds waiting. A page's question for the head
        // or for a stream's version is asked beside the folds, and is short.
        let for_pages = (options.read_connections / 2).max(1);
        let for_rest = options.read_connections.saturating_sub(for_pages).max(1);
        let sized =
            |connections| PgPoolOptions::new().max_connections(connections).acquire_timeout(options.acquire_timeout);
        let pool = sized(for_rest)
            .after_connect(|connection, _| Box::pin(prepare_session(connection)))
            .connect_lazy_with(connect.clone().application_name("everfold-reader"));
        Self {
            pool,
            pages: TenantPool::new(sized(for_pages), connect.clone()),
            scan_limit: options.scan_limit,
            connect: Arc::new(connect),
            module_ids: Arc::default(),
            head: Arc::new(watch::Sender::new(0)),
        }
    }

    /// The log's head as far as this host knows; a commit of this host moves it at once.
    #[must_use]
    pub fn head_changes(&self) -> watch::Receiver<i64> {
        self.head.subscribe()
    }

    /// Whether PostgreSQL answers, and holds the tables that this host was built for.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where it doesn't answer, [`StoreError::Corrupt`] where tables are missing.
    pub async fn ping(&self) -> Result<(), StoreError> {
        super::schema_is_current(&self.pool).await
    }

    /// Whether the server that is reached takes writes.
    ///
    /// # Errors
    /// [`StoreError`] where it can't be asked.
    pub async fn takes_writes(&self) -> Result<bool, StoreError> {
        let asked = sqlx::query_scalar!(
            r#"SELECT NOT pg_is_in_recovery() AND NOT current_setting('default_transaction_read_only')::bool AS "takes!""#
        );
        Ok(asked.fetch_one(&self.pool).await?)
    }

    /// Closes the pools; sessions in use are waited for.
    pub async fn close(&self) {
        self.pages.close().await;
        self.pool.close().await;
    }

    /// A session for the writer.
    pub(super) async fn writer_session(&self) -> Result<WriterSession, sqlx::Error> {
        let mut connection =
            PgConnectOptions::clone(&self.connect).application_name("everfold-writer").connect().await?;
        // Asked before the role changes: a session may not see the start of one of another role.
        let identity = sqlx::query!(
            r#"SELECT a.pid AS "process!", a.backend_start AS "started_at!", pg_is_in_recovery() AS "is_standby!"
               FROM pg_stat_activity a WHERE a.pid = pg_backend_pid()"#
        )
        .fetch_one(&mut connection)
        .await?;
        if identity.is_standby {
            return Err(sqlx::Error::Configuration("this server is a standby: it can't take appends".into()));
        }
        prepare_session(&mut connection).await?;
        connection.execute(WRITER_SETTINGS).await?;
        // Under the runtime role, which sees every tenant's events whatever roles the login has.
        let known_head =
            sqlx::query_scalar!(r#"SELECT coalesce(max(position), 0) AS "known_head!" FROM everfold.event_store"#)
                .fetch_one(&mut connection)
                .await?;
        self.move_head(known_head);
        let identity = SessionIdentity { process: identity.process, started_at: identity.started_at, known_head };
        Ok(WriterSession { connection, identity })
    }

    /// Tells readers of this host that the log has grown.
    pub(super) fn move_head(&self, position: i64) {
        self.head.send_if_modified(|head| {
            let grown = position > *head;
            *head = position.max(*head);
            grown
        });
    }

    /// One session under the login's own role: it may end the host's other sessions. What it may see of the log depends
    /// on the login's roles: [`prepare_session`] before it is asked.
    pub(super) async fn supervising_session(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnectOptions::clone(&self.connect).application_name("everfold-supervisor").connect().await
    }
}

/// The writer's connection, and its name for when it is lost.
pub(super) struct WriterSession {
    pub(super) connection: PgConnection,
    pub(super) identity: SessionIdentity,
}

impl WriterSession {
    /// Notes where the log's head is after a batch.
    pub(super) fn advance(&mut self, store: &Store, appends: &[&Append], outcomes: &[AppendOutcome]) {
        for (append, outcome) in appends.iter().zip(outcomes) {
            if let AppendOutcome::Appended { first_position, .. } = outcome {
                let last = first_position + append.events.len() as i64 - 1;
                self.identity.known_head = self.identity.known_head.max(last);
            }
        }
        store.move_head(self.identity.known_head);
    }
}

/// A commit must be durable, a batch must not be cut short, and a host that vanished must not hold the head for long.
pub(super) const WRITER_SETTINGS: &str = "
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
    SET statement_timeout = 0;
    SET idle_session_timeout = 0;
    -- Since PostgreSQL 17.
    SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout';
    SET lock_timeout = 0;
    SET tcp_keepalives_idle = 5;
    SET tcp_keepalives_interval = 2;
    SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = 10000;";

/// Takes the runtime role where there is one, whatever defaults the database or the login has. Fails where the session
/// would be shown one tenant's rows only.
pub(super) async fn prepare_session(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection
        .execute(
            "SET default_transaction_isolation = 'read committed';
             SET TimeZone = 'UTC';
             -- Every read follows an index. A plan that was made while the log was small or its statistics old, and
             -- stays, would gather a tenant's whole index for a page. JIT takes costs that forbid for costs to save.
             SET enable_seqscan = off;
             SET enable_bitmapscan = off;
             SET jit = off;
             DO $$ BEGIN
                 IF EXISTS (SELECT FROM pg_roles WHERE rolname = everfold.runtime_role()
                            AND pg_has_role(current_user, oid, 'MEMBER')) THEN
                     EXECUTE format('SET SESSION ROLE %I', everfold.runtime_role());
                 END IF;
             EXCEPTION
                 -- A database that isn't migrated yet: whoever asks it for more is told so.
                 WHEN undefined_function OR invalid_schema_name THEN NULL;
                 -- Since PostgreSQL 16 not every member of a role may take it.
                 WHEN insufficient_privilege THEN NULL;
             END $$;
             -- A session that is held to a tenant, and has none, would find an empty log and no error: a lost batch would
             -- be sent again.
             DO $$ BEGIN
                 IF row_security_active(to_regclass('everfold.event_store'))
                    -- Whatever its name: it may be the reader of an owner before.
                    AND EXISTS (SELECT FROM pg_policy p, unnest(p.polroles) held
                                WHERE p.polrelid = to_regclass('everfold.event_store') AND NOT p.polpermissive
                                  AND CASE held WHEN 0 THEN true ELSE pg_has_role(current_user, held, 'USAGE') END) THEN
                     RAISE EXCEPTION '% inherits a reader''s role and would see no events: let it take %, or revoke the first',
                         current_user, everfold.runtime_role()
                         USING ERRCODE = 'insufficient_privilege';
                 END IF;
             EXCEPTION
                 WHEN undefined_function OR invalid_schema_name THEN NULL;
             END $$;",
        )
        .await?;
    Ok(())
}
