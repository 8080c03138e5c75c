//! One run: build up, measure the shuffled slices round by round, then what isn't a rate under load, and report.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, bail, ensure};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::Cli;
use crate::machine::Machine;
use crate::report::Report;
use crate::results::{Results, Slice};
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
            interrupted = interrupted() => interrupted.and_then(|name| bail!("it was broken off by {name}")),
        }
    });
    // Whatever was still running has ended: the processes were dropped with what ran here.
    runtime.shutdown_background();
    let removed = folder.close();
    let report = report?;
    removed.context("can't remove the database's folder")?;
    if cli.json {
        println!("{}", serde_json::to_string_pretty(&report.to_json())?);
    } else {
        print!("{report}");
    }
    ensure!(report.results.failures.is_empty(), "not everything could be measured");
    Ok(())
}

/// Waits until somebody wants the run to end.
async fn interrupted() -> Result<&'static str> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
        _ = hang_up.recv() => "SIGHUP",
    })
}

async fn bench(cli: &Cli, folder: &TempDir) -> Result<Report> {
    let effort = cli.effort();
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
    measure_rounds(cli, &site, &scenarios, seed, &mut results).await?;
    for scenario in &scenarios {
        if let Err(error) = scenarios::measure(*scenario, &site, folder.path(), effort, &mut results).await {
            results.fail(scenario, &error);
        }
    }
    site.close().await?;
    Ok(Report { effort, rounds: cli.rounds(), seed, machine, results })
}

/// All rates under load. Whatever happens to the machine meanwhile happens to all of a round.
async fn measure_rounds(
    cli: &Cli,
    site: &Site,
    scenarios: &[Scenario],
    seed: u64,
    results: &mut Results,
) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let slices = scenarios.iter().flat_map(|scenario| scenario.slices(cli.effort()));
    let mut slices: Vec<_> = slices.filter(|slice| cli.wants(slice)).collect();
    let rounds = cli.rounds();
    for round in 0..rounds {
        slices.shuffle(&mut random);
        site.postgres.checkpoint().await?;
        for (nth, slice) in slices.iter().enumerate() {
            let Slice { work, subject, in_flight } = *slice;
            let what = format!("{work}, {subject}, {in_flight} in flight");
            match subject.run(site, work, in_flight, cli.timing()).await {
                Ok(sample) => {
                    let (of, rate) = (slices.len(), sample.rate());
                    eprintln!("round {}/{rounds}, {}/{of}: {what}: {rate:.0}/s", round + 1, nth + 1);
                    results.add(*slice, round, sample);
                }
                Err(error) => results.fail(&what, &error),
            }
        }
    }
    Ok(())
}
