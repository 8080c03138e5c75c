//! `everfold doctor`: looks at everything that a host depends on, changes nothing, and says what is wrong and what to do.

mod database;
mod machine;
mod report;
mod schema;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;

use super::serve::Database;
use crate::cluster;
use crate::config::Settings;
use crate::store;
use report::Report;

/// Looks, prints the report, and answers the exit code of the worst: 0, 1 for a warning, 2 for what is broken.
pub(super) fn run(settings: &Settings, json: bool) -> anyhow::Result<ExitCode> {
    let mut report = Report::default();
    let runtime = tokio::runtime::Runtime::new().context("no runtime")?;
    runtime.block_on(look_at_database(settings, &mut report));
    machine::look(settings, &mut report);
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{:#}", serde_json::to_value(&report)?)?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(ExitCode::from(report.worst() as u8))
}

async fn look_at_database(settings: &Settings, report: &mut Report) {
    let database = match open(settings).await {
        Ok(Some(database)) => database,
        Ok(None) => {
            report
                .ok("database", "no database is named, and there is no private cluster yet: `everfold serve` makes it");
            return;
        }
        Err(error) => {
            report.broken(
                "database",
                format!("{error:#}"),
                "name a database by DATABASE_URL, or mend the private cluster",
            );
            return;
        }
    };
    match store::examine(database.options()).await {
        Ok(found) => {
            report.ok("database", format!("reached as {} in {}", found.server.user, found.server.database));
            database::judge(settings, &found, report);
            schema::judge(&found, report);
        }
        Err(error) => report.broken(
            "database",
            format!("{:#}", anyhow::Error::new(error)),
            "start PostgreSQL, or correct DATABASE_URL (address, login, password, sslmode)",
        ),
    }
    database.close().await;
}

/// The database that a host would use; none where it would first make one. A private cluster that no host runs is
/// started for as long as the look takes.
async fn open(settings: &Settings) -> anyhow::Result<Option<Database>> {
    if settings.database_url.is_none() {
        if let Some(url) = cluster::running(&settings.data_dir) {
            return Ok(Some(Database::at(&url)?));
        }
        if !cluster::exists(&settings.data_dir) {
            return Ok(None);
        }
    }
    Database::open(settings).await.map(Some)
}
