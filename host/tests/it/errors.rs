//! Every problem code there is, provoked over HTTP: its document is complete, and `docs/errors.md` explains it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use everfold::http::HttpOptions;
use futures_util::FutureExt;
use futures_util::future::select;
use reqwest::Method;
use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions, Executor, Row};

use crate::support::guests::wasm;
use crate::support::host::{Answer, Setup, TestHost};
use crate::support::postgres::TestDatabase;
use crate::support::proxy::{Network, Proxy};

const OPEN: &str = r#"{"owner":"Ada"}"#;

/// Every writer waits until the end of the transaction.
const HOLD_THE_LOG: &str = "BEGIN; SELECT FROM everfold.log_head FOR UPDATE";

/// One test for each code: the answer that the block gives must be that problem. All codes are in `PROVOKED`.
macro_rules! provoked {
    ($($(#[$doc:meta])* $name:ident: $status:literal $code:literal $provoke:block)*) => {
        $(
            $(#[$doc])*
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let answer: Answer = async $provoke.await;
                check(&answer, $status, $code);
            }
        )*

        const PROVOKED: &[&str] = &[$($code),*];
    };
}

/// What every problem document has, and no answer leaves open: what was wrong and what to do.
#[track_caller]
fn check(answer: &Answer, status: u16, code: &str) {
    let problem = answer.problem(status, code);
    let text = |member: &str| problem[member].as_str().unwrap_or_else(|| panic!("no {member}: {problem}")).to_owned();
    assert_eq!(text("type"), format!("urn:everfold:problem:{code}"));
    assert_eq!(problem["status"], status);
    assert!(!text("title").is_empty() && text("detail").len() > 10, "{problem}");
    assert_ne!(text("title"), text("detail"), "{problem}");
    let entry = entries().into_iter().find(|entry| entry.code == code).unwrap_or_else(|| panic!("{code}: no entry"));
    assert!(entry.statuses.contains(&status), "{code}: {:?} in docs/errors.md", entry.statuses);
    assert_eq!(answer.retry_after.is_some(), entry.retry_after, "{code}: Retry-After");
}

provoked! {
    a_faulty_body: 400 "invalid" {
        let host = host(&["bank-account"]).await;
        let answer = host.command("account/a", "Deposit", r#"{"amount":-1}"#, &[]).await;
        assert_eq!(answer.json()["pointer"], "/amount");
        answer
    }
    an_aggregate_type_that_no_module_has: 404 "unknown-aggregate" {
        host(&["bank-account"]).await.command("acount/a", "Open", OPEN, &[]).await
    }
    a_command_that_the_type_does_not_have: 404 "unknown-command" {
        host(&["bank-account"]).await.command("account/a", "Dance", "", &[]).await
    }
    a_stream_without_events: 404 "stream-not-found" {
        host(&["bank-account"]).await.get("/v1/aggregates/account/nobody").await
    }
    a_path_that_leads_nowhere: 404 "not-found" { host(&[]).await.get("/v1/acounts").await }
    a_method_that_the_path_does_not_have: 405 "method-not-allowed" {
        host(&[]).await.send(Method::DELETE, "/v1/events", &[], "").await
    }
    a_version_that_is_not_the_streams: 409 "version-conflict" {
        host(&["bank-account"]).await.command("account/a", "Open", OPEN, &[("expected-version", "3")]).await
    }
    a_precondition_that_does_not_hold: 412 "version-conflict" {
        host(&["bank-account"]).await.command("account/a", "Open", OPEN, &[("if-match", "\"3\"")]).await
    }
    a_cursor_of_another_log: 410 "log-epoch-changed" { host(&[]).await.get("/v1/events?after=1-1").await }
    a_body_beyond_the_limit: 413 "too-large" {
        let options = HttpOptions { max_body_bytes: 100, ..HttpOptions::default() };
        let host = TestHost::with_options(&TestDatabase::new().await, &[], options).await;
        host.append("a/b", &format!("[{}]", "1,".repeat(100)), &[]).await
    }
    a_body_that_is_no_json_by_its_own_word: 415 "unsupported-media-type" {
        host(&[]).await.append("a/b", "<a/>", &[("content-type", "text/xml")]).await
    }
    what_the_domain_refuses: 422 "rejected" {
        let host = host(&["bank-account"]).await;
        host.command("account/a", "Open", OPEN, &[]).await.ok();
        host.command("account/a", "Withdraw", r#"{"amount":5}"#, &[]).await
    }
    a_key_of_another_request: 422 "idempotency-key-reused" {
        let host = host(&["bank-account"]).await;
        let key = [("idempotency-key", "k")];
        host.command("account/a", "Open", OPEN, &key).await.ok();
        host.command("account/b", "Open", OPEN, &key).await
    }
    more_than_the_host_can_queue: 429 "overloaded" {
        while_the_log_is_held(|setup| setup.pipeline.queue = 1, async |host| {
            host.command("counter/b", "Add", r#"{"n":1}"#, &[]).await
        }).await
    }
    time_that_ends_in_a_queue: 503 "deadline" {
        while_the_log_is_held(|_| {}, async |host| {
            host.command("counter/a", "Add", r#"{"n":1}"#, &[("everfold-timeout", "200")]).await
        }).await
    }
    time_that_ends_while_a_commit_is_out: 504 "outcome-unknown" {
        let database = TestDatabase::new().await;
        let host = TestHost::start(&database, &["counter"]).await;
        let _held = hold_the_log(&database).await;
        host.command("counter/a", "Add", r#"{"n":1}"#, &[("everfold-timeout", "500")]).await
    }
    a_database_that_is_away: 503 "database-unavailable" {
        let database = TestDatabase::new().await;
        let proxy = Proxy::start(&database.options()).await;
        let host = TestHost::launch(Setup::new(proxy.options(&database.options())), &[]).await;
        proxy.set(Network::Down);
        proxy.cut();
        host.send(Method::GET, "/v1/streams", &[("everfold-timeout", "60000")], "").await
    }
    a_host_without_its_tables: 503 "not-ready" {
        let database = TestDatabase::new().await;
        owner(&database).await.execute("DROP TABLE everfold.migrations").await.unwrap();
        TestHost::start(&database, &[]).await.get("/readyz").await
    }
    a_module_that_traps: 500 "module-trapped" { unruly("Trap").await }
    a_module_that_loops: 500 "module-deadline" { unruly("Loop").await }
    a_module_that_eats_memory: 500 "module-memory" { unruly("EatMemory").await }
    a_module_that_answers_nonsense: 500 "module-answer-invalid" { unruly("Garbage").await }
    a_stream_that_its_module_failed_on_again_and_again: 500 "module-quarantined" {
        let host = host(&["unruly"]).await;
        loop {
            let answer = host.command("unruly/a", "Trap", "", &[]).await;
            if answer.json()["code"] != "module-trapped" {
                break answer;
            }
        }
    }
    an_event_that_the_module_does_not_know: 500 "unfoldable-event" {
        let host = host(&[]).await;
        let mystery = r#"{"events":[{"event_type":"Mystery","payload":{}}]}"#;
        host.append("counter/a", mystery, &[]).await.ok();
        host.put_module("counter.wasm", &wasm("counter"));
        host.until_active(&wasm("counter")).await;
        host.command("counter/a", "Add", r#"{"n":1}"#, &[]).await
    }
    a_fault_of_the_host: 500 "internal" {
        let database = TestDatabase::new().await;
        let host = TestHost::start(&database, &[]).await;
        owner(&database).await.execute("ALTER TABLE everfold.event_store RENAME TO elsewhere").await.unwrap();
        host.get("/v1/events").await
    }
}

#[test]
fn every_code_is_provoked_and_explained() {
    let codes: BTreeSet<_> = everfold::http::problem::Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(PROVOKED.iter().copied().collect::<BTreeSet<_>>(), codes, "by a test of this file");
    let entries = entries();
    assert_eq!(entries.iter().map(|entry| entry.code.as_str()).collect::<BTreeSet<_>>(), codes, "in docs/errors.md");
    assert_eq!(entries.len(), codes.len(), "one entry for each");
}

async fn host(guests: &[&str]) -> TestHost {
    TestHost::start(&TestDatabase::new().await, guests).await
}

async fn unruly(command: &str) -> Answer {
    host(&["unruly"]).await.command("unruly/a", command, "", &[]).await
}

async fn owner(database: &TestDatabase) -> PgConnection {
    database.options().connect().await.unwrap()
}

/// Nothing is committed until the connection is dropped.
async fn hold_the_log(database: &TestDatabase) -> PgConnection {
    let mut holder = owner(database).await;
    holder.execute(HOLD_THE_LOG).await.unwrap();
    holder
}

/// The answer to what is asked while one command, `counter/a`, waits for its commit.
async fn while_the_log_is_held(set: impl FnOnce(&mut Setup), ask: impl AsyncFnOnce(&TestHost) -> Answer) -> Answer {
    let database = TestDatabase::new().await;
    let mut setup = Setup::new(database.options());
    set(&mut setup);
    let host = &TestHost::launch(setup, &["counter"]).await;
    let (mut observer, _held) = (owner(&database).await, hold_the_log(&database).await);
    let out = async { host.command("counter/a", "Add", r#"{"n":1}"#, &[("everfold-timeout", "60000")]).await };
    let asked = async {
        let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                     AND application_name = 'everfold-writer' AND wait_event_type = 'Lock')";
        while !observer.fetch_one(waits).await.unwrap().get::<bool, _>(0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        ask(host).await
    };
    select(asked.boxed_local(), out.boxed_local()).await.factor_first().0
}

/// An entry of `docs/errors.md`.
struct Entry {
    code: String,
    statuses: Vec<u16>,
    retry_after: bool,
}

/// The entries: a heading with the code, then a line with the statuses.
fn entries() -> Vec<Entry> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
    let page = std::fs::read_to_string(path).unwrap();
    let entry = |section: &str| {
        let (code, rest) = section.split_once("`\n\n").expect("a heading is a code");
        let facts = rest.lines().next().unwrap();
        let (statuses, _) = facts.strip_prefix("**").and_then(|facts| facts.split_once("**")).expect("a status");
        let statuses = statuses.split(", ").map(|status| status.parse().unwrap()).collect();
        Entry { code: code.to_owned(), statuses, retry_after: facts.contains("Retry-After") }
    };
    page.split("\n## `").skip(1).map(entry).collect()
}
