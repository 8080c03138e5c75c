//! `POST /v1/events`: history comes in as it was, once, however often it is sent.

use serde_json::{Value, json};
use sqlx::Executor;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{event, log, owner, places, post_lines, statuses, texts};
use crate::support::host::TestHost;
use crate::support::postgres::TestDatabase;

/// A history of some streams, their events mixed; `note` belongs to no module.
fn history(streams: usize, versions: i64) -> Vec<Value> {
    let (mut lines, mut next) = (Vec::new(), vec![0; streams]);
    for version in 0..versions {
        for (stream, next) in next.iter_mut().enumerate() {
            // Now and then several events of a stream in a row.
            if (stream as i64 + version) % 7 == 3 && version + 1 < versions {
                continue;
            }
            lines.extend((*next..=version).map(|at| event(&format!("note/{stream}"), at, "Noted", json!({"n": at}))));
            *next = version + 1;
        }
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn events_keep_what_they_are() {
    let database = TestDatabase::new().await;
    let host = TestHost::start(&database, &[]).await;
    let lines = [
        r#"{"aggregate_type":"note","stream_id":"Zoë/1","version":0,"event_id":"0d9c1e5a-0000-1000-8000-00000000000a","event_type":"Noted","schema_version":3,"occurred_at":"1999-12-31T23:59:59.123456Z","payload":{"b" : 1.0,"a":"\u0041"},"metadata":{"by" :"x"}}"#.to_owned(),
        r#"{"aggregate_type":"note","stream_id":"Zoë/1","version":1,"event_id":"0d9c1e5a-0000-1000-8000-00000000000b","event_type":"Noted","occurred_at":"2000-01-01T01:00:00+01:00","payload":null}"#.to_owned(),
    ];
    let (answers, last) = post_lines(&host, "/v1/events", &lines).await;
    assert_eq!(answers[0], json!({"line": 1, "status": 200, "position": 1, "already_there": false}));
    assert_eq!(last, json!({"end": "input", "through_line": 2, "answered": 2, "failed": 0, "repeated": 0}));
    let answer = host.get("/v1/events").await;
    assert!(answer.text.contains(r#""payload":{"b" : 1.0,"a":"\u0041"},"metadata":{"by" :"x"}"#), "{}", answer.text);
    let events = answer.ok()["events"].take();
    assert_eq!(
        (&events[0]["occurred_at"], &events[0]["schema_version"]),
        (&"1999-12-31T23:59:59.123456Z".into(), &3.into())
    );
    assert_eq!(
        (&events[0]["event_id"], &events[0]["module_digest"]),
        (&"0d9c1e5a-0000-1000-8000-00000000000a".into(), &Value::Null)
    );
    assert_eq!((&events[1]["occurred_at"], &events[1]["metadata"]), (&"2000-01-01T00:00:00Z".into(), &json!({})));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_lines_again_change_nothing() {
    let database = TestDatabase::new().await;
    let host = TestHost::start(&database, &[]).await;
    let lines = history(50, 40);
    let (first, _) = post_lines(&host, "/v1/events", &texts(&lines)).await;
    assert!(first.iter().zip(1..).all(|(answer, n)| answer["position"] == n && answer["already_there"] == false));
    assert_eq!(log(&database).await, places(&lines), "positions follow the lines");

    let (again, last) = post_lines(&host, "/v1/events", &texts(&lines)).await;
    assert!(again.iter().zip(1..).all(|(answer, n)| answer["position"] == n && answer["already_there"] == true));
    assert_eq!((&last["repeated"], &last["failed"]), (&lines.len().into(), &0.into()));
    assert_eq!(log(&database).await.len(), lines.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_was_interrupted_goes_on_in_order() {
    let database = TestDatabase::new().await;
    let host = TestHost::start(&database, &[]).await;
    let lines = history(30, 60);
    let text = texts(&lines).join("\n");
    let head = format!("POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", text.len());
    for part in [2, 3] {
        // The connection breaks in the middle of a line.
        let mut connection = TcpStream::connect(host.url().strip_prefix("http://").unwrap()).await.unwrap();
        connection.write_all(head.as_bytes()).await.unwrap();
        connection.write_all(&text.as_bytes()[..text.len() / 4 * part]).await.unwrap();
        connection.readable().await.unwrap();
        drop(connection);
    }
    let (answers, last) = post_lines(&host, "/v1/events", &texts(&lines)).await;
    assert_eq!((answers.len(), &last["failed"]), (lines.len(), &0.into()));
    assert_eq!(log(&database).await, places(&lines));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_imported_in_other_pieces_is_completed_in_order() {
    let database = TestDatabase::new().await;
    let host = TestHost::start(&database, &[]).await;
    // One long run, of which an earlier import had brought a part.
    let mut lines: Vec<_> = (0..40).map(|version| event("note/a", version, "Noted", json!(1))).collect();
    lines.push(event("note/b", 0, "Noted", json!(1)));
    post_lines(&host, "/v1/events", &texts(&lines[..17])).await;
    let (answers, _) = post_lines(&host, "/v1/events", &texts(&lines)).await;
    let there = answers.iter().filter(|answer| answer["already_there"] == true).count();
    assert_eq!((there, statuses(&answers)), (17, vec![200; 41]));
    assert_eq!(log(&database).await, places(&lines));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_imports_of_the_same_lines_at_once_bring_each_event_once() {
    let database = TestDatabase::new().await;
    let (a, b) = (TestHost::start(&database, &[]).await, TestHost::start(&database, &[]).await);
    let lines = texts(&history(20, 60));
    let (first, second) = tokio::join!(post_lines(&a, "/v1/events", &lines), post_lines(&b, "/v1/events", &lines));
    for (answers, last) in [&first, &second] {
        assert_eq!((answers.len(), &last["failed"]), (lines.len(), &0.into()), "{last}");
    }
    assert!(first.0.iter().zip(&second.0).all(|(first, second)| first["position"] == second["position"]));
    assert_eq!(log(&database).await.len(), lines.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_does_not_fit_answers_for_itself() {
    let database = TestDatabase::new().await;
    let host = TestHost::start(&database, &["bank-account"]).await;
    host.append("note/own", r#"{"events":[{"event_type":"A","payload":1},{"event_type":"A","payload":1}]}"#, &[])
        .await
        .ok();
    let mut unknown = event("account/a", 0, "Opnd", json!({}));
    unknown["metadata"] = json!({"by": "x"});
    let with = |name: &str, value: Value| {
        let mut line = event("note/b", 1, "Noted", json!(1));
        line[name] = value;
        line.to_string()
    };
    let lines = [
        event("note/b", 0, "Noted", json!(1)).to_string(),
        event("note/own", 1, "Noted", json!(1)).to_string(),
        event("note/own", 3, "Noted", json!(1)).to_string(),
        event("note/none", 1, "Noted", json!(1)).to_string(),
        unknown.to_string(),
        with("version", json!(-1)),
        with("version", Value::Null),
        with("event_id", json!("7")),
        with("event_type", json!("")),
        with("schema_version", json!(0)),
        with("occurred_at", json!("9999-12-31T23:59:59-01:00")),
        with("position", json!(1)),
        event("note/b", 1, "Noted", json!(1)).to_string(),
        event("note/b", 1, "Noted", json!(1)).to_string(),
    ];
    let (answers, last) = post_lines(&host, "/v1/events", &lines).await;
    assert_eq!(statuses(&answers), [200, 409, 409, 409, 400, 400, 400, 400, 400, 400, 400, 400, 200, 200]);
    let actual = |n: usize| answers[n]["problem"]["actual"].as_i64().unwrap();
    assert_eq!((actual(1), actual(2), actual(3)), (1, 1, -1));
    assert_eq!(answers[4]["problem"]["pointer"], "/event_type");
    assert_eq!((&answers[12]["already_there"], &answers[13]["already_there"]), (&false.into(), &true.into()));
    assert_eq!(last["failed"], 11);
    let expected = ["note/own@0", "note/own@1", "note/b@0", "note/b@1"];
    assert_eq!(log(&database).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_refuses_costs_its_own_line_alone() {
    let database = TestDatabase::new().await;
    let host = TestHost::start(&database, &[]).await;
    let refuse = "ALTER TABLE everfold.event_store ADD CHECK (payload::text <> '\"no\"')";
    owner(&database).await.execute(refuse).await.unwrap();
    let lines: Vec<_> =
        (0..20).map(|n| event(&format!("note/{n}"), 0, "Noted", json!(if n == 7 { "no" } else { "yes" }))).collect();
    let (answers, last) = post_lines(&host, "/v1/events", &texts(&lines)).await;
    assert_eq!((&answers[7]["status"], &last["failed"]), (&500.into(), &1.into()), "{answers:?}");
    assert_eq!(log(&database).await.len(), 19);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_before_a_refused_event_of_its_stream_is_imported() {
    let database = TestDatabase::new().await;
    let host = TestHost::start(&database, &[]).await;
    let refuse = "ALTER TABLE everfold.event_store ADD CHECK (payload::text <> '\"no\"')";
    owner(&database).await.execute(refuse).await.unwrap();
    let lines: Vec<_> =
        (0..10).map(|n| event("note/a", n, "Noted", json!(if n == 7 { "no" } else { "yes" }))).collect();
    let (answers, _) = post_lines(&host, "/v1/events", &texts(&lines)).await;
    assert_eq!(statuses(&answers), [200, 200, 200, 200, 200, 200, 200, 500, 409, 409]);
    assert_eq!(log(&database).await.len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_one_history_is_not_put_behind_the_begin_of_another() {
    let database = TestDatabase::new().await;
    let host = TestHost::start(&database, &[]).await;
    let own = r#"{"events":[{"event_type":"A","payload":1},{"event_type":"A","payload":1}]}"#;
    host.append("note/own", own, &[]).await.ok();
    // The later lines are in another batch than the first.
    let mut lines: Vec<_> = (0..4).map(|n| event("note/own", n, "Noted", json!(n))).collect();
    lines.extend((0..600).map(|n| event("note/other", n, "Noted", json!(n))));
    lines.extend((2..4).map(|n| event("note/own", n, "Noted", json!(n))));
    let (answers, last) = post_lines(&host, "/v1/events", &texts(&lines)).await;
    assert_eq!((statuses(&answers[..4]), statuses(&answers[604..])), (vec![409; 4], vec![409; 2]));
    assert_eq!(last["failed"], 6);
    assert_eq!(log(&database).await.len(), 602);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregate_that_is_kept_folded_sees_what_was_imported() {
    let database = TestDatabase::new().await;
    let host = TestHost::start(&database, &["bank-account"]).await;
    host.command("account/a", "Open", r#"{"owner":"Ada"}"#, &[]).await.ok();
    host.command("account/a", "Withdraw", r#"{"amount":5}"#, &[]).await.problem(422, "rejected");
    let lines = [event("account/a", 1, "Deposited", json!({"amount": 5}))];
    assert_eq!(statuses(&post_lines(&host, "/v1/events", &texts(&lines)).await.0), [200]);
    assert_eq!(host.command("account/a", "Withdraw", r#"{"amount":5}"#, &[]).await.ok()["version"], 2);
    assert_eq!(host.get("/v1/aggregates/account/a").await.ok()["state"]["balance"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_names_faults_and_counts_the_rest() {
    let host = TestHost::start(&TestDatabase::new().await, &[]).await;
    let mut lines = texts(&history(20, 30));
    lines.insert(5, "no event".to_owned());
    let (told, last) = post_lines(&host, "/v1/events?results=summary", &lines).await;
    let (faults, progress): (Vec<_>, Vec<_>) = told.iter().partition(|line| line["problem"].is_object());
    assert_eq!((faults.len(), &faults[0]["line"]), (1, &6.into()));
    assert!(!progress.is_empty() && progress.iter().all(|line| line["progress"]["failed"] == 1));
    assert_eq!((&last["answered"], &last["failed"]), (&lines.len().into(), &1.into()));
    host.send(reqwest::Method::POST, "/v1/events?results=none", &[], "").await.problem(400, "invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenants_history_is_not_anothers() {
    let database = TestDatabase::new().await;
    let host = TestHost::start(&database, &[]).await;
    let line = event("note/a", 0, "Noted", json!(1)).to_string();
    for tenant in ["a", "b"] {
        let answer = host.send(reqwest::Method::POST, "/v1/events", &[("everfold-tenant", tenant)], &line).await;
        assert!(answer.text.contains(r#""already_there":false"#), "{}", answer.text);
    }
    assert_eq!(log(&database).await, ["note/a@0", "note/a@0"]);
}
