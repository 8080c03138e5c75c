//! Modules that misbehave fail their own commands, with a stable code, and nothing else.

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use serde_json::Value;

use super::{OPEN, log, state};
use crate::support::host::TestHost;
use crate::support::postgres::TestDatabase;

async fn host() -> TestHost {
    TestHost::start(&TestDatabase::new().await, &["unruly", "bank-account"]).await
}

/// Each way to misbehave, with the codes that it may be answered with.
const FAULTS: [(&str, &[&str]); 10] = [
    ("Trap", &["module-trapped"]),
    ("Overflow", &["module-trapped"]),
    ("Loop", &["module-deadline"]),
    ("EatMemory", &["module-memory"]),
    // Whether it's the guest's memory that ends first, or the host's patience to read, is the allocator's affair.
    ("HugeAnswer", &["module-answer-invalid", "module-memory"]),
    ("ManyEvents", &["module-answer-invalid", "module-memory"]),
    ("Garbage", &["module-answer-invalid"]),
    ("Undeclared", &["module-answer-invalid"]),
    ("TrapOnApply", &["module-trapped"]),
    ("LoopOnApply", &["module-deadline"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_has_a_code_and_costs_its_command_alone() {
    let host = host().await;
    let well = async |stream: &str, version: usize| {
        assert_eq!(host.command(stream, "Ok", "", &[]).await.ok()["version"], version, "{stream}");
        assert_eq!(state(&host, stream).await, version + 1);
    };
    well("unruly/bad", 0).await;
    well("unruly/other", 0).await;
    for (round, (command, codes)) in (1..).zip(FAULTS) {
        let answer = host.command("unruly/bad", command, "", &[("idempotency-key", command)]).await;
        let problem: Value = answer.json();
        assert_eq!(answer.status, 500, "{command}: {problem}");
        assert!(codes.iter().any(|code| problem["code"] == *code), "{command}: {problem}");
        assert_eq!(log(&host).await.len(), 2 * round, "{command} appended nothing");
        well("unruly/bad", round).await;
        well("unruly/other", round).await;
    }
    // Faults leave no receipt: a mended module may carry the command out.
    host.command("unruly/bad", "Garbage", "", &[("idempotency-key", "Garbage")]).await.problem(500, FAULTS[6].1[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_guest_loops_other_shards_answer() {
    let host = host().await;
    let host = &host;
    let send = async |stream: String, command: &'static str| (command, host.command(&stream, command, "", &[]).await);
    let mut commands = FuturesUnordered::new();
    // In `apply` a guest has seconds, and loops twice.
    commands.push(send("unruly/bad".to_owned(), "LoopOnApply"));
    commands.extend((0..32).map(|n| send(format!("unruly/{n}"), "Ok")));
    let mut before_the_end = 0;
    let mut ended = false;
    while let Some((command, answer)) = commands.next().await {
        if command == "Ok" {
            answer.ok();
            before_the_end += usize::from(!ended);
        } else {
            answer.problem(500, "module-deadline");
            ended = true;
        }
    }
    // Of two shards one loops; the other has about half of the streams.
    assert!(before_the_end > 4, "{before_the_end} of 32 were answered meanwhile");
}

#[tokio::test(flavor = "multi_thread")]
async fn poisoned_history_stops_its_stream_alone() {
    let host = host().await;
    for event_type in ["Poison", "Quicksand"] {
        let body = format!(r#"{{"events":[{{"event_type":"{event_type}","payload":{{}}}}]}}"#);
        host.append(&format!("unruly/{event_type}"), &body, &[]).await.ok();
    }
    let others = join_all((0..8).map(|n| async move { format!("unruly/{n}") })).await;
    for stream in &others {
        host.command(stream, "Ok", "", &[]).await.ok();
    }
    for (stream, code) in [("Poison", "module-trapped"), ("Quicksand", "module-deadline")] {
        for _ in 0..2 {
            host.command(&format!("unruly/{stream}"), "Ok", "", &[]).await.problem(500, code);
        }
        host.get(&format!("/v1/aggregates/unruly/{stream}")).await.problem(500, code);
        assert_eq!(host.get(&format!("/v1/streams/unruly/{stream}/events")).await.ok()["version"], 0);
    }
    for stream in &others {
        assert_eq!(host.command(stream, "Ok", "", &[]).await.ok()["version"], 1);
    }
    host.command("account/a", "Open", OPEN, &[]).await.ok();
}
