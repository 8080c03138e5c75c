//! One run: build up, measure the shuffled slices round by round, then what isn't a rate under load, and report.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, bail};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use tempfile::TempDir;

use crate::Cli;
use crate::effort::Effort;
use crate::machine::Machine;
use crate::report::Report;
use crate::results::Results;
use crate::scenarios::{self, Scenario};
use crate::site::{Plan, Site};
use crate::subjects;

/// Runs and prints.
pub(crate) fn run(cli: &Cli) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("everfold-bench-");
    let folder = match &cli.folder {
        Some(parent) => builder.tempdir_in(parent),
        None => builder.tempdir(),
    };
    let folder = folder.context("can't make a folder for the database")?;
    // PostgreSQL's user passes through it.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    let report = runtime.block_on(async {
        tokio::select! {
            report = bench(cli, &folder) => report,
            interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Into::into).and_then(|()| bail!("interrupted")),
        }
    });
    runtime.shutdown_background();
    if cli.json {
        println!("{}", serde_json::to_string_pretty(&report?.to_json())?);
    } else {
        print!("{}", report?);
    }
    Ok(())
}

async fn bench(cli: &Cli, folder: &TempDir) -> Result<Report> {
    let effort = match (cli.quick, cli.large) {
        (true, _) => Effort::Quick,
        (_, true) => Effort::Large,
        _ => Effort::Full,
    };
    let seed = cli.seed.unwrap_or_else(rand::random);
    let plan = Plan {
        host: cli.host.canonicalize().context("there is no host program")?,
        pg_bin: cli.pg_bin.clone(),
        postgres_user: cli.postgres_user,
        guests: cli.guests.clone(),
    };
    let site = Site::build(plan, folder.path()).await?;
    subjects::prepare(&site.postgres).await?;
    let machine = Machine::look(site.postgres.version().await?, &cli.profile);
    eprintln!("{} run, seed {seed}, PostgreSQL {}", effort.name(), machine.postgres);

    let wanted = |scenario: &Scenario| cli.only.is_empty() || cli.only.contains(scenario);
    let scenarios: Vec<Scenario> = Scenario::all().filter(wanted).collect();
    let mut results = Results::default();
    measure_rounds(&site, &scenarios, effort, seed, &mut results).await?;
    for scenario in &scenarios {
        scenarios::measure(*scenario, &site, folder.path(), effort, &mut results)
            .await
            .with_context(|| format!("while measuring {scenario}"))?;
    }
    site.close().await?;
    Ok(Report { effort, seed, machine, results })
}

/// All rates under load. Whatever happens to the machine meanwhile happens to all of a round.
async fn measure_rounds(
    site: &Site,
    scenarios: &[Scenario],
    effort: Effort,
    seed: u64,
    results: &mut Results,
) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut slices: Vec<_> = scenarios.iter().flat_map(|scenario| scenario.slices(effort)).collect();
    for round in 0..if slices.is_empty() { 0 } else { effort.rounds() } {
        slices.shuffle(&mut random);
        site.postgres.checkpoint().await?;
        for (nth, slice) in slices.iter().enumerate() {
            let sample = slice
                .subject
                .run(site, slice.work, slice.in_flight, effort.timing())
                .await
                .with_context(|| format!("{}: {}, {} in flight", slice.subject, slice.work, slice.in_flight))?;
            eprintln!(
                "round {} of {}, {:2}/{}: {}, {}, {} in flight: {:.0}/s",
                round + 1,
                effort.rounds(),
                nth + 1,
                slices.len(),
                slice.work,
                slice.subject,
                slice.in_flight,
                sample.rate(),
            );
            results.add(*slice, round, sample);
        }
    }
    Ok(())
}
