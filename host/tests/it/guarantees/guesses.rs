//! A stream that isn't in memory may be taken for new, without a look: no answer ever shows it.

use serde_json::json;

use super::add;
use crate::support::host::TestHost;
use crate::support::postgres::TestDatabase;
use crate::support::process::HostProcess;

/// So many streams in a row that were new have the host take the next for new; it has two shards at the most.
const LESSONS: usize = 200;

async fn teach(host: &HostProcess, aggregate_type: &str, command: &str, body: &str) {
    for stream in 0..LESSONS {
        host.command(&format!("{aggregate_type}/new-{stream}"), command, body, &[]).await.ok();
    }
}

async fn counted(host: &HostProcess, name: &str) -> u64 {
    let metrics = host.get("/metrics").await.text;
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.map_or(0, |count| count.trim().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn new_streams_are_opened_without_a_look() {
    let database = TestDatabase::new().await;
    let home = tempfile::tempdir().unwrap();
    let host = HostProcess::start(home.path(), Some(&database.url()), &["counter"]).await;
    teach(&host, "counter", "Add", &add(1)).await;
    let (folds, guesses) =
        (counted(&host, "everfold_folds_total").await, counted(&host, "everfold_guesses_total").await);
    assert_eq!(folds + guesses, LESSONS as u64);
    assert!(guesses > LESSONS as u64 / 2, "{guesses} of {LESSONS}");
    // Who says that there is none yet is believed at once.
    let (path, first) = ("unseen/stream", [("expected-version", "no-stream")]);
    host.command(path, "Add", &add(1), &first).await.problem(404, "unknown-aggregate");
    host.command("counter/first", "Add", &add(1), &first).await.ok();
    host.command("counter/new-1", "Add", &add(1), &first).await.problem(409, "version-conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_guess_is_no_answer() {
    let database = TestDatabase::new().await;
    let other = TestHost::start(&database, &["counter", "unruly"]).await;
    let home = tempfile::tempdir().unwrap();
    let host = HostProcess::start(home.path(), Some(&database.url()), &["counter", "unruly"]).await;
    teach(&host, "counter", "Add", &add(1)).await;
    teach(&host, "unruly", "Ok", "").await;
    for stream in ["a", "b", "c", "d"] {
        other.command(&format!("counter/{stream}"), "Add", &add(100), &[]).await.ok();
    }
    // What only the stream's events allow, refuse, or have happened before.
    let conflicts = counted(&host, "everfold_command_conflicts_total").await;
    assert_eq!(host.command("counter/a", "Add", &add(-60), &[]).await.ok()["version"], 1);
    assert!(counted(&host, "everfold_command_conflicts_total").await > conflicts, "it was taken for new");
    let refused = host.command("counter/b", "Add", &add(-101), &[]).await.problem(422, "rejected");
    assert_eq!(refused["rejection"]["details"], json!({"total": 100, "n": -101}));
    assert_eq!(host.command("counter/c", "Nothing", "", &[]).await.ok()["version"], 0);
    assert_eq!(host.get("/v1/aggregates/counter/a").await.ok()["state"]["total"], 40);

    // A repeated request is answered as the first one was.
    let key = [("idempotency-key", "k")];
    let first = other.command("counter/d", "Add", &add(1), &key).await.ok();
    let again = host.command("counter/d", "Add", &add(1), &key).await.ok();
    assert_eq!((&again["version"], &again["replayed"]), (&first["version"], &true.into()));

    // A guest that fails is no better or worse for it.
    host.command("unruly/never", "Trap", "", &[]).await.problem(500, "module-trapped");
    host.command("unruly/never", "Garbage", "", &[]).await.problem(500, "module-answer-invalid");
    assert_eq!(host.command("unruly/never", "Ok", "", &[]).await.ok()["version"], 0);
}
