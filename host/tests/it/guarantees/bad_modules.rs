//! Files that are no modules, modules that lie about themselves, and modules that fail in each of their calls: refused
//! with words that help, or answered with a stable code, while everything else is served as before.

use std::time::Duration;

use everfold::runtime::Engine;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{OPEN, SOON, amount, state};
use crate::support::host::{Setup, TestHost};
use crate::support::liar::liar;
use crate::support::postgres::TestDatabase;

/// A file that no host may take, with words of the reason.
struct Bad {
    name: &'static str,
    content: Vec<u8>,
    words: &'static str,
}

/// Ways to lie that are found out at loading, with words of the reason.
const LIES: [(&str, &str); 30] = [
    ("describe-traps", "failed on `describe`: the module trapped"),
    ("describe-loops", "failed on `describe`: the module didn't answer within its deadline"),
    ("describe-eats", "failed on `describe`: the module asked for"),
    ("describe-overflows", "failed on `describe`: the module trapped"),
    ("describe-differs", "answers differently on each call"),
    ("describe-many", "5000 commands; at most 1000"),
    ("describe-huge", "failed on `describe`"),
    ("describe-long", "with all schemas; at most 1048576"),
    ("no-name", "the module's name must not be empty"),
    ("bad-version", "no semantic version such as 1.1.0"),
    ("no-aggregates", "no aggregate type"),
    ("bad-aggregate", "contains '/'"),
    ("twin-aggregates", r#"aggregate type "liar" twice"#),
    ("twin-commands", r#"command "Go" twice"#),
    ("twin-events", r#"event type "Gone" twice"#),
    ("bad-command-schema", r#"command "Go" of aggregate type "liar" has a schema that can't be used"#),
    ("bad-event-schema", r#"event "Gone" of aggregate type "liar" has a schema that can't be used"#),
    ("zero-schema-version", "schema version 0; 1 is the first"),
    ("create-traps", r#"failed on `create` of aggregate type "liar": the module trapped"#),
    ("create-loops", "`create`"),
    ("create-eats", "`create`"),
    ("create-refuses", "can't be created"),
    ("state-traps", "`state`"),
    ("state-babbles", "the state is not valid JSON"),
    ("state-is-no-text", "the state is not"),
    ("state-is-huge", "larger than the host takes"),
    ("state-differs", "doesn't take back the state it answered itself"),
    ("restore-traps", "`restore`"),
    ("restore-refuses", "it may not be"),
    ("restore-forgets", "the restored state differs"),
];

fn bad_files() -> Vec<Bad> {
    let wat = |text: &str| wat::parse_str(text).unwrap();
    let honest = liar("honest");
    let native = wasmtime::Engine::default().precompile_component(&wat("(component)")).unwrap();
    let foreign = r#"(component
        (import "wasi:clocks/wall-clock@0.2.0" (instance (export "resolution" (func (result u64)))))
        (import "acme:net/http@1.2.0" (instance (export "get" (func)) (export "put" (func)))))"#;
    let bad = |name, content, words| Bad { name, content, words };
    let mut files = vec![
        bad("empty", Vec::new(), "not a WebAssembly component"),
        bad("text", b"#!/bin/sh\necho hello\n".to_vec(), "not a WebAssembly component"),
        bad("core", wat("(module)"), "everfold module componentize"),
        bad("native", native, "give the .wasm component it came from"),
        bad("cut-short", honest[..honest.len() / 2].to_vec(), "damaged or cut short"),
        bad("no-contract", wat("(component)"), "build it with the guest SDK"),
        bad(
            "other-contract",
            of_contract(&honest, "0.9.0"),
            r#"version "0.9.0" of everfold:domain; this host knows 0.1.x"#,
        ),
        bad("foreign", wat(foreign), "wasi:clocks/wall-clock@0.2.0 {resolution}; acme:net/http@1.2.0 {get, put}"),
    ];
    files.extend(LIES.map(|(way, words)| bad(way, liar(way), words)));
    files
}

/// The component as it would be for another version of the contract.
fn of_contract(component: &[u8], version: &str) -> Vec<u8> {
    let (from, to) = ("@0.1.0", format!("@{version}"));
    let mut component = component.to_vec();
    for place in 0..component.len() - from.len() {
        if component[place..].starts_with(from.as_bytes()) {
            component[place..place + from.len()].copy_from_slice(to.as_bytes());
        }
    }
    component
}

/// Uses another stream, another module and another tenant until it's told to end; answers how often.
async fn everyone_else(host: &TestHost, stream: &str, end: CancellationToken) -> usize {
    let other = [("everfold-tenant", "other")];
    host.command("account/a", "Open", OPEN, &[]).await.ok();
    host.command("account/a", "Open", OPEN, &other).await.ok();
    for round in 0.. {
        host.command(stream, "Go", "", &[]).await.ok();
        assert_eq!(host.command("account/a", "Deposit", &amount(1), &[]).await.ok()["version"], round + 1);
        assert_eq!(host.command("account/a", "Deposit", &amount(1), &other).await.ok()["version"], round + 1);
        if end.is_cancelled() {
            return round;
        }
    }
    0
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_told_why_and_the_former_module_serves_on() {
    let host = TestHost::start(&TestDatabase::new().await, &["bank-account"]).await;
    let honest = liar("honest");
    host.put_module("liar.wasm", &honest);
    host.until_active(&honest).await;

    let end = CancellationToken::new();
    let files = bad_files();
    let refused = async {
        for file in &files {
            host.put_module(&format!("{}.wasm", file.name), &file.content);
        }
        // An update of the very file that serves, too.
        host.put_module("liar.wasm", &liar("create-traps"));
        let count = files.len() + 1;
        let is_refused = |module: &&Value| module["state"] == "refused";
        host.until_modules("all are refused", |modules| modules.iter().filter(is_refused).count() == count).await;
        end.cancel();
    };
    let (rounds, ()) = tokio::join!(everyone_else(&host, "liar/l", end.clone()), refused);
    assert!(rounds > 0);

    let listed = host.get("/v1/modules").await.ok()["modules"].take();
    let listed = listed.as_array().unwrap();
    for file in &files {
        let named = format!("{}.wasm", file.name);
        let reason = listed.iter().find(|module| module["file"] == *named).unwrap()["reason"].as_str().unwrap();
        assert!(reason.contains(file.words), "{named}: {reason}");
    }
    let active: Vec<_> = listed.iter().filter(|module| module["state"] == "active").collect();
    assert_eq!(active.len(), 2, "{active:#?}");
    assert!(active.iter().any(|module| module["digest"] == Engine::digest(&honest).to_string()));
}

/// What a module does that passes the checks and then fails in one of its calls: to a command, to a read of the state.
const FAILURES: [(&str, Outcome, Outcome); 15] = [
    ("later-create-traps", Outcome::Fails("module-trapped"), Outcome::Absent),
    ("later-create-loops", Outcome::Fails("module-deadline"), Outcome::Absent),
    ("later-create-eats", Outcome::Fails("module-memory"), Outcome::Absent),
    ("later-decide-traps", Outcome::Fails("module-trapped"), Outcome::Absent),
    ("later-decide-forgets", Outcome::Fails("module-answer-invalid"), Outcome::Absent),
    ("later-decide-babbles", Outcome::Fails("module-answer-invalid"), Outcome::Absent),
    ("later-decide-misversions", Outcome::Fails("module-answer-invalid"), Outcome::Absent),
    ("later-apply-overflows", Outcome::Fails("module-trapped"), Outcome::Absent),
    ("later-apply-refuses", Outcome::Fails("module-answer-invalid"), Outcome::Absent),
    // The snapshot that is due after each event is lost, the command isn't.
    ("later-state-traps", Outcome::Well, Outcome::Fails("module-trapped")),
    ("later-state-loops", Outcome::Well, Outcome::Fails("module-deadline")),
    ("later-state-babbles", Outcome::Well, Outcome::Fails("module-answer-invalid")),
    ("later-state-is-huge", Outcome::Well, Outcome::Fails("module-answer-invalid")),
    // The events are folded instead, and who is dropped has nothing more to say.
    ("later-restore-traps", Outcome::Well, Outcome::Well),
    ("later-drop-traps", Outcome::Well, Outcome::Well),
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    Well,
    Fails(&'static str),
    /// There is nothing to read, or what there is fails as the command did.
    Absent,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_in_any_call_has_a_code_and_costs_nobody_else() {
    let database = TestDatabase::new().await;
    let mut setup = Setup::new(database.options());
    // So few residents that streams come and go: destructors run, and snapshots are restored.
    setup.pipeline.residents = std::num::NonZeroUsize::MIN.saturating_add(1);
    let host = TestHost::launch(setup, &["bank-account", "counter"]).await;
    let end = CancellationToken::new();
    let failing = async {
        for (way, command, read) in FAILURES {
            let component = liar(way);
            host.put_module("liar.wasm", &component);
            host.until_active(&component).await;
            if way == "later-apply-refuses" {
                // History that no decision of its own made: the fold meets it first.
                host.append("liar/history", r#"{"events":[{"event_type":"Gone","payload":{}}]}"#, &[]).await.ok();
                check(&host.command("liar/history", "Go", "", &[]).await, command, way);
            }
            for stream in ["a", "b", "c"] {
                let stream = format!("liar/{way}-{stream}");
                for _ in 0..2 {
                    check(&host.command(&stream, "Go", "", &[]).await, command, way);
                }
                if read != Outcome::Absent {
                    check(&host.get(&format!("/v1/aggregates/{stream}")).await, read, way);
                }
            }
        }
        end.cancel();
    };
    let others = async {
        let other = [("everfold-tenant", "other")];
        for round in 0.. {
            host.command("counter/c", "Add", &super::add(1), &[]).await.ok();
            assert_eq!(host.command("counter/c", "Add", &super::add(1), &other).await.ok()["version"], round);
            if end.is_cancelled() {
                return round + 1;
            }
        }
        0
    };
    let ((), rounds) = tokio::join!(failing, others);
    assert_eq!(state(&host, "counter/c").await["total"], rounds);

    // A mended module has the streams as they were committed.
    let honest = liar("honest");
    host.put_module("liar.wasm", &honest);
    host.until_active(&honest).await;
    assert_eq!(state(&host, "liar/later-state-traps-a").await, 2);
    assert_eq!(host.command("liar/later-decide-traps-a", "Go", "", &[]).await.ok()["version"], 0);
}

#[track_caller]
fn check(answer: &crate::support::host::Answer, expected: Outcome, way: &str) {
    let found = answer.json();
    match expected {
        Outcome::Fails(code) => assert_eq!((answer.status, &found["code"]), (500, &code.into()), "{way}: {found}"),
        Outcome::Well | Outcome::Absent => assert_eq!(answer.status, 200, "{way}: {found}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_cannot_be_told_among_others_is_told_alone() {
    let host = TestHost::start(&TestDatabase::new().await, &["bank-account"]).await;
    let crowds = liar("later-state-crowds");
    host.put_module("liar.wasm", &crowds);
    host.until_active(&crowds).await;
    // Enough that some share an instance, whichever shard they are on.
    let streams = ["a", "b", "c", "d", "e"].map(|stream| format!("liar/{stream}"));
    for stream in &streams {
        host.command(stream, "Go", "", &[]).await.ok();
    }
    for query in ["", "?at_version=0"] {
        for stream in &streams {
            let path = format!("/v1/aggregates/{stream}{query}");
            assert_eq!(host.get(&path).await.ok()["state"], 1, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_loops_whenever_it_is_loaded_delays_no_command() {
    let host = TestHost::start(&TestDatabase::new().await, &["bank-account"]).await;
    host.put_module("loops.wasm", &liar("create-loops"));
    host.command("account/a", "Open", OPEN, &[]).await.ok();
    let begin = Instant::now();
    let in_time = [("everfold-timeout", "1000")];
    loop {
        host.command("account/a", "Deposit", &amount(1), &in_time).await.ok();
        let listed = host.get("/v1/modules").await.ok();
        if listed["modules"].as_array().unwrap().iter().any(|module| module["state"] == "refused") {
            return;
        }
        assert!(begin.elapsed() < SOON, "{listed}");
        sleep(Duration::from_millis(50)).await;
    }
}
