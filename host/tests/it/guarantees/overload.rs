//! More than the host can do: what is turned away is told so, and is surely not executed.

use futures_util::StreamExt;
use futures_util::future::join;
use futures_util::stream::FuturesUnordered;
use sqlx::Executor;

use super::{note, notes, owner, until};
use crate::support::host::{Setup, TestHost};
use crate::support::postgres::TestDatabase;

/// Keeps every writer waiting until the end of the transaction.
const HOLD_THE_LOG: &str = "BEGIN; SELECT FROM everfold.log_head FOR UPDATE";

/// The writer has sent a batch, and waits.
const WRITER_WAITS: &str = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                            AND application_name = 'everfold-writer' AND wait_event_type = 'Lock')";

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_queue_requests_are_turned_away_and_nothing_is_lost() {
    const QUEUE: usize = 4;
    let database = TestDatabase::new().await;
    let mut setup = Setup::new(database.options());
    setup.pipeline.queue = QUEUE;
    let host = TestHost::launch(setup, &["counter"]).await;
    let mut owner = owner(&database).await;
    owner.execute(HOLD_THE_LOG).await.unwrap();

    let host = &host;
    let send = async |n: usize| {
        let text = format!("note {n}");
        (text.clone(), host.command(&format!("counter/{n}"), "Note", &note(&text), &[]).await)
    };
    let mut commands: FuturesUnordered<_> = (0..12).map(send).collect();
    for _ in QUEUE..12 {
        let (_, answer) = commands.next().await.unwrap();
        answer.problem(429, "overloaded");
        assert_eq!(answer.retry_after.as_deref(), Some("1"));
    }
    owner.execute("COMMIT").await.unwrap();
    let mut executed = Vec::new();
    while let Some((text, answer)) = commands.next().await {
        answer.ok();
        executed.push((text, 1));
    }
    assert_eq!(executed.len(), QUEUE);
    assert_eq!(notes(&mut owner).await, executed.into_iter().collect());
    send(0).await.1.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_time_ends_in_a_queue_is_not_executed() {
    let database = TestDatabase::new().await;
    let host = TestHost::start(&database, &["counter"]).await;
    let (mut holder, mut owner) = (owner(&database).await, owner(&database).await);
    holder.execute(HOLD_THE_LOG).await.unwrap();
    let send = async |stream: &str, text: &str, timeout: &str| {
        let headers = [("everfold-timeout", timeout)];
        host.command(&format!("counter/{stream}"), "Note", &note(text), &headers).await
    };
    let late = async {
        until(&mut owner, "the first batch is out", WRITER_WAITS).await;
        // One waits behind the stream's first command, the other for the writer.
        let (lane, writer) = join(send("a", "lane", "200"), send("b", "writer", "200")).await;
        lane.problem(503, "deadline");
        writer.problem(503, "deadline");
        holder.execute("COMMIT").await.unwrap();
    };
    join(send("a", "first", "60000"), late).await.0.ok();
    for (stream, version) in [("a", 1), ("b", 0)] {
        assert_eq!(send(stream, "after", "60000").await.ok()["version"], version);
    }
    assert_eq!(notes(&mut owner).await, [("first".to_owned(), 1), ("after".to_owned(), 2)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_beyond_the_limit_is_turned_away() {
    let database = TestDatabase::new().await;
    let mut setup = Setup::new(database.options());
    setup.pipeline.max_payload_bytes = 40;
    let host = TestHost::launch(setup, &["counter"]).await;
    host.command("counter/c", "Note", &note("short"), &[]).await.ok();
    host.command("counter/c", "Note", &note(&"long".repeat(10)), &[]).await.problem(413, "too-large");
    let event = |payload: &str| format!(r#"{{"events":[{{"event_type":"Opened","payload":{payload}}}]}}"#);
    host.append("unowned/a", &event(r#""short""#), &[]).await.ok();
    host.append("unowned/a", &event(&format!("\"{}\"", "x".repeat(39))), &[]).await.problem(413, "too-large");
}
