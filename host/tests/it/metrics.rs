//! `/metrics`: what a real host counts, after things were done whose number is known.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::{Duration, Instant, sleep};

use crate::support::guests::wasm;
use crate::support::postgres::TestDatabase;
use crate::support::process::HostProcess;

/// Every line of a scrape: name with labels, and its number.
struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    async fn of(host: &HostProcess) -> Self {
        let answer = host.get("/metrics").await;
        assert_eq!((answer.status, answer.content_type.as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"));
        let lines = answer.text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(
            lines
                .map(|line| {
                    let (name, value) = line.rsplit_once(' ').unwrap();
                    (name.to_owned(), value.parse().unwrap())
                })
                .collect(),
        )
    }

    /// The value; 0 where there is no such line yet.
    fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }

    /// The sum over all labels.
    fn sum(&self, name: &str) -> f64 {
        let labelled = format!("{name}{{");
        self.0.iter().filter(|(key, _)| *key == name || key.starts_with(&labelled)).map(|(_, value)| value).sum()
    }
}

struct Measured {
    home: TempDir,
    host: HostProcess,
    _database: TestDatabase,
}

async fn host(guests: &[&str]) -> Measured {
    let database = TestDatabase::new().await;
    let home = tempfile::tempdir().unwrap();
    let host = HostProcess::start(home.path(), Some(&database.url()), guests).await;
    Measured { home, host, _database: database }
}

fn commands(aggregate_type: &str, outcome: &str) -> String {
    format!("everfold_commands_total{{aggregate_type=\"{aggregate_type}\",outcome=\"{outcome}\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_move_by_what_was_done() {
    let Measured { host, .. } = host(&["bank-account", "counter"]).await;
    let before = Scrape::of(&host).await;
    assert_eq!(before.get(&format!("everfold_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))), 1.0);
    assert_eq!(before.get("everfold_writer_batches_total"), 0.0);
    assert!(before.0.contains_key("everfold_resident_evictions_total"), "what never happened is shown as 0");

    host.command("account/a", "Open", r#"{"owner":"Ada"}"#, &[]).await.ok();
    for _ in 0..3 {
        host.command("account/a", "Deposit", r#"{"amount":5}"#, &[("idempotency-key", "k")]).await.ok();
    }
    host.command("account/a", "Withdraw", r#"{"amount":500}"#, &[]).await.problem(422, "rejected");
    host.command("account/a", "Dance", "{}", &[]).await.problem(404, "unknown-command");
    host.command("account/a", "Deposit", r#"{"amount":5}"#, &[("expected-version", "9")])
        .await
        .problem(409, "version-conflict");
    for n in 0..20 {
        host.command(&format!("made-up-{n}/a"), "Dance", "{}", &[]).await.problem(404, "unknown-aggregate");
    }
    let raw = json!({"events": [{"event_type": "A", "payload": {}}, {"event_type": "B", "payload": {}}]}).to_string();
    host.append("unowned/a", &raw, &[]).await.ok();
    host.get("/v1/aggregates/account/a").await.ok();
    host.get("/v1/aggregates/account/nobody").await.problem(404, "stream-not-found");

    let after = Scrape::of(&host).await;
    for (outcome, count) in [("ok", 4.0), ("rejected", 1.0), ("unknown-command", 1.0), ("version-conflict", 1.0)] {
        assert_eq!(after.get(&commands("account", outcome)), count, "{outcome}");
    }
    assert_eq!(after.get(&commands("", "unknown-aggregate")), 20.0, "names that callers invent make no metrics");
    assert_eq!(after.sum("everfold_commands_total"), 27.0);
    assert_eq!(after.get("everfold_command_seconds_count"), 27.0);
    assert_eq!(after.get("everfold_raw_appends_total{outcome=\"ok\"}"), 1.0);
    assert_eq!(after.get("everfold_state_reads_total{outcome=\"ok\"}"), 1.0);
    assert_eq!(after.get("everfold_state_reads_total{outcome=\"stream-not-found\"}"), 1.0);
    assert_eq!(after.get("everfold_receipts_replayed_total"), 2.0);
    for (outcome, count) in [("appended", 3.0), ("confirmed", 1.0), ("replayed", 2.0), ("conflict", 1.0)] {
        assert_eq!(after.get(&format!("everfold_appends_total{{outcome=\"{outcome}\"}}")), count, "{outcome}");
    }
    assert_eq!(after.get("everfold_events_appended_total"), 4.0);
    assert_eq!(after.get("everfold_log_head_position"), 4.0);
    assert_eq!(after.get("everfold_writer_batches_total"), 7.0, "one after the other, each is a statement");
    assert_eq!(after.get("everfold_writer_batch_events_sum"), 7.0, "those that were replayed too");
    assert_eq!(after.get("everfold_writer_commit_seconds_count"), 7.0);
    assert_eq!(after.get("everfold_guest_seconds_count{call=\"decide\"}"), 6.0);
    let route = "/v1/aggregates/{type}/{id}/commands/{command}";
    let requests =
        |status| format!("everfold_http_requests_total{{method=\"POST\",route=\"{route}\",status=\"{status}\"}}");
    assert_eq!((after.get(&requests(200)), after.get(&requests(404))), (4.0, 21.0));
    // At rest nothing is under way but this scrape.
    for gauge in ["everfold_requests", "everfold_writer_waiting"] {
        assert_eq!(after.get(gauge), 0.0, "{gauge}");
    }
    assert_eq!(after.get("everfold_http_requests_in_flight"), 1.0);
    assert_eq!((after.get("everfold_database_up"), after.get("everfold_writer_connected")), (1.0, 1.0));
    assert!(after.get("everfold_guest_instances") >= 1.0 && after.get("everfold_guest_memory_bytes") > 65_536.0);
    assert!(after.get("process_resident_memory_bytes") > 1e6 && after.get("process_open_fds") > 3.0);
    host.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_swaps_and_refusals_are_counted() {
    let Measured { host, home, .. } = host(&["unruly", "counter"]).await;
    host.command("unruly/a", "Trap", "{}", &[]).await.problem(500, "module-trapped");
    let scrape = Scrape::of(&host).await;
    assert_eq!(scrape.get("everfold_guest_faults_total{module=\"unruly\",kind=\"trapped\"}"), 2.0, "once more, alone");
    assert_eq!(scrape.get("everfold_command_retries_total"), 1.0);
    assert_eq!(scrape.get(&commands("unruly", "module-trapped")), 1.0);
    assert_eq!(scrape.get("everfold_module_swaps_total"), 1.0);
    assert_eq!(scrape.get("everfold_module_refusals_total"), 0.0);

    let put = |file: &str, content: &[u8]| {
        let hidden = home.path().join(format!("modules/.{file}.part"));
        std::fs::write(&hidden, content).unwrap();
        std::fs::rename(hidden, home.path().join("modules").join(file)).unwrap();
    };
    put("bad.wasm", b"\0asm\x01\0\0\0");
    put("counter.wasm", &wasm("counter-v2"));
    let begin = Instant::now();
    loop {
        let scrape = Scrape::of(&host).await;
        let moved = scrape.get("everfold_module_swaps_total") + scrape.get("everfold_module_refusals_total");
        if moved >= 3.0 {
            assert_eq!(moved, 3.0);
            assert_eq!(scrape.get("everfold_module_files{state=\"refused\"}"), 1.0);
            assert_eq!(scrape.get("everfold_module_files{state=\"active\"}"), 2.0);
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "the modules were looked at");
        sleep(Duration::from_millis(50)).await;
    }
    host.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_nothing_is_counted_twice() {
    let Measured { host, .. } = host(&["counter"]).await;
    let host_ref = &host;
    let send = |n: usize| async move { host_ref.command(&format!("counter/{n}"), "Add", r#"{"n":1}"#, &[]).await.ok() };
    for _ in 0..4 {
        join_all((0..50).map(send)).await;
    }
    let after = Scrape::of(&host).await;
    assert_eq!(after.get(&commands("counter", "ok")), 200.0);
    assert_eq!(after.get("everfold_appends_total{outcome=\"appended\"}"), 200.0);
    assert_eq!(after.get("everfold_writer_batch_appends_sum"), 200.0);
    assert!(after.get("everfold_writer_batches_total") < 200.0, "commits are shared");
    assert_eq!(after.get("everfold_residents"), 50.0);
    assert_eq!(after.get("everfold_guest_aggregates"), 50.0);
    assert_eq!((after.get("everfold_requests"), after.sum("everfold_shard_requests")), (0.0, 0.0));
    for stage in ["queue", "decide", "append"] {
        assert_eq!(after.get(&format!("everfold_command_stage_seconds_count{{stage=\"{stage}\"}}")), 200.0, "{stage}");
    }
    assert_eq!(after.get("everfold_command_stage_seconds_count{stage=\"fold\"}"), 50.0);
    host.terminate().await;
}
