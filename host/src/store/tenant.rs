//! Sessions for pages: each sees one tenant's rows for as long as it is out, whatever statement it is asked.
//!
//! They are under the reader's role, whose policies show only rows of the session's setting `everfold.tenant`. The pool is
//! private to this file, and gives out no session without setting the tenant first.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{Executor as _, Postgres};

use super::connect::prepare_session;
use super::{Store, StoreError};
use crate::model::Tenant;

/// The pool of sessions under the reader's role.
#[derive(Debug, Clone)]
pub(super) struct TenantPool(PgPool);

/// A session that sees one tenant's rows. Where the reader's role could not be made it is under the runtime role, and sees
/// what its statements ask for.
#[derive(Debug)]
pub struct TenantSession(PoolConnection<Postgres>);

impl TenantPool {
    pub(super) fn new(options: PgPoolOptions, connect: sqlx::postgres::PgConnectOptions) -> Self {
        let options = options.after_connect(|connection, _| {
            Box::pin(async move {
                prepare_session(connection).await?;
                take_reader_role(connection).await
            })
        });
        Self(options.connect_lazy_with(connect.application_name("everfold-pages")))
    }

    /// Connections that are open, and those of them that are idle.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.0.size() as usize, self.0.num_idle())
    }

    pub(super) async fn close(&self) {
        self.0.close().await;
    }
}

impl Store {
    /// A session that sees this tenant's rows, and those of tables that belong to no tenant. One round trip.
    ///
    /// # Errors
    /// [`StoreError`] where the database can't be asked.
    pub async fn tenant_session(&self, tenant: &Tenant) -> Result<TenantSession, StoreError> {
        let mut session = self.pages.0.acquire().await?;
        // Set each time, so that it doesn't matter whose the session was, nor how its last statement ended.
        sqlx::query!(r#"SELECT set_config('everfold.tenant', $1, false) AS "tenant!""#, tenant.as_str())
            .fetch_one(&mut *session)
            .await?;
        Ok(TenantSession(session))
    }
}

impl Deref for TenantSession {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for TenantSession {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}

/// Exchanges the runtime role for the reader's, where there is one that can read, that is held to a
/// tenant, and that the login may take.
async fn take_reader_role(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection
        .execute(
            "SET row_security = on;
             DO $$ BEGIN
                 IF EXISTS (SELECT FROM pg_roles WHERE rolname = everfold.reader_role()
                            AND pg_has_role(session_user, oid, 'MEMBER')
                            AND has_schema_privilege(oid, 'everfold', 'USAGE')
                            AND (SELECT bool_and(has_table_privilege(pg_roles.oid, read, 'SELECT'))
                                 FROM unnest('{everfold.event_store, everfold.snapshots, everfold.modules,
                                              everfold.event_kinds, everfold.log_head}'::text[]) read)
                            -- A policy for another role, such as that of the owner before, wouldn't hold this one.
                            AND (SELECT count(*) = 2 FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
                                 WHERE c.oid IN (to_regclass('everfold.event_store'), to_regclass('everfold.snapshots'))
                                   AND c.relrowsecurity AND p.polname = 'own_tenant' AND NOT p.polpermissive
                                   AND pg_roles.oid = ANY (p.polroles))) THEN
                     EXECUTE format('SET SESSION ROLE %I', everfold.reader_role());
                 END IF;
             EXCEPTION
                 -- A database whose newest steps aren't applied yet.
                 WHEN undefined_function OR invalid_schema_name THEN NULL;
                 -- Since PostgreSQL 16 not every member of a role may take it.
                 WHEN insufficient_privilege THEN NULL;
             END $$;",
        )
        .await?;
    Ok(())
}
