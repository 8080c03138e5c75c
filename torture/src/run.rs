//! One run: build up, let clients work while things go wrong, put everything in order, settle, and look at it all.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::stream::{self, StreamExt as _};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::check::{self, Summary, Violation};
use crate::clients::{self, Crowd, Http, Ledger, Streams};
use crate::clock::Clock;
use crate::faults;
use crate::history::{Answer, Call, Disturbance, Expected, History, Operation, Stream};
use crate::readers::{Readers, head, whole_log};
use crate::report::Report;
use crate::site::{Plan, Site};
use crate::{Cli, report};

/// How long an operation may stay unsettled when nothing is in its way. A stream in quarantine waits for its probe.
const SETTLE_PATIENCE: Duration = Duration::from_secs(120);

/// Requests under way at a time while the run is settled.
const AT_ONCE: usize = 24;

/// Repetitions of requests that have their answer.
const LATE_RETRIES: usize = 1_000;

/// Commands that a run carries out each second, at the very least: one that did nothing has shown nothing.
const LEAST_PER_SECOND: u64 = 4;

/// Seconds from which on a run must have shown everything.
const FULL: u32 = 60;

/// PostgreSQL's disk: what a cluster needs, and what a busy second adds.
const DISK: u64 = 900 << 20;
const DISK_PER_SECOND: u64 = 3 << 19;

/// What a run was seen to do.
struct Seen {
    /// None where the hosts don't recover: it can't be told then what came of everything.
    history: Option<History>,
    found: Vec<Violation>,
    disturbances: Vec<Disturbance>,
}

/// Runs, reports, and answers what was found.
pub(crate) fn run(cli: &Cli) -> Result<Vec<Violation>> {
    let folder = TempDir::with_prefix("everfold-torture-")?;
    // PostgreSQL's user passes through it.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    let runtime = tokio::runtime::Runtime::new()?;
    let seen = runtime.block_on(async {
        tokio::select! {
            seen = torture(cli, folder.path()) => seen,
            stopped = until_stopped() => stopped.and_then(|()| bail!("interrupted")),
        }
    });
    // What still runs ends before its folder is removed.
    runtime.shutdown_timeout(Duration::from_secs(10));
    if let (Err(_), Some(keep)) = (&seen, &cli.keep) {
        report::keep(None, folder.path(), keep)?;
    }
    let Seen { history, mut found, disturbances } = seen?;
    let history = history.map(|history| History { disturbances: disturbances.clone(), ..history });
    let summary = history.as_ref().map(|history| {
        println!("checking {} operations and {} events", history.operations.len(), history.log.len());
        found.extend(check::run(history));
        Summary::of(history)
    });
    if let Some(summary) = summary.as_ref().filter(|_| cli.only.is_empty() && cli.seconds >= FULL) {
        found.extend(not_shown(summary));
    }
    Report { cli, disturbances: &disturbances, summary: summary.as_ref(), violations: &found }.print();
    if let Some(keep) = &cli.keep {
        report::keep(history.as_ref(), folder.path(), keep)?;
    } else if !found.is_empty() {
        let kept = folder.keep();
        report::keep(history.as_ref(), &kept, &kept)?;
        println!("logs and history: {}", kept.display());
    }
    Ok(found)
}

/// Waits until somebody wants the run to end.
async fn until_stopped() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        _ = terminate.recv() => Ok(()),
    }
}

/// What a long enough run must have had of everything that there are checks for: a check without anything to look at
/// passes.
fn not_shown(summary: &Summary) -> Vec<Violation> {
    let counts = [
        ("rejections", summary.rejected),
        ("conflicts", summary.conflicts),
        ("reads", summary.reads),
        ("late retries", summary.late_retries),
        ("snapshots", summary.snapshots),
        ("events that readers got", summary.tailed),
    ];
    let none = counts.into_iter().filter(|(_, count)| *count == 0);
    none.map(|(what, _)| Violation { promise: "shown", what: format!("there were no {what}") }).collect()
}

/// Everything with processes in it.
async fn torture(cli: &Cli, folder: &Path) -> Result<Seen> {
    let clock = Clock::start();
    let plan = Plan {
        host: cli.host.canonicalize().context("there is no host program")?,
        pg_bin: cli.pg_bin.clone(),
        postgres_user: cli.postgres_user,
        guests: cli.guests.clone(),
        hosts: usize::from(cli.hosts),
        disk: DISK + DISK_PER_SECOND * u64::from(cli.seconds),
    };
    let site = Arc::new(Site::build(&plan, folder, &reqwest::Client::new()).await?);
    if site.disk.is_none() {
        println!("the disk can't be filled: only root may mount one, where mounts are allowed");
    }
    let http = Http::new(site.hosts.iter().map(|host| host.url.clone()).collect(), clock)?;
    let crowd = Arc::new(Crowd { http, streams: Streams::default(), ledger: Ledger::default() });
    let readers = Readers::start(&site, &crowd.http, cli.seed);
    let supervisors = supervise(&site);

    let (mut found, disturbances) = storm(cli, &site, &crowd).await?;
    let operations = crowd.ledger.take();
    if let Err(error) = site.restore(crowd.http.client()).await {
        found.push(Violation { promise: "recovery", what: format!("after the last fault: {error:#}") });
        return Ok(Seen { history: None, found, disturbances });
    }
    println!("{:8.1} s  all is in order again; settling", clock.seconds());
    let mut history = History { operations, ..History::default() };
    settle(&crowd, &mut history, &mut found).await;
    history.late_retries = retry_late(&crowd, &history.operations).await;
    history.last_reads = read_all(&crowd, &site).await;
    // What nobody heard of and can't be asked for is over by then: no request outlives its deadline.
    sleep(clients::LONGEST_PATIENCE).await;
    if let Err(error) = readers.finish(head(&site).await?, &mut history).await {
        found.push(Violation { promise: "tails-arrive", what: format!("{error:#}") });
    }
    history.log = whole_log(&site).await?;
    supervisors.iter().for_each(JoinHandle::abort);
    site.stop_hosts().await?;
    found.extend(after_the_end(&site, &history).await?);
    site.postgres.stop().await?;
    Ok(Seen { history: Some(history), found, disturbances })
}

/// What the hosts' end shows: nothing is executed when it is over, and no host did what a host must not do.
async fn after_the_end(site: &Site, history: &History) -> Result<Vec<Violation>> {
    let mut found = Vec::new();
    let (events, head) = (history.log.len(), head(site).await?);
    if i64::try_from(events) != Ok(head) {
        let what = format!("the log went on from {events} to {head} when nobody wanted anything any more");
        found.push(Violation { promise: "nothing-later", what });
    }
    for (number, host) in site.hosts.iter().enumerate() {
        let told = |what: String| Violation { promise: "host", what: format!("host {number}: {what}") };
        found.extend(host.misdeeds().await.into_iter().map(told));
    }
    Ok(found)
}

fn supervise(site: &Arc<Site>) -> Vec<JoinHandle<()>> {
    let supervise = |number: usize| {
        let site = site.clone();
        tokio::spawn(async move { site.hosts[number].supervise().await })
    };
    (0..site.hosts.len()).map(supervise).collect()
}

/// Clients work while things go wrong.
async fn storm(cli: &Cli, site: &Arc<Site>, crowd: &Arc<Crowd>) -> Result<(Vec<Violation>, Vec<Disturbance>)> {
    let run = Duration::from_secs(cli.seconds.into());
    let over = CancellationToken::new();
    let planned = faults::plan(cli.seed, run, site.hosts.len(), cli.kinds());
    let clock = crowd.http.clock();
    let faults = async {
        let injected = faults::run(site, planned, clock, &over).await;
        if injected.is_err() {
            // The harness can't do what was planned: there is no point in going on.
            over.cancel();
        }
        injected
    };
    let ends = async {
        let _ = timeout(run, over.cancelled()).await;
        over.cancel();
    };
    let (injected, (), ()) = tokio::join!(faults, crowd.work(cli.seed, &over), ends);
    let injected = injected?;
    let acknowledged = crowd.ledger.acknowledged();
    let mut found = Vec::new();
    if acknowledged < LEAST_PER_SECOND * u64::from(cli.seconds) {
        let what = format!("only {acknowledged} commands were carried out in {} s", cli.seconds);
        found.push(Violation { promise: "progress", what });
    }
    Ok((found, injected))
}

/// Asks again for everything that is still unknown and may be asked for again.
async fn settle(crowd: &Crowd, history: &mut History, found: &mut Vec<Violation>) {
    let is_open = |operation: &&mut Operation| {
        let is_settled = operation.settled().is_some() || operation.surely_not_executed();
        operation.key.is_some() && operation.call != Call::Trap && !is_settled
    };
    let open: Vec<&mut Operation> = history.operations.iter_mut().filter(is_open).collect();
    println!("{} operations are open", open.len());
    let settled = stream::iter(open).map(|operation| async {
        crowd.settle(operation, SETTLE_PATIENCE).await;
        operation
            .settled()
            .is_none()
            .then(|| format!("{} is never settled: {:?}", operation.token(), operation.attempts))
    });
    let open: Vec<Option<String>> = settled.buffer_unordered(AT_ONCE).collect().await;
    found.extend(open.into_iter().flatten().map(|what| Violation { promise: "settling", what }));
}

/// Repeats requests that had their answer long ago.
async fn retry_late(crowd: &Crowd, operations: &[Operation]) -> Vec<(u64, Answer)> {
    let is_recorded = |operation: &&Operation| {
        let answer = operation.settled().map(|attempt| &attempt.answer);
        operation.key.is_some() && matches!(answer, Some(Answer::Executed { .. } | Answer::Rejected { .. }))
    };
    let recorded: Vec<&Operation> = operations.iter().filter(is_recorded).collect();
    let every = (recorded.len() / LATE_RETRIES).max(1);
    let repeated = stream::iter(recorded.into_iter().step_by(every)).map(|operation| async {
        let mut again = Operation { attempts: Vec::new(), ..operation.clone() };
        crowd.settle(&mut again, SETTLE_PATIENCE).await;
        let answers = again.attempts.into_iter().map(|attempt| attempt.answer);
        let mut telling: Vec<_> = answers.filter(|it| it.is_settling() || matches!(it, Answer::Wrong { .. })).collect();
        if telling.is_empty() {
            telling.push(Answer::Unknown { why: "never answered".to_owned() });
        }
        telling.into_iter().map(|answer| (operation.id, answer)).collect::<Vec<_>>()
    });
    let answers: Vec<Vec<(u64, Answer)>> = repeated.buffer_unordered(AT_ONCE).collect().await;
    answers.into_iter().flatten().collect()
}

/// Reads every stream at every host.
async fn read_all(crowd: &Crowd, site: &Site) -> Vec<(usize, Stream, Answer)> {
    let streams = crowd.streams.all();
    let places = streams.iter().flat_map(|stream| (0..site.hosts.len()).map(move |host| (host, stream.clone())));
    let read = stream::iter(places).map(|(host, stream)| async move {
        let call = Call::Read { stale: false };
        let (id, expected, attempts) = (crowd.ledger.next_id(), Expected::Any, Vec::new());
        let read = Operation { id, client: 0, stream: stream.clone(), call, expected, key: None, attempts };
        let answer = crowd.read_at(&read, host, SETTLE_PATIENCE).await;
        (host, stream, answer)
    });
    read.buffer_unordered(AT_ONCE).collect().await
}
