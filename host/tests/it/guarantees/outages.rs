//! Connections to PostgreSQL that break: every command is answered in time and truly, and none is run twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use reqwest::Method;
use sqlx::postgres::PgConnection;
use tokio::time::{Instant, sleep};

use super::{SOON, note, notes, owner, state};
use crate::support::host::{Answer, Setup, TestHost};
use crate::support::postgres::TestDatabase;
use crate::support::proxy::{Network, Proxy};

/// A host that reaches its database through a network that fails on demand; `owner` has a network of its own.
struct Remote {
    _database: TestDatabase,
    owner: PgConnection,
    proxy: Proxy,
    host: TestHost,
}

impl Remote {
    /// The streams `counter/0` to `counter/7` are resident: a command's first word to PostgreSQL is its append.
    async fn new() -> Self {
        let database = TestDatabase::new().await;
        let proxy = Proxy::start(&database.options()).await;
        let mut setup = Setup::new(proxy.options(&database.options()));
        setup.writer.batch_timeout = Duration::from_secs(1);
        setup.writer.reconnect_pause = Duration::from_millis(50);
        let host = TestHost::launch(setup, &["counter"]).await;
        let owner = owner(&database).await;
        let remote = Self { _database: database, owner, proxy, host };
        join_all((0..8).map(|stream| remote.note(stream, "warm", "60000")))
            .await
            .iter()
            .for_each(|warm| drop(warm.ok()));
        remote
    }

    /// Notes a text in a stream, and has that many milliseconds. What begins with `key` has its text as key.
    async fn note(&self, stream: usize, text: &str, timeout: &str) -> Answer {
        let headers = [("everfold-timeout", timeout), ("idempotency-key", text)];
        let headers = &headers[..if text.starts_with("key") { 2 } else { 1 }];
        self.host.command(&format!("counter/{stream}"), "Note", &note(text), headers).await
    }

    /// The network works again; connections that lost something are gone.
    fn mend(&self) {
        self.proxy.set(Network::Up);
        self.proxy.cut();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_are_out_when_the_connection_breaks_are_settled() {
    for network in [Network::LosesAnswers, Network::LosesRequests] {
        // It is mostly the first one alone that is out, so each kind has its turn to be that.
        for kinds in [["key", "none"], ["none", "key"]] {
            let mut remote = Remote::new().await;
            let texts: Vec<String> = (0..8).map(|n| format!("{} {n}", kinds[n % 2])).collect();
            remote.proxy.set(network);
            let commands = join_all(texts.iter().enumerate().map(|(stream, text)| remote.note(stream, text, "60000")));
            let outage = async {
                remote.proxy.silenced(1, SOON).await;
                remote.mend();
            };
            for (stream, answer) in join(commands, outage).await.0.iter().enumerate() {
                assert_eq!(answer.ok()["version"], 1, "{network:?}");
                assert_eq!(state(&remote.host, &format!("counter/{stream}")).await["note"], texts[stream].as_str());
            }
            let notes = notes(&mut remote.owner).await;
            assert!(texts.iter().all(|text| notes[text] == 1), "{network:?}: {notes:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_settled_in_time_is_unknown_and_not_run_later() {
    for (network, committed) in [(Network::LosesAnswers, 1), (Network::LosesRequests, 0)] {
        for text in ["key", "none"] {
            let mut remote = Remote::new().await;
            remote.proxy.set(network);
            let behind = async {
                remote.proxy.silenced(1, SOON).await;
                join(remote.note(0, "lane", "300"), remote.note(1, "writer", "300")).await
            };
            let (out, (lane, writer)) = join(remote.note(0, text, "1500"), behind).await;
            lane.problem(503, "deadline");
            writer.problem(503, "deadline");
            out.problem(504, "outcome-unknown");
            remote.mend();

            remote.note(1, "after", "60000").await.ok();
            let known = notes(&mut remote.owner).await;
            let times = |text: &str| known.get(text).copied().unwrap_or(0);
            assert_eq!((times(text), times("lane"), times("writer")), (committed, 0, 0), "{network:?}");
            if text == "key" {
                let again = remote.note(0, "key", "60000").await.ok();
                assert_eq!((&again["replayed"], &again["version"]), (&(committed == 1).into(), &1.into()));
                assert_eq!(notes(&mut remote.owner).await["key"], 1);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_said_so_until_it_is_back() {
    let mut remote = Remote::new().await;
    let host = &remote.host;
    remote.proxy.set(Network::Down);
    remote.proxy.cut();
    let is_away = |answer: &Answer| {
        let code = answer.json()["code"].clone();
        assert_eq!(answer.status, 503, "{}", answer.text);
        assert!(code == "database-unavailable" || code == "deadline", "{}", answer.text);
    };
    assert_eq!(host.get("/v1/aggregates/counter/0?stale=ok").await.ok()["state"]["note"], "warm", "from memory");
    // The first append meets the connection's end: for all that the host knows, it may have got through.
    let first = remote.note(0, "away", "500").await;
    assert!(first.status == 503 || first.json()["code"] == "outcome-unknown", "{}", first.text);
    for stream in [0, 1, 9] {
        is_away(&remote.note(stream, "away", "500").await);
    }
    let timeout = [("everfold-timeout", "500"), ("idempotency-key", "dance")];
    host.command("counter/5", "Dance", "", &timeout[..1]).await.problem(404, "unknown-command");
    // It may have been one when the key was first used, and carried out.
    host.command("counter/5", "Dance", "", &timeout).await.problem(504, "outcome-unknown");
    for path in ["/v1/aggregates/counter/1", "/v1/streams/counter/1/events", "/v1/events", "/v1/streams"] {
        is_away(&host.send(Method::GET, path, &timeout[..1], "").await);
    }
    host.get("/readyz").await.problem(503, "not-ready");
    host.get("/healthz").await.ok();

    remote.mend();
    let begin = Instant::now();
    while remote.note(0, "back", "1000").await.status != 200 {
        assert!(begin.elapsed() < SOON, "the host doesn't come back");
    }
    assert_eq!(state(host, "counter/0").await["note"], "back");
    assert!(!notes(&mut remote.owner).await.contains_key("away"));
}

/// What one command came to, over all its repetitions.
struct Sent {
    text: String,
    least: i64,
    most: i64,
    was_unknown: bool,
}

/// Sends commands until the outages are over. With a key each is repeated until it succeeds.
async fn client(remote: &Remote, number: usize, over: &AtomicBool) -> Vec<Sent> {
    let mut sent = Vec::new();
    for n in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let keyed = number.is_multiple_of(2);
        let text = format!("{} {number} {n}", if keyed { "key" } else { "none" });
        let (begin, mut was_unknown) = (Instant::now(), false);
        let (least, most) = loop {
            let answer = remote.note((number + n) % 8, &text, "400").await;
            let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
            let times = match (answer.status, code.as_str()) {
                (200, _) => (1, 1),
                (503, "deadline" | "database-unavailable") => (0, 0),
                (504, "outcome-unknown") => (0, 1),
                _ => panic!("{text}: {}", answer.text),
            };
            was_unknown |= times == (0, 1);
            if !keyed || times.0 == 1 {
                break times;
            }
            assert!(begin.elapsed() < SOON, "{text}: {}", answer.text);
        };
        sent.push(Sent { text, least, most, was_unknown });
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_a_failing_network_loses_and_repeats_nothing() {
    let mut remote = Remote::new().await;
    let over = AtomicBool::new(false);
    let outages = async {
        for _ in 0..3 {
            for network in [Network::LosesAnswers, Network::LosesRequests, Network::Down] {
                remote.proxy.set(network);
                if network == Network::Down {
                    remote.proxy.cut();
                }
                // Longer than the commands have.
                sleep(Duration::from_millis(600)).await;
                remote.mend();
                // Long enough for some to get through.
                sleep(Duration::from_millis(400)).await;
            }
        }
        over.store(true, Ordering::Relaxed);
    };
    let clients = join_all((0..8).map(|number| client(&remote, number, &over)));
    let sent: Vec<Sent> = join(clients, outages).await.0.into_iter().flatten().collect();
    remote.note(0, "after", "60000").await.ok();

    let known = notes(&mut remote.owner).await;
    for Sent { text, least, most, .. } in &sent {
        let times = known.get(text).copied().unwrap_or(0);
        assert!((*least..=*most).contains(&times), "{text}: {times} times, not {least} to {most}");
    }
    assert!(sent.iter().filter(|sent| sent.least == 1).count() > 8, "some succeeded");
    assert!(sent.iter().any(|sent| sent.was_unknown), "and some were out when the network failed");
}
