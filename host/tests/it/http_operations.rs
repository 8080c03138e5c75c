//! The rest of the HTTP API: health, modules, event types, and what is answered where no route is.

use everfold::http::HttpOptions;
use reqwest::Method;
use serde_json::json;

use crate::support::host::TestHost;
use crate::support::postgres::TestDatabase;

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_all_it_needs_is_ready() {
    let host = TestHost::start(&TestDatabase::new().await, &[]).await;
    assert_eq!(host.get("/healthz").await.ok(), json!({"status": "ok"}));
    let checks = ["database", "schema", "modules"].map(|name| json!({"name": name, "state": "ok"}));
    assert_eq!(host.get("/readyz").await.ok(), json!({"status": "ok", "checks": checks}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_its_tables_is_alive_but_not_ready() {
    let database = TestDatabase::new().await;
    let mut connection = sqlx::ConnectOptions::connect(&database.options()).await.unwrap();
    sqlx::Executor::execute(&mut connection, "DROP TABLE everfold.migrations").await.unwrap();
    let host = TestHost::start(&database, &[]).await;
    host.get("/healthz").await.ok();
    let problem = host.get("/readyz").await.problem(503, "not-ready");
    assert_eq!((&problem["check"], &problem["checks"][0]["state"]), (&"schema".into(), &"ok".into()));
    assert!(problem["detail"].as_str().unwrap().contains("everfold migrate"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_server_takes_no_writes_is_not_ready() {
    let database = TestDatabase::new().await;
    let host = TestHost::start(&database, &[]).await;
    host.get("/readyz").await.ok();
    let mut owner = sqlx::ConnectOptions::connect(&database.options()).await.unwrap();
    let read_only = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on',
                     current_database()); END $$";
    sqlx::Executor::execute(&mut owner, read_only).await.unwrap();
    // Its sessions of before don't know yet.
    let host = TestHost::start(&database, &[]).await;
    let problem = host.get("/readyz").await.problem(503, "not-ready");
    assert_eq!((&problem["check"], &problem["checks"][1]["state"]), (&"database".into(), &"skipped".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_module_is_told_and_makes_unready_only_where_that_is_set() {
    let database = TestDatabase::new().await;
    for all_needed in [false, true] {
        let options = HttpOptions { ready_needs_all_modules: all_needed, ..HttpOptions::default() };
        let host = TestHost::with_options(&database, &["counter"], options).await;
        host.put_module("bad.wasm", b"\0asm\x01\0\0\0");
        host.until_modules("it is refused", |modules| modules.iter().any(|module| module["state"] == "refused")).await;
        let answer = host.get("/readyz").await;
        assert_eq!(answer.status, if all_needed { 503 } else { 200 }, "{}", answer.text);
        let check = &answer.json()["checks"][2];
        assert_eq!(check["state"], if all_needed { "failing" } else { "warning" });
        assert!(check["detail"].as_str().unwrap().contains("bad.wasm"), "{check}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_and_recorded_event_types_are_listed() {
    let host = TestHost::start(&TestDatabase::new().await, &["bank-account", "counter"]).await;
    let modules = host.get("/v1/modules").await.ok();
    assert_eq!(
        (&modules["modules"][0]["name"], &modules["modules"][0]["state"]),
        (&"bank-account".into(), &"active".into())
    );
    assert_eq!(modules["modules"][1]["aggregates"], json!(["counter"]));

    let recorded = async || {
        let types = host.get("/v1/event-types").await.ok()["event_types"].take();
        let known = types.as_array().unwrap().iter().filter(|known| known["first_position"].is_i64());
        known.map(|known| (known["event_type"].clone(), known["first_position"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(recorded().await, []);
    host.command("account/a", "Open", r#"{"owner":"Ada"}"#, &[]).await.ok();
    assert_eq!(recorded().await, [(json!("Opened"), json!(1))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_request_is_a_problem() {
    let options = HttpOptions { max_body_bytes: 1000, ..HttpOptions::default() };
    let host = TestHost::with_options(&TestDatabase::new().await, &[], options).await;
    host.get("/v1/nothing").await.problem(404, "not-found");
    host.send(Method::DELETE, "/v1/events", &[], "").await.problem(405, "method-not-allowed");
    let large = format!("[{}]", "1,".repeat(600));
    assert_eq!(host.append("a/b", &large, &[]).await.problem(413, "too-large")["limit"], 1000);
    host.append("a/b", "{}", &[("content-type", "text/xml")]).await.problem(415, "unsupported-media-type");
    host.append("a%20b/c", "{}", &[]).await.problem(400, "invalid");
    host.append("a/%ff", "{}", &[]).await.problem(400, "invalid");
    let both = [("expected-version", "1"), ("if-match", "\"1\"")];
    host.append("a/b", "{}", &both).await.problem(400, "invalid");
    host.append("a/b", "{}", &[("everfold-tenant", "a b")]).await.problem(400, "invalid");
}
