//! A module with a virtual WASI on whole hosts: they fold the same, and what it can't have fails its command alone.

use std::collections::BTreeSet;

use everfold::runtime::{Engine, EngineOptions, WasiPolicy};

use super::state;
use crate::support::guests::wasm;
use crate::support::host::{Setup, TestHost};
use crate::support::postgres::TestDatabase;

async fn host(database: &TestDatabase) -> TestHost {
    let wasi = WasiPolicy::Modules(BTreeSet::from(["wasi-probe".to_owned()]));
    let engine = Engine::new(EngineOptions { max_instances: 16, wasi, ..EngineOptions::default() }).unwrap();
    TestHost::launch(Setup { engine, ..Setup::new(database.options()) }, &["wasi-probe", "bank-account"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_fold_the_same_and_a_wait_is_a_trap() {
    let database = TestDatabase::new().await;
    let (a, b) = (host(&database).await, host(&database).await);
    for _ in 0..3 {
        a.command("probe/p", "Look", "", &[]).await.ok();
        b.command("probe/p", "Print", "", &[]).await.ok();
    }
    let events = a.get("/v1/streams/probe/p/events").await.ok()["events"].take();
    let payloads: BTreeSet<_> = events.as_array().unwrap().iter().map(|event| event["payload"].to_string()).collect();
    assert_eq!((events.as_array().unwrap().len(), payloads.len()), (6, 1), "{payloads:#?}");
    assert_eq!(state(&a, "probe/p").await, state(&b, "probe/p").await);

    for command in ["Sleep", "Poll", "Connect", "Exit"] {
        a.command("probe/p", command, "", &[]).await.problem(500, "module-trapped");
        a.command("probe/other", "Look", "", &[]).await.ok();
        a.command("account/a", "Deposit", r#"{"amount":1}"#, &[]).await.problem(422, "rejected");
    }
    assert_eq!(state(&a, "probe/p").await["events"], 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_is_not_allowed_is_listed_with_the_way_out() {
    let host = TestHost::start(&TestDatabase::new().await, &["bank-account"]).await;
    host.put_module("probe.wasm", &wasm("wasi-probe"));
    host.until_modules("it is refused by name", |modules| {
        let reason = |module: &serde_json::Value| module["reason"].as_str().unwrap_or_default().to_owned();
        let refused = modules.iter().find(|module| module["state"] == "refused").map(reason).unwrap_or_default();
        refused.contains("wasi:random/random@0.2.0") && refused.contains("`wasi_modules`")
    })
    .await;
    host.command("probe/p", "Look", "", &[]).await.problem(404, "unknown-aggregate");
}
