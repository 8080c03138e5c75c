//! What can be found out about a database without changing it: the facts that `everfold doctor` judges.

mod pooler;
mod schema;
mod server;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

use super::StoreError;

pub use pooler::Pooler;
pub use schema::{LogFacts, RoleFacts, SchemaFacts, TriggerFacts};
pub use server::ServerFacts;

/// What was found out about a database.
#[derive(Debug, Clone)]
pub struct Examination {
    /// The server, and what a session is set to in this database.
    pub server: ServerFacts,
    /// What stands between host and server.
    pub pooler: Pooler,
    /// The log's schema; none where the database was never migrated.
    pub schema: Option<SchemaFacts>,
}

/// Looks at a database as a host would reach it.
///
/// # Errors
/// [`StoreError::Unavailable`] where it can't be reached, [`StoreError::Failed`] where it refuses to be looked at.
pub async fn examine(options: &PgConnectOptions) -> Result<Examination, StoreError> {
    let options = options.clone().application_name("everfold-doctor").log_statements(tracing::log::LevelFilter::Trace);
    let pooler = pooler::detect(&options).await?;
    let mut connection = options.connect().await?;
    let server = server::examine(&mut connection).await?;
    let schema = schema::examine(&mut connection).await?;
    sqlx::Connection::close(connection).await?;
    Ok(Examination { server, pooler, schema })
}
