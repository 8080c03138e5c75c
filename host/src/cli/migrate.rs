//! `everfold migrate`: the schema brought up to date, on its own.

use anyhow::Context as _;

use super::serve::Database;
use crate::config::Settings;
use crate::store;

pub(super) fn run(settings: Settings) -> anyhow::Result<()> {
    tokio::runtime::Runtime::new().context("no runtime")?.block_on(async {
        let database = Database::open(&settings).await?;
        let steps = store::migrate(database.options()).await?;
        tracing::info!(steps, "the schema is up to date");
        database.close().await;
        Ok(())
    })
}
