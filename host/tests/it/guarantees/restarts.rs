//! Hosts that end, in order and out of it: what was acknowledged stays, and what wasn't is known when it is repeated.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sqlx::ConnectOptions;
use tempfile::TempDir;
use tokio::time::Instant;

use super::{OPEN, SOON, add, amount, log, note, notes, owner, state, until};
use crate::support::postgres::TestDatabase;
use crate::support::process::HostProcess;
use crate::support::proxy::{Network, Proxy};

fn home() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_where_the_host_was() {
    let home = home();
    let start = || HostProcess::start(home.path(), None, &["bank-account"]);
    let deposit = async |host: &HostProcess, expected: i64| {
        let deposited = host.command("account/a", "Deposit", &amount(10), &[]).await.ok();
        assert_eq!(deposited["version"], expected);
        assert_eq!(state(host, "account/a").await, json!({"owner": "Ada", "balance": 10 * expected}));
    };
    let host = start().await;
    host.command("account/a", "Open", OPEN, &[]).await.ok();
    deposit(&host, 1).await;
    host.terminate().await;

    let host = start().await;
    deposit(&host, 2).await;
    host.kill().await;

    let host = start().await;
    deposit(&host, 3).await;
    let positions: Vec<Value> = log(&host).await.iter().map(|event| event["position"].clone()).collect();
    assert_eq!(positions, [1, 2, 3, 4]);
    host.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_postgres_takes_nothing_acknowledged_along() {
    let home = home();
    let host = HostProcess::start(home.path(), None, &["counter"]).await;
    let mut acknowledged = 0;
    for round in 0..2 {
        for n in 0..20 {
            if n == 10 {
                kill_postgres(home.path());
            }
            // Until PostgreSQL is back there is no answer but that; the key makes the repetitions one command.
            let (key, begin) = (format!("{round} {n}"), Instant::now());
            let headers = [("idempotency-key", key.as_str()), ("everfold-timeout", "3000")];
            while host.command("counter/c", "Add", &add(1), &headers).await.status != 200 {
                assert!(begin.elapsed() < SOON, "PostgreSQL doesn't come back");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            acknowledged += 1;
        }
    }
    assert_eq!((state(&host, "counter/c").await["total"].clone(), log(&host).await.len()), (acknowledged.into(), 40));
    host.terminate().await;
}

fn kill_postgres(home: &Path) {
    let file = std::fs::read_to_string(home.join("data/postgres/data/postmaster.pid")).unwrap();
    let pid = Pid::from_raw(file.lines().next().unwrap().parse().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_killed_between_commit_and_answer_left_a_receipt() {
    crash(Network::LosesAnswers, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_killed_before_the_commit_left_nothing() {
    crash(Network::LosesRequests, false).await;
}

/// Kills a host while an append is out on a network that loses something, and repeats the command at the next host.
async fn crash(network: Network, committed: bool) {
    let (database, home) = (TestDatabase::new().await, home());
    let mut owner = owner(&database).await;
    let proxy = Proxy::start(&database.options()).await;
    let url = proxy.options(&database.options()).to_url_lossy().to_string();
    let start = || HostProcess::start(home.path(), Some(&url), &["counter"]);
    let headers = [("idempotency-key", "k"), ("expected-version", "0")];
    let host = start().await;
    host.command("counter/c", "Note", &note("before"), &[]).await.ok();

    proxy.set(network);
    // The stream is resident: the first thing that goes over the network is the append.
    let request = host.request(reqwest::Method::POST, "/v1/aggregates/counter/c/commands/Note");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let answer = tokio::spawn(request.body(note("once")).send());
    proxy.silenced(1, SOON).await;
    if committed {
        until(&mut owner, "the commit", "SELECT count(*) = 2 FROM everfold.event_store").await;
    }
    host.kill().await;
    assert!(answer.await.unwrap().is_err(), "nobody heard of it");
    assert_eq!(notes(&mut owner).await.contains_key("once"), committed);

    proxy.set(Network::Up);
    let host = start().await;
    let first = host.command("counter/c", "Note", &note("once"), &headers).await.ok();
    assert_eq!((&first["replayed"], &first["version"]), (&committed.into(), &1.into()));
    let again = host.command("counter/c", "Note", &note("once"), &headers).await.ok();
    assert_eq!((&again["replayed"], &again["events"]), (&true.into(), &first["events"]));
    assert_eq!(notes(&mut owner).await["once"], 1);
    host.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_database_is_away_can_be_stopped() {
    let (database, home) = (TestDatabase::new().await, home());
    let proxy = Proxy::start(&database.options()).await;
    let url = proxy.options(&database.options()).to_url_lossy().to_string();
    let host = HostProcess::start(home.path(), Some(&url), &["counter"]).await;
    host.command("counter/c", "Many", &add(10), &[]).await.ok();
    proxy.set(Network::Down);
    proxy.cut();
    let headers = [("everfold-timeout", "300")];
    for _ in 0..2 {
        let answer = host.command("counter/c", "Many", &add(10), &headers).await;
        assert!([503, 504].contains(&answer.status), "{}", answer.text);
    }
    tokio::time::timeout(SOON, host.terminate()).await.unwrap();
}
