//! Reads over HTTP: states, streams, the log; and raw appends, whose bytes come back as they went in.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::host::TestHost;
use crate::support::postgres::TestDatabase;

/// A host whose stream `account/a` was opened and paid into `deposits` times, 1, 2, 3 …
async fn host_with_account(deposits: u64) -> TestHost {
    let host = TestHost::start(&TestDatabase::new().await, &["bank-account"]).await;
    host.command("account/a", "Open", r#"{"owner":"Ada"}"#, &[]).await.ok();
    for amount in 1..=deposits {
        host.command("account/a", "Deposit", &json!({ "amount": amount }).to_string(), &[]).await.ok();
    }
    host
}

fn versions(page: &Value) -> Vec<i64> {
    page["events"].as_array().unwrap().iter().map(|event| event["version"].as_i64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_the_fold_up_to_a_version() {
    let host = host_with_account(3).await;
    let answer = host.get("/v1/aggregates/account/a").await;
    let state = answer.ok();
    assert_eq!((&state["version"], &state["state"]), (&3.into(), &json!({"owner": "Ada", "balance": 6})));
    assert_eq!((&state["aggregate_type"], &state["stream_id"]), (&"account".into(), &"a".into()));
    assert_eq!(state["module"]["name"], "bank-account");

    let earlier = host.get("/v1/aggregates/account/a?at_version=2").await.ok();
    assert_eq!((&earlier["version"], &earlier["state"]["balance"]), (&2.into(), &3.into()));
    assert_eq!(host.get("/v1/aggregates/account/a?stale=ok").await.ok()["state"]["balance"], 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_not_there_is_told_apart_from_a_faulty_question() {
    let host = host_with_account(0).await;
    host.get("/v1/aggregates/account/none").await.problem(404, "stream-not-found");
    assert_eq!(host.get("/v1/aggregates/account/a?at_version=9").await.problem(404, "not-found")["actual"], 0);
    for query in ["at_version=-1", "at_version=x", "stale=yes", "version=1"] {
        host.get(&format!("/v1/aggregates/account/a?{query}")).await.problem(400, "invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_read_page_by_page() {
    let host = host_with_account(4).await;
    let (mut path, mut seen) = ("/v1/streams/account/a/events?limit=2".to_owned(), Vec::new());
    for _ in 0..3 {
        let page = host.get(&path).await.ok();
        assert_eq!(page["version"], 4);
        seen.extend(versions(&page));
        let Some(next) = page["links"]["next"].as_str() else { break };
        path = next.to_owned();
    }
    assert_eq!(seen, [0, 1, 2, 3, 4]);
    assert_eq!(versions(&host.get("/v1/streams/account/a/events?from_version=3").await.ok()), [3, 4]);
    let beyond = host.get("/v1/streams/account/a/events?from_version=9").await.ok();
    assert_eq!((&beyond["events"], &beyond["links"]["next"]), (&json!([]), &Value::Null));
    for query in ["limit=0", "limit=1001", "from_version=-1", "from=3"] {
        host.get(&format!("/v1/streams/account/a/events?{query}")).await.problem(400, "invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_events_come_back_byte_for_byte() {
    let host = TestHost::start(&TestDatabase::new().await, &[]).await;
    let payload = r#"{"b":1.0, "a" : "\u0041", "b":2, "n": 12345678901234567890123}"#;
    let body = format!(
        r#"{{"events":[{{"event_type":"Noted","payload":{payload}}},{{"event_type":"Noted","schema_version":2,
        "payload":"x","metadata":{{"by" : "me"}},"event_id":"01890a5d-ac96-774b-bcce-b302099a8057",
        "occurred_at":"2020-01-02T03:04:05.678901Z"}}]}}"#
    );
    let answer = host.append("note/n", &body, &[("if-none-match", "*"), ("idempotency-key", "k")]).await;
    assert_eq!((answer.etag.as_deref(), &answer.ok()["version"]), (Some("\"1\""), &1.into()));

    let page = host.get("/v1/streams/note/n/events").await;
    assert!(page.text.contains(&format!(r#""payload":{payload}"#)), "{}", page.text);
    assert!(page.text.contains(r#""metadata":{"by" : "me"}"#), "{}", page.text);
    let second = page.ok()["events"][1].clone();
    assert_eq!(second["event_id"], "01890a5d-ac96-774b-bcce-b302099a8057");
    assert_eq!(second["occurred_at"], "2020-01-02T03:04:05.678901Z");
    assert_eq!((&second["schema_version"], &second["module_digest"]), (&2.into(), &Value::Null));

    let again = host.append("note/n", &body, &[("if-none-match", "*"), ("idempotency-key", "k")]).await;
    assert_eq!(again.ok()["replayed"], true);
    let conflict = host.append("note/n", &body, &[("expected-version", "7")]).await.problem(409, "version-conflict");
    assert_eq!((&conflict["expected"], &conflict["actual"]), (&7.into(), &1.into()));
    let many = vec![r#"{"event_type":"A","payload":1}"#; 1001].join(",");
    host.append("note/n", &format!(r#"{{"events":[{many}]}}"#), &[]).await.problem(413, "too-large");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_event_that_the_module_does_not_know_is_refused() {
    let host = host_with_account(0).await;
    let body = r#"{"events":[{"event_type":"Opnd","payload":{}}]}"#;
    let problem = host.append("account/a", body, &[]).await.problem(400, "invalid");
    assert_eq!(problem["pointer"], "/events/0/event_type");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_listed_page_by_page() {
    let host = TestHost::start(&TestDatabase::new().await, &[]).await;
    for stream in ["b/1", "a/x%2F1", "a/x%2F2", "a/y"] {
        host.append(stream, r#"{"events":[{"event_type":"A","payload":1}]}"#, &[]).await.ok();
    }
    let names = |page: &Value| {
        let name = |stream: &Value| {
            format!("{}/{}", stream["aggregate_type"].as_str().unwrap(), stream["stream_id"].as_str().unwrap())
        };
        page["streams"].as_array().unwrap().iter().map(name).collect::<Vec<_>>()
    };
    let first = host.get("/v1/streams?limit=3").await.ok();
    assert_eq!(names(&first), ["a/x/1", "a/x/2", "a/y"]);
    let second = host.get(first["links"]["next"].as_str().unwrap()).await.ok();
    assert_eq!((names(&second), &second["links"]["next"]), (vec!["b/1".to_owned()], &Value::Null));
    assert_eq!(names(&host.get("/v1/streams?aggregate_type=b").await.ok()), ["b/1"]);
    assert_eq!(names(&host.get("/v1/streams?aggregate_type=a&prefix=x/").await.ok()), ["a/x/1", "a/x/2"]);
    for query in ["after=x", "prefix=%00", "aggregate_type=a%20b", "limit=x"] {
        host.get(&format!("/v1/streams?{query}")).await.problem(400, "invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_read_by_cursor_until_its_head() {
    let host = host_with_account(4).await;
    let (mut path, mut seen) = ("/v1/events?limit=2".to_owned(), Vec::new());
    for _ in 0..5 {
        let page = host.get(&path).await.ok();
        seen.extend(page["events"].as_array().unwrap().iter().map(|event| event["position"].as_i64().unwrap()));
        if page["next"] == page["head"] {
            break;
        }
        path = format!("/v1/events?limit=2&after={}", page["next"].as_str().unwrap());
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);

    let all = host.get("/v1/events").await.ok();
    let third = &all["events"][2];
    let after = host.get(&format!("/v1/events?after={}", third["cursor"].as_str().unwrap())).await.ok();
    assert_eq!(after["events"], json!(all["events"].as_array().unwrap()[3..]));
    let time = third["created_at"].as_str().unwrap().replace('+', "%2B");
    let from = host.get(&format!("/v1/events?from_time={time}")).await.ok();
    assert_eq!(from["events"][0]["position"], 3, "{from}");
    assert_eq!(
        host.get("/v1/events?event_type=Opened,Else&aggregate_type=account").await.ok()["events"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(host.get("/v1/events?aggregate_type=other").await.ok()["events"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_log_is_refused_before_anything_is_read() {
    let host = host_with_account(0).await;
    let head = host.get("/v1/events").await.ok()["head"].as_str().unwrap().to_owned();
    for accept in ["application/json", "application/x-ndjson"] {
        let path = "/v1/events?after=1-1";
        let problem = host.send(Method::GET, path, &[("accept", accept)], "").await.problem(410, "log-epoch-changed");
        assert_eq!((&problem["asked"], &problem["current"]), (&"1-1".into(), &head.as_str().into()));
    }
    for query in ["after=x", "from_time=now", "after=1-1&from_time=2026-01-02T03:04:05Z", "event_type=a,,b", "typo=1"] {
        host.get(&format!("/v1/events?{query}")).await.problem(400, "invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_the_same_events() {
    let host = TestHost::start(&TestDatabase::new().await, &[]).await;
    let event = |n: i64| json!({"event_type": if n % 2 == 0 { "Even" } else { "Odd" }, "payload": n});
    let events: Vec<_> = (0..500).map(event).collect();
    host.append("n/all", &json!({ "events": events }).to_string(), &[]).await.ok();

    let lines = async |query: &str| {
        let answer =
            host.send(Method::GET, &format!("/v1/events{query}"), &[("accept", "application/x-ndjson")], "").await;
        assert_eq!((answer.status, answer.content_type.as_str()), (200, "application/x-ndjson"));
        answer.text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let page = host.get("/v1/events?limit=1000").await.ok();
    assert_eq!(json!(lines("").await), page["events"], "in more than one page");
    assert_eq!(lines("?event_type=Odd").await.len(), 250);
    assert_eq!(lines("?limit=7").await.len(), 7);
    let cursor = page["events"][489]["cursor"].as_str().unwrap();
    assert_eq!(lines(&format!("?after={cursor}")).await.len(), 10);
}
