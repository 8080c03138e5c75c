//! Connections that carry lines: answers while the body comes, clients that stall or break off, hosts that end.

use std::time::Duration;

use everfold::http::HttpOptions;
use futures_util::StreamExt;
use reqwest::{Body, Method};
use serde_json::{Value, json};
use sqlx::{Executor, Row};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{HOLD_THE_LOG, command, owner};
use crate::support::host::{Client, TestHost};
use crate::support::postgres::TestDatabase;
use crate::support::process::HostProcess;

/// How long anything may take that must happen at some time.
const SOON: Duration = Duration::from_secs(60);

/// An exchange of lines whose body is still open.
struct Exchange {
    body: mpsc::UnboundedSender<Result<String, std::io::Error>>,
    answer: mpsc::UnboundedReceiver<String>,
}

impl Exchange {
    async fn begin(host: &Client, path: &str) -> Self {
        let (body, lines) = mpsc::unbounded_channel();
        let lines = futures_util::stream::unfold(lines, |mut lines| async move { Some((lines.recv().await?, lines)) });
        let request = host.request(Method::POST, path).body(Body::wrap_stream(lines));
        let response = timeout(SOON, request.send()).await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        let (told, answer) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let (mut chunks, mut text) = (response.bytes_stream(), String::new());
            while let Some(Ok(chunk)) = chunks.next().await {
                text.push_str(std::str::from_utf8(&chunk).unwrap());
                while let Some(end) = text.find('\n') {
                    let line = text.drain(..=end).collect();
                    let _ = told.send(line);
                }
            }
        });
        Self { body, answer }
    }

    fn send(&self, line: &Value) {
        self.body.send(Ok(format!("{line}\n"))).unwrap();
    }

    /// The next line of the answer; `None` at its end.
    async fn next(&mut self) -> Option<Value> {
        let line = timeout(SOON, self.answer.recv()).await.expect("an answer in time")?;
        Some(serde_json::from_str(&line).unwrap())
    }
}

fn note(stream: &str, text: &str) -> Value {
    command(&format!("counter/{stream}"), "Note", json!({ "text": text }))
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_while_the_body_is_open() {
    let host = TestHost::start(&TestDatabase::new().await, &["counter"]).await;
    let mut exchange = Exchange::begin(&host, "/v1/commands").await;
    for line in 1..=3 {
        exchange.send(&note("c", "x"));
        let answer = exchange.next().await.unwrap();
        assert_eq!((&answer["line"], &answer["result"]["version"]), (&line.into(), &(line - 1).into()));
    }
    let mut events = Exchange::begin(&host, "/v1/events").await;
    for version in 0..3 {
        events.send(&super::event("note/n", version, "Noted", json!(1)));
        assert_eq!(events.next().await.unwrap()["position"], 4 + version);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_nothing_is_told_so_and_let_go() {
    let options = HttpOptions { idle_timeout: Duration::from_millis(300), ..HttpOptions::default() };
    let host = TestHost::with_options(&TestDatabase::new().await, &["counter"], options).await;
    let mut exchange = Exchange::begin(&host, "/v1/commands").await;
    exchange.send(&note("c", "x"));
    assert_eq!(exchange.next().await.unwrap()["status"], 200);
    // A line that is begun and not ended is nothing either.
    exchange.body.send(Ok("{".to_owned())).unwrap();
    let last = exchange.next().await.unwrap();
    assert_eq!((&last["end"], &last["through_line"]), (&"idle".into(), &1.into()));
    assert!(last["detail"].as_str().unwrap().contains("behind line 1"), "{last}");
    assert_eq!(exchange.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_ends_answers_what_it_has_and_says_so() {
    for path in ["/v1/commands", "/v1/events"] {
        let host = TestHost::start(&TestDatabase::new().await, &["counter"]).await;
        let mut exchange = Exchange::begin(&host, path).await;
        exchange.send(&match path {
            "/v1/commands" => note("c", "x"),
            _ => super::event("note/n", 0, "Noted", json!(1)),
        });
        assert_eq!(exchange.next().await.unwrap()["status"], 200);
        drop(host);
        let last = exchange.next().await.unwrap();
        assert_eq!((&last["end"], &last["through_line"]), (&"stopping".into(), &1.into()), "{path}");
        assert_eq!(exchange.next().await, None);
    }
}

/// Begins a request on a connection of its own, whose bytes are seen as they are.
async fn connect(host: &Client, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(host.url().strip_prefix("http://").unwrap()).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_does_not_read_on_while_its_answers_are_not_read() {
    const BLOCKS: usize = 512;
    const LINES: usize = 16 * 1024;
    let host = TestHost::start(&TestDatabase::new().await, &["counter"]).await;
    let (answers, mut body) = connect(&host, "/v1/commands").await.into_split();
    // Lines that are answered at once, with far more than their own bytes.
    let block = chunk(&"x\n".repeat(LINES));
    let mut sent = 0;
    // The system takes some megabytes for the host, and the host some for itself.
    while sent < BLOCKS && timeout(Duration::from_secs(3), body.write_all(&block)).await.is_ok() {
        sent += 1;
    }
    assert!(sent < BLOCKS, "the host took {} MiB without an answer being read", (sent * block.len()) >> 20);

    // What it took is answered once it is asked for, and no more: the block that stuck was sent in part.
    drop(body);
    let mut lines = BufReader::new(answers).lines();
    let mut answered = 0;
    while let Ok(Some(line)) = timeout(SOON, lines.next_line()).await.unwrap() {
        answered += usize::from(line.contains("\"line\""));
    }
    assert!(answered < (sent + 1) * LINES, "{answered} of {sent} blocks");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_leaves_a_prefix() {
    const LINES: usize = 2000;
    let database = TestDatabase::new().await;
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let host = HostProcess::start(home.path(), Some(&database.url()), &["counter"]).await;
    let mut owner = owner(&database).await;
    host.command("counter/first", "Note", r#"{"text":"first"}"#, &[]).await.ok();
    owner.execute(HOLD_THE_LOG).await.unwrap();
    let mut connection = connect(&host, "/v1/commands").await;
    let lines: String = (0..LINES).map(|n| format!("{}\n", note(&n.to_string(), &n.to_string()))).collect();
    connection.write_all(&chunk(&lines)).await.unwrap();
    // The host has begun with them.
    let mut head = [0; 15];
    connection.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    drop(connection);
    owner.execute("COMMIT").await.unwrap();
    // Its end is that of everything under way.
    host.terminate().await;

    let sql = "SELECT (payload->>'text')::bigint AS n FROM everfold.event_store WHERE stream_id <> 'first' ORDER BY n";
    let notes: Vec<i64> = owner.fetch_all(sql).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(notes.len() <= 256, "no more than may be under way: {}", notes.len());
    assert!(notes.iter().copied().eq(0..notes.len() as i64), "the first ones: {notes:?}");
}
