//! `POST /v1/commands`: answers in the order of the lines, whatever becomes of each.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Executor;

use super::{HOLD_THE_LOG, command, owner, post_lines, statuses, texts, told};
use crate::support::host::{Setup, TestHost};
use crate::support::postgres::TestDatabase;

async fn host() -> TestHost {
    TestHost::start(&TestDatabase::new().await, &["bank-account"]).await
}

fn open(stream: &str) -> Value {
    command(stream, "Open", json!({"owner": "Ada"}))
}

fn deposit(stream: &str, amount: u64) -> Value {
    command(stream, "Deposit", json!({ "amount": amount }))
}

fn with(mut line: Value, name: &str, value: impl Into<Value>) -> Value {
    line[name] = value.into();
    line
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_is_answered_as_its_command_alone_would_be() {
    let host = host().await;
    let lines = [
        open("account/a").to_string(),
        deposit("account/a", 5).to_string(),
        "   ".to_owned(),
        command("account/a", "Withdraw", json!({"amount": 9})).to_string(),
        deposit("account/a", 0).to_string(),
        command("account/a", "Close", json!({})).to_string(),
        open("order/1").to_string(),
        with(deposit("account/a", 1), "expected_version", 7).to_string(),
        with(deposit("account/a", 1), "expected_version", "exists").to_string(),
        with(open("account/b"), "expected_version", "no-stream").to_string(),
    ];
    let (answers, last) = post_lines(&host, "/v1/commands", &lines).await;
    assert_eq!(statuses(&answers), [200, 200, 422, 400, 404, 404, 409, 200, 200]);
    let numbers: Vec<_> = answers.iter().map(|answer| answer["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 4, 5, 6, 7, 8, 9, 10], "an empty line is counted, and not answered");
    assert_eq!(answers[1]["result"]["events"][0]["event_type"], "Deposited");
    assert_eq!(answers[2]["problem"]["rejection"]["details"], json!({"balance": 5}));
    assert_eq!(
        (&answers[3]["problem"]["code"], &answers[3]["problem"]["pointer"]),
        (&"invalid".into(), &"/amount".into())
    );
    assert_eq!(
        (&answers[4]["problem"]["code"], &answers[5]["problem"]["code"]),
        (&"unknown-command".into(), &"unknown-aggregate".into())
    );
    assert_eq!((&answers[6]["problem"]["expected"], &answers[6]["problem"]["actual"]), (&7.into(), &1.into()));
    assert_eq!(last, json!({"end": "input", "through_line": 10, "answered": 9, "failed": 5, "repeated": 0}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_no_command_answers_for_itself() {
    let host = TestHost::with_options(
        &TestDatabase::new().await,
        &["bank-account"],
        everfold::http::HttpOptions { max_body_bytes: 1000, ..Default::default() },
    )
    .await;
    let good = open("account/a");
    let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
    let cases = [
        ("not JSON".to_owned(), 400, ""),
        ("{} {}".to_owned(), 400, ""),
        (with(good.clone(), "typo", 1).to_string(), 400, "/typo"),
        (json!({"aggregate_type": "account", "stream_id": "a"}).to_string(), 400, ""),
        (with(good.clone(), "stream_id", "").to_string(), 400, "/stream_id"),
        (with(good.clone(), "aggregate_type", "a b").to_string(), 400, "/aggregate_type"),
        (with(good.clone(), "actor", "x".repeat(300)).to_string(), 400, "/actor"),
        (with(good.clone(), "expected_version", -1).to_string(), 400, "/expected_version"),
        (good.to_string().replace(r#"{"owner":"Ada"}"#, &deep), 400, "/payload"),
        (with(good.clone(), "actor", "x".repeat(2000)).to_string(), 413, ""),
        (good.to_string(), 200, ""),
    ];
    let lines: Vec<_> = cases.iter().map(|(line, ..)| line.clone()).collect();
    let (answers, last) = post_lines(&host, "/v1/commands", &lines).await;
    for ((line, status, pointer), answer) in cases.iter().zip(&answers) {
        assert_eq!(answer["status"], *status, "{line}: {answer}");
        if *status == 400 {
            assert_eq!(answer["problem"]["pointer"], *pointer, "{answer}");
        }
    }
    assert_eq!((answers.len(), &last["failed"]), (cases.len(), &10.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_one_stream_are_carried_out_in_the_order_of_their_lines() {
    let host = host().await;
    let streams = ["account/a", "account/b", "account/c"];
    let mut lines: Vec<Value> = streams.iter().map(|stream| open(stream)).collect();
    // Each is only possible right behind the one before it.
    for version in 0..300 {
        lines.extend(streams.iter().map(|stream| with(deposit(stream, 1), "expected_version", version)));
    }
    let (answers, last) = post_lines(&host, "/v1/commands", &texts(&lines)).await;
    assert_eq!((answers.len(), &last["failed"]), (903, &0.into()), "{last}");
    assert!(answers.iter().zip(1..).all(|(answer, line)| answer["line"] == line));
    for stream in streams {
        assert_eq!(host.get(&format!("/v1/aggregates/{stream}")).await.ok()["state"]["balance"], 300);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_keys_the_same_lines_may_be_sent_again() {
    let host = host().await;
    let line = |n: u64| with(deposit("account/a", n), "idempotency_key", format!("deposit {n}")).to_string();
    let lines: Vec<_> = [open("account/a").to_string()].into_iter().chain((1..=10).map(line)).collect();
    post_lines(&host, "/v1/commands", &lines[..6]).await;
    let (answers, last) = post_lines(&host, "/v1/commands", &lines).await;
    assert_eq!((&answers[0]["status"], &last["repeated"], &last["failed"]), (&422.into(), &5.into(), &1.into()));
    assert_eq!(host.get("/v1/aggregates/account/a").await.ok()["state"]["balance"], 55);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_the_lines_defaults() {
    let host = host().await;
    let lines = [open("account/a"), with(deposit("account/a", 1), "actor", "bob")];
    let headers = [("everfold-tenant", "acme"), ("everfold-actor", "ann"), ("everfold-correlation-id", "c")];
    let answer = host.send(Method::POST, "/v1/commands", &headers, &texts(&lines).join("\n")).await;
    assert_eq!(statuses(&told(&answer.text).0), [200, 200]);
    let events = host.send(Method::GET, "/v1/events", &headers[..1], "").await.ok();
    let of = |n: usize, name: &str| events["events"][n]["metadata"][name].clone();
    assert_eq!((of(0, "actor"), of(1, "actor"), of(1, "correlation_id")), ("ann".into(), "bob".into(), "c".into()));
    assert_ne!(of(0, "command_id"), of(1, "command_id"));

    for header in [("idempotency-key", "k"), ("expected-version", "1"), ("if-none-match", "*")] {
        host.send(Method::POST, "/v1/commands", &[header], "").await.problem(400, "invalid");
    }
    let form = [("content-type", "application/x-www-form-urlencoded")];
    host.send(Method::POST, "/v1/commands", &form, "{}").await.problem(415, "unsupported-media-type");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_waited_for() {
    let database = TestDatabase::new().await;
    let mut setup = Setup::new(database.options());
    setup.pipeline.queue = 2;
    let host = TestHost::launch(setup, &["bank-account"]).await;
    let mut owner = owner(&database).await;
    owner.execute(HOLD_THE_LOG).await.unwrap();
    let lines: Vec<_> = (0..40).map(|n| open(&format!("account/{n}"))).collect();
    let sent = async { post_lines(&host, "/v1/commands", &texts(&lines)).await };
    let release = async {
        // What is beyond the queue is turned away when it comes alone.
        while host.command("account/x", "Open", "{\"owner\":\"x\"}", &[("everfold-timeout", "100")]).await.status != 429
        {
        }
        owner.execute("COMMIT").await.unwrap();
    };
    let ((answers, _), ()) = tokio::join!(sent, release);
    assert_eq!(statuses(&answers), [200; 40]);
}
