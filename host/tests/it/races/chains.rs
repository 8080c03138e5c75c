//! Commands that wait on one stream are decided upon each other before any is committed; what comes in between is found.

use std::sync::Arc;

use everfold::runtime::Engine;
use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::{Executor, Row};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{APPENDS, Gate, SOON};
use crate::support::guests::wasm;
use crate::support::host::{Answer, Client};
use crate::support::postgres::TestDatabase;
use crate::support::process::HostProcess;

/// A host as a process, for its metrics tell how many requests it has.
struct Running {
    process: Arc<HostProcess>,
    home: TempDir,
}

impl Running {
    async fn start(database: &TestDatabase, guests: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let process = HostProcess::start(home.path(), Some(&database.url()), guests).await;
        Self { process: Arc::new(process), home }
    }

    /// Sends a command, and waits until the host has one request more.
    async fn send(
        &self,
        command: (&'static str, &'static str, String),
        headers: &[(&'static str, &'static str)],
    ) -> Sent {
        let (before, headers) = (self.requests().await, headers.to_vec());
        let (process, (stream, name, body)) = (self.process.clone(), command);
        let sent = tokio::spawn(async move { process.command(stream, name, &body, &headers).await });
        let deadline = Instant::now() + SOON;
        while self.requests().await <= before {
            assert!(Instant::now() < deadline, "the command never arrives");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        sent
    }

    /// Waits until this module serves.
    async fn until_active(&self, wasm: &[u8]) {
        let digest = Value::from(Engine::digest(wasm).to_string());
        let deadline = Instant::now() + SOON;
        loop {
            let modules = self.process.get("/v1/modules").await.ok()["modules"].take();
            let modules = modules.as_array().unwrap();
            if modules.iter().any(|module| module["state"] == "active" && module["digest"] == digest) {
                return;
            }
            assert!(Instant::now() < deadline, "the module never serves: {modules:?}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// How many requests the pipeline has.
    async fn requests(&self) -> i64 {
        let metrics = self.process.get("/metrics").await.text;
        let line = metrics.lines().find_map(|line| line.strip_prefix("everfold_requests "));
        line.map_or(0, |count| count.trim().parse::<f64>().unwrap() as i64)
    }
}

type Sent = JoinHandle<Answer>;

/// A host with a stream in memory, whose next commit is held at the gate.
struct Held {
    gate: Gate,
    host: Running,
    first: Sent,
}

impl Held {
    async fn new(mut gate: Gate, host: Running, stream: &'static str, name: &'static str, body: String) -> Self {
        host.process.command(stream, name, &body, &[]).await.ok();
        gate.shut().await;
        let first = host.send((stream, name, body), &[]).await;
        gate.until_held().await;
        Self { gate, host, first }
    }

    /// Queues one more number for the counter.
    async fn add(&self, number: i64) -> Sent {
        self.host.send(("counter/c", "Add", n(number)), &[]).await
    }

    async fn let_go(mut self) -> (Gate, Running) {
        self.gate.open().await;
        self.first.await.unwrap().ok();
        (self.gate, self.host)
    }
}

fn n(n: i64) -> String {
    json!({ "n": n }).to_string()
}

/// In how many transactions the log was written.
async fn commits(gate: &mut Gate) -> i64 {
    let sql = "SELECT count(DISTINCT xmin::text) FROM everfold.event_store";
    gate.owner.fetch_one(sql).await.unwrap().get(0)
}

async fn total(host: &Client) -> i64 {
    host.get("/v1/aggregates/counter/c").await.ok()["state"]["total"].as_i64().unwrap()
}

async fn one_host() -> (Gate, Running) {
    let database = TestDatabase::new().await;
    let host = Running::start(&database, &["counter", "unruly"]).await;
    (Gate::new(&database, APPENDS).await, host)
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_wait_on_one_stream_share_a_commit() {
    let (gate, host) = one_host().await;
    let held = Held::new(gate, host, "counter/c", "Add", n(1)).await;
    let mut waiting = Vec::new();
    for _ in 0..40 {
        waiting.push(held.add(1).await);
    }
    let (mut gate, host) = held.let_go().await;
    let answers = join_all(waiting).await;
    let versions: Vec<i64> =
        answers.iter().map(|answer| answer.as_ref().unwrap().ok()["version"].as_i64().unwrap()).collect();
    assert_eq!(versions, (2..42).collect::<Vec<_>>(), "in the order in which they were queued");
    assert_eq!(total(&host.process).await, 42);
    let commits = commits(&mut gate).await;
    // Of the first, of the one that was held, and of all that waited: a chain ends where deciding takes too long.
    assert!((3..20).contains(&commits), "{commits} commits");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_that_hangs_on_what_is_not_committed_is_answered_with_it() {
    let (gate, host) = one_host().await;
    let held = Held::new(gate, host, "counter/c", "Add", n(1)).await;
    let taken = held.add(-2).await;
    let short = held.add(-1).await;
    let nothing = held.host.send(("counter/c", "Nothing", String::new()), &[]).await;
    assert!(!taken.is_finished() && !short.is_finished() && !nothing.is_finished(), "nothing is committed yet");
    held.let_go().await;
    assert_eq!(taken.await.unwrap().ok()["version"], 2);
    let problem = short.await.unwrap().problem(422, "rejected");
    assert_eq!(problem["rejection"]["details"], json!({"total": 0, "n": -1}));
    assert_eq!(nothing.await.unwrap().ok()["version"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_upon_a_replayed_command_is_decided_anew() {
    let (gate, host) = one_host().await;
    host.process.command("counter/c", "Add", &n(100), &[("idempotency-key", "k")]).await.ok();
    host.process.command("counter/c", "Add", &n(-100), &[]).await.ok();
    let held = Held::new(gate, host, "counter/c", "Add", n(1)).await;
    let again = held.host.send(("counter/c", "Add", n(100)), &[("idempotency-key", "k")]).await;
    // With the 100 that only seem to be there it could be carried out.
    let short = held.add(-50).await;
    let last = held.add(-2).await;
    let (_, host) = held.let_go().await;
    let replayed = again.await.unwrap().ok();
    assert_eq!((&replayed["version"], &replayed["replayed"]), (&0.into(), &true.into()));
    let problem = short.await.unwrap().problem(422, "rejected");
    assert_eq!(problem["rejection"]["details"], json!({"total": 2, "n": -50}));
    assert_eq!(last.await.unwrap().ok()["version"], 4);
    assert_eq!(total(&host.process).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_hosts_append_in_front_of_a_chain_has_it_decided_anew() {
    let database = TestDatabase::new().await;
    let (a, b) = (Running::start(&database, &["counter"]).await, Running::start(&database, &["counter"]).await);
    let mut held = Held::new(Gate::new(&database, APPENDS).await, a, "counter/c", "Add", n(1)).await;
    let process = b.process.clone();
    let event = r#"{"events":[{"event_type":"Added","payload":{"n":-2}}]}"#;
    let between = tokio::spawn(async move { process.append("counter/c", event, &[]).await });
    held.gate.until_queued(1).await;
    // Decided on the 2 that will be there when the held commit is over; sent only then, behind host B.
    let first = held.add(-1).await;
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(held.add(1).await);
    }
    held.let_go().await;
    let first = first.await.unwrap();
    let is_between = between.await.unwrap().ok()["version"] == 2;
    if is_between {
        let problem = first.problem(422, "rejected");
        assert_eq!(problem["rejection"]["details"], json!({"total": 0, "n": -1}), "on what host B has left");
    } else {
        // The one that waits for a lock may be overtaken by one that comes when it is given up.
        assert_eq!(first.ok()["version"], 2);
    }
    let answers = join_all(waiting).await;
    let versions: Vec<i64> =
        answers.iter().map(|answer| answer.as_ref().unwrap().ok()["version"].as_i64().unwrap()).collect();
    assert_eq!(versions, [3, 4, 5, 6, 7]);
    assert_eq!(total(&b.process).await, if is_between { 5 } else { 4 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_has_committed_events_alone() {
    let database = TestDatabase::new().await;
    let (a, b) = (Running::start(&database, &["counter"]).await, Running::start(&database, &["counter"]).await);
    a.process.command("counter/c", "Many", &n(7), &[]).await.ok();
    let mut held = Held::new(Gate::new(&database, APPENDS).await, a, "counter/c", "Add", n(1)).await;
    let process = b.process.clone();
    let event = r#"{"events":[{"event_type":"Added","payload":{"n":-9}}]}"#;
    let between = tokio::spawn(async move { process.append("counter/c", event, &[]).await });
    held.gate.until_queued(1).await;
    // The tenth event, with which a snapshot is due: on what host B leaves it is refused.
    let waiting = [held.add(-1).await, held.add(-1).await];
    let (mut gate, a) = held.let_go().await;
    let is_between = between.await.unwrap().ok()["version"] == 9;
    for answer in join_all(waiting).await {
        let answer = answer.unwrap();
        assert!(!is_between || answer.status == 422, "{}", answer.text);
    }
    // Snapshots are written in the order in which they were taken.
    a.process.command("counter/later", "Many", &n(10), &[]).await.ok();
    gate.until("the later snapshot", "SELECT count(*) > 0 FROM everfold.snapshots WHERE stream_id = 'later'").await;
    let known = "SELECT string_agg(stream_id || version, ' ' ORDER BY stream_id) FROM everfold.snapshots";
    let known: String = gate.owner.fetch_one(known).await.unwrap().get(0);
    assert_eq!(known, if is_between { "later9" } else { "c9 later9" });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demand_in_the_middle_of_a_chain_is_held_to_what_is_committed() {
    let (gate, host) = one_host().await;
    let held = Held::new(gate, host, "counter/c", "Add", n(1)).await;
    let met = held.host.send(("counter/c", "Add", n(1)), &[("expected-version", "1")]).await;
    let missed = held.host.send(("counter/c", "Add", n(1)), &[("expected-version", "1")]).await;
    let last = held.add(1).await;
    held.let_go().await;
    assert_eq!(met.await.unwrap().ok()["version"], 2);
    assert_eq!(missed.await.unwrap().problem(409, "version-conflict")["actual"], 2);
    assert_eq!(last.await.unwrap().ok()["version"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_in_the_middle_of_a_chain_costs_its_command_alone() {
    let (gate, host) = one_host().await;
    let held = Held::new(gate, host, "unruly/u", "Ok", String::new()).await;
    let before = held.host.send(("unruly/u", "Ok", String::new()), &[]).await;
    let trap = held.host.send(("unruly/u", "Trap", String::new()), &[]).await;
    let behind = held.host.send(("unruly/u", "Ok", String::new()), &[]).await;
    held.let_go().await;
    assert_eq!(before.await.unwrap().ok()["version"], 2);
    trap.await.unwrap().problem(500, "module-trapped");
    assert_eq!(behind.await.unwrap().ok()["version"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_in_the_middle_of_a_chain_loses_and_refuses_nothing() {
    let (gate, host) = one_host().await;
    let held = Held::new(gate, host, "counter/c", "Add", n(1)).await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(held.add(1).await);
    }
    let newer = held.host.home.path().join("modules/.counter.part");
    std::fs::write(&newer, wasm("counter-v2")).unwrap();
    std::fs::rename(&newer, held.host.home.path().join("modules/counter.wasm")).unwrap();
    held.host.until_active(&wasm("counter-v2")).await;
    waiting.push(held.host.send(("counter/c", "Double", String::new()), &[]).await);
    let (_, host) = held.let_go().await;
    for answer in join_all(waiting).await {
        answer.unwrap().ok();
    }
    assert_eq!(total(&host.process).await, 12);
}
