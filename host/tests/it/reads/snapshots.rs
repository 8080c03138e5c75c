//! Snapshots to look at and to drop: dropping them changes no answer.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, Row};

use crate::support::host::{Answer, Client, TestHost};
use crate::support::postgres::TestDatabase;

/// Adds so many ones to a counter.
async fn count(host: &Client, stream: &str, n: i64) {
    host.command(stream, "Many", &json!({ "n": n }).to_string(), &[]).await.ok();
}

async fn listed(host: &Client, stream: &str) -> Vec<Value> {
    host.get(&format!("/v1/snapshots/{stream}")).await.ok()["snapshots"].as_array().unwrap().clone()
}

/// The snapshots once there are as many: they are written behind the commands.
async fn until(host: &Client, stream: &str, count: usize) -> Vec<Value> {
    for _ in 0..1000 {
        let found = listed(host, stream).await;
        if found.len() == count {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{stream} never had {count} snapshots");
}

async fn delete(host: &Client, path: &str) -> Answer {
    host.send(Method::DELETE, path, &[], "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_snapshots_of_all_modules_are_told_with_their_states() {
    let database = TestDatabase::new().await;
    let host = TestHost::start(&database, &["counter"]).await;
    host.get("/v1/snapshots/counter/c").await.problem(404, "stream-not-found");
    count(&host, "counter/c", 3).await;
    assert_eq!(listed(&host, "counter/c").await, Vec::<Value>::new());
    count(&host, "counter/c", 10).await;
    until(&host, "counter/c", 1).await;
    let newer = TestHost::start(&database, &["counter-v2"]).await;
    count(&newer, "counter/c", 10).await;
    let snapshots = until(&newer, "counter/c", 2).await;

    let told = |s: &Value| json!([s["version"], s["state_version"], s["state"]]);
    let expected =
        [json!([22, 2, {"total": 23, "note": null, "additions": 23}]), json!([12, 1, {"total": 13, "note": null}])];
    assert_eq!(snapshots.iter().map(told).collect::<Vec<_>>(), expected);
    assert_eq!(snapshots[1]["size_bytes"], r#"{"total":13,"note":null}"#.len());
    assert_eq!(snapshots[0]["module"]["name"], "counter");
    assert_ne!(snapshots[0]["module"]["digest"], snapshots[1]["module"]["digest"]);
    assert!(snapshots[0]["taken_at"].as_str().unwrap() > snapshots[1]["taken_at"].as_str().unwrap());
    let other = host.send(Method::GET, "/v1/snapshots/counter/c", &[("everfold-tenant", "other")], "").await;
    other.problem(404, "stream-not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_snapshot_changes_no_answer() {
    let database = TestDatabase::new().await;
    let host = TestHost::start(&database, &["counter"]).await;
    for stream in ["counter/c", "counter/d"] {
        count(&host, stream, 25).await;
        until(&host, stream, 1).await;
    }
    let paths =
        ["/v1/aggregates/counter/c", "/v1/aggregates/counter/c?at_version=24", "/v1/aggregates/counter/c?at_version=7"];
    let answers = async |host: &TestHost| {
        let mut answers = Vec::new();
        for path in paths {
            let answer = host.get(path).await;
            answers.push((answer.etag.clone(), answer.ok()));
        }
        answers
    };
    let before = answers(&host).await;
    let other = host.send(Method::DELETE, "/v1/snapshots/counter/c", &[("everfold-tenant", "other")], "").await;
    assert_eq!(other.ok(), json!({"dropped": 0, "more": false}));
    assert_eq!(delete(&host, "/v1/snapshots/counter/c").await.ok(), json!({"dropped": 1, "more": false}));
    assert_eq!(delete(&host, "/v1/snapshots/counter/c").await.ok()["dropped"], 0);
    assert_eq!((listed(&host, "counter/c").await.len(), listed(&host, "counter/d").await.len()), (0, 1));
    assert_eq!(answers(&host).await, before);
    let fresh = TestHost::start(&database, &["counter"]).await;
    assert_eq!(answers(&fresh).await, before, "folded from the first event on");
    count(&fresh, "counter/c", 1).await;
    assert_eq!(until(&fresh, "counter/c", 1).await[0]["version"], 25, "it comes back by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_snapshots_of_a_type_or_a_tenant_are_dropped_in_steps() {
    let database = TestDatabase::new().await;
    let host = TestHost::start(&database, &["counter"]).await;
    count(&host, "counter/c", 10).await;
    until(&host, "counter/c", 1).await;
    let mut owner = database.options().connect().await.unwrap();
    for (tenant, aggregate_type, rows) in
        [("default", "counter", 2499), ("default", "other", 30), ("another", "counter", 7)]
    {
        let copy = format!(
            "INSERT INTO everfold.snapshots (tenant_id, aggregate_type, stream_id, module_id, version, event_id, state_version, state)
             SELECT '{tenant}', '{aggregate_type}', 's' || n, module_id, version, event_id, state_version, state
             FROM (SELECT * FROM everfold.snapshots WHERE stream_id = 'c') one, generate_series(1, {rows}) n"
        );
        owner.execute(AssertSqlSafe(copy)).await.unwrap();
    }
    let dropped = async |path: &str| {
        let answer = delete(&host, path).await.ok();
        (answer["dropped"].as_u64().unwrap(), answer["more"] == true)
    };
    assert_eq!(dropped("/v1/snapshots/counter?at_most=1200").await, (1200, true));
    assert_eq!(dropped("/v1/snapshots/counter").await, (1300, false), "in more than one step");
    assert_eq!(dropped("/v1/snapshots/counter").await, (0, false));
    assert_eq!(dropped("/v1/snapshots").await, (30, false));
    let left = owner.fetch_one("SELECT count(*) FROM everfold.snapshots WHERE tenant_id = 'another'").await.unwrap();
    assert_eq!(left.get::<i64, _>(0), 7);
    for query in ["at_most=0", "at_most=100001", "at_most=x", "all=true"] {
        delete(&host, &format!("/v1/snapshots?{query}")).await.problem(400, "invalid");
    }
    delete(&host, "/v1/snapshots/a%20b").await.problem(400, "invalid");
}
