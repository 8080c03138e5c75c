//! Commands over HTTP: what is answered, under which conditions, and what a repeated request gets.

use serde_json::{Value, json};

use crate::support::host::TestHost;
use crate::support::postgres::TestDatabase;

const OPEN: &str = r#"{"owner":"Ada"}"#;

async fn host(guests: &[&str]) -> TestHost {
    TestHost::start(&TestDatabase::new().await, guests).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_answered_with_its_events() {
    let host = host(&["bank-account"]).await;
    let opened = host.command("account/a-1", "Open", OPEN, &[]).await;
    assert_eq!(opened.etag.as_deref(), Some("\"0\""));
    let answer = opened.ok();
    assert_eq!((&answer["version"], &answer["position"], &answer["replayed"]), (&0.into(), &1.into(), &false.into()));
    let event = &answer["events"][0];
    assert_eq!((&event["event_type"], &event["version"], &event["position"]), (&"Opened".into(), &0.into(), &1.into()));

    let events = host.get("/v1/streams/account/a-1/events").await.ok();
    assert_eq!(events["events"][0]["event_id"], event["event_id"]);
    assert_eq!(events["events"][0]["payload"], json!({"owner": "Ada"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_do_is_fine() {
    let host = host(&["counter"]).await;
    let answer = host.command("counter/c", "Nothing", "", &[]).await;
    assert_eq!(answer.etag, None, "a stream without events has no version to match");
    assert_eq!(answer.ok(), json!({"version": -1, "position": null, "events": [], "replayed": false}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expected_version_holds_or_its_conflict_has_the_numbers() {
    let host = host(&["bank-account"]).await;
    let conflict = async |name: &str, value: &str, status: u16, stream: &str| {
        let answer = host.command(stream, "Deposit", r#"{"amount":1}"#, &[(name, value)]).await;
        let problem = answer.problem(status, "version-conflict");
        (problem["expected"].clone(), problem["actual"].clone())
    };
    host.command("account/a", "Open", OPEN, &[("expected-version", "no-stream")]).await.ok();
    assert_eq!(conflict("expected-version", "no-stream", 409, "account/a").await, ("no-stream".into(), 0.into()));
    assert_eq!(conflict("expected-version", "7", 409, "account/a").await, (7.into(), 0.into()));
    assert_eq!(conflict("expected-version", "exists", 409, "account/none").await, ("exists".into(), (-1).into()));
    assert_eq!(conflict("if-match", "\"7\"", 412, "account/a").await, (7.into(), 0.into()));
    assert_eq!(conflict("if-match", "*", 412, "account/none").await, ("exists".into(), (-1).into()));
    assert_eq!(conflict("if-none-match", "*", 412, "account/a").await, ("no-stream".into(), 0.into()));

    let forms = [
        ("expected-version", "0"),
        ("if-match", "\"1\""),
        ("expected-version", "exists"),
        ("expected-version", "any"),
        ("if-match", "*"),
    ];
    for (version, form) in (1..).zip(forms) {
        let answer = host.command("account/a", "Deposit", r#"{"amount":1}"#, &[form]).await.ok();
        assert_eq!(answer["version"], version, "{form:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_is_the_domains_answer() {
    let host = host(&["bank-account"]).await;
    host.command("account/a", "Open", OPEN, &[]).await.ok();
    let problem = host.command("account/a", "Withdraw", r#"{"amount":5}"#, &[]).await.problem(422, "rejected");
    let rejection = json!({"code": "insufficient-funds", "message": "the balance is 0", "details": {"balance": 0}});
    assert_eq!((&problem["rejection"], &problem["replayed"]), (&rejection, &false.into()));
    assert_eq!(problem["detail"], "the balance is 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_key_gets_the_first_answer() {
    let host = host(&["bank-account"]).await;
    let send = async |name: &str, body: &str, key: &str| {
        host.command("account/a", name, body, &[("idempotency-key", key)]).await
    };
    let first = send("Open", OPEN, "k-1").await.ok();
    let mut again = send("Open", OPEN, "\"k-1\"").await.ok();
    assert_eq!(again["replayed"].take(), true);
    again["replayed"] = first["replayed"].clone();
    assert_eq!(again, first);
    send("Open", r#"{"owner":"Eve"}"#, "k-1").await.problem(422, "idempotency-key-reused");

    send("Withdraw", r#"{"amount":5}"#, "k-2").await.problem(422, "rejected");
    send("Deposit", r#"{"amount":5}"#, "k-3").await.ok();
    let problem = send("Withdraw", r#"{"amount":5}"#, "k-2").await.problem(422, "rejected");
    assert_eq!(problem["replayed"], true, "though there would be enough by now");

    let elsewhere = [("idempotency-key", "k-1"), ("everfold-tenant", "other")];
    let answer = host.command("account/a", "Open", OPEN, &elsewhere).await.ok();
    assert_eq!(answer["replayed"], false, "a key is its tenant's own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_command_is_refused_by_what_is_wrong() {
    let host = host(&["bank-account"]).await;
    let problem = host.command("account/a", "Deposit", r#"{"amount":0}"#, &[]).await.problem(400, "invalid");
    assert_eq!(problem["pointer"], "/amount", "{problem}");
    host.command("account/a", "Deposit", r#"{"amount":"#, &[]).await.problem(400, "invalid");
    let problem = host.command("account/a", "Dance", "", &[]).await.problem(404, "unknown-command");
    assert!(problem["known"].as_array().unwrap().contains(&"Deposit".into()), "{problem}");
    let problem = host.command("acount/a", "Open", OPEN, &[]).await.problem(404, "unknown-aggregate");
    assert_eq!(problem["known"], json!(["account"]));
    host.get("/v1/streams/account/a/events").await.problem(404, "stream-not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_may_be_any_text_and_tenants_do_not_meet() {
    let host = host(&["bank-account"]).await;
    host.command("account/Zo%C3%AB%2F7%25", "Open", OPEN, &[("everfold-tenant", "acme")]).await.ok();
    let path = "/v1/aggregates/account/Zo%C3%AB%2F7%25";
    host.get(path).await.problem(404, "stream-not-found");
    let state = host.send(reqwest::Method::GET, path, &[("everfold-tenant", "acme")], "").await.ok();
    assert_eq!((&state["stream_id"], &state["state"]["owner"]), (&"Zoë/7%".into(), &"Ada".into()));
    assert_eq!(host.get("/v1/events").await.ok()["events"], json!([]));
    assert_eq!(host.get("/v1/streams").await.ok()["streams"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn whence_a_command_came_is_kept_with_its_events() {
    let host = host(&["bank-account"]).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [
        ("everfold-actor", "ada"),
        ("everfold-correlation-id", "c-1"),
        ("everfold-causation-id", "c-0"),
        ("traceparent", trace),
    ];
    host.command("account/a", "Open", OPEN, &headers).await.ok();
    let events = host.get("/v1/streams/account/a/events").await.ok();
    let metadata = &events["events"][0]["metadata"];
    let kept = ["actor", "correlation_id", "causation_id", "traceparent"].map(|name| metadata[name].clone());
    assert_eq!(kept, ["ada", "c-1", "c-0", trace].map(Value::from));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_fails_fails_its_command_only() {
    let host = host(&["unruly"]).await;
    host.command("unruly/a", "Ok", "", &[]).await.ok();
    host.command("unruly/a", "Trap", "", &[]).await.problem(500, "module-trapped");
    host.command("unruly/a", "Garbage", "", &[]).await.problem(500, "module-answer-invalid");
    assert_eq!(host.command("unruly/a", "Ok", "", &[]).await.ok()["version"], 1);
}
