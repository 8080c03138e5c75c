//! Tenants with the same names for everything see only what is theirs.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::add;
use crate::support::host::{Answer, TestHost};
use crate::support::postgres::TestDatabase;

/// One tenant on a host.
struct Tenant<'a> {
    host: &'a TestHost,
    name: &'a str,
}

impl Tenant<'_> {
    async fn add(&self, n: i64, key: &str) -> Answer {
        let headers = [("everfold-tenant", self.name), ("idempotency-key", key)];
        self.host.command("counter/c", "Add", &add(n), &headers).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.host.send(Method::GET, path, &[("everfold-tenant", self.name)], "").await
    }

    /// The numbers that were added, as a page of events tells them.
    async fn numbers(&self, path: &str) -> Vec<i64> {
        let page = self.get(path).await.ok();
        let events = page["events"].as_array().unwrap();
        assert!(events.iter().all(|event| event["tenant"] == self.name), "{events:?}");
        events.iter().map(|event| event["payload"]["n"].as_i64().unwrap()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stream_id_in_two_tenants_is_two_streams() {
    let host = TestHost::start(&TestDatabase::new().await, &["counter"]).await;
    let [acme, other, nobody] = ["acme", "other", "nobody"].map(|name| Tenant { host: &host, name });
    // Side by side, so that they share shards, batches and guests' code.
    for n in 1..=20 {
        let key = format!("key {n}");
        let both = join_all([acme.add(n, &key), other.add(100 * n, &key)]).await;
        for answer in both {
            let answer = answer.ok();
            assert_eq!((&answer["version"], &answer["replayed"]), (&(n - 1).into(), &false.into()));
        }
        acme.add(100 * n, &key).await.problem(422, "idempotency-key-reused");
        assert_eq!(other.add(100 * n, &key).await.ok()["replayed"], true);
    }

    for (tenant, factor) in [(&acme, 1), (&other, 100)] {
        let state = tenant.get("/v1/aggregates/counter/c").await.ok();
        assert_eq!((&state["version"], &state["state"]["total"]), (&19.into(), &(210 * factor).into()));
        let past = tenant.get("/v1/aggregates/counter/c?at_version=4").await.ok();
        assert_eq!(past["state"]["total"], 15 * factor);
        let own: Vec<i64> = (1..=20).map(|n| n * factor).collect();
        assert_eq!(tenant.numbers("/v1/streams/counter/c/events").await, own);
        assert_eq!(tenant.numbers("/v1/events").await, own);
        let streams = tenant.get("/v1/streams").await.ok();
        assert_eq!(streams["streams"].as_array().unwrap().len(), 1);
        assert_eq!(streams["streams"][0]["version"], 19);
    }
    nobody.get("/v1/aggregates/counter/c").await.problem(404, "stream-not-found");
    nobody.get("/v1/streams/counter/c/events").await.problem(404, "stream-not-found");
    assert_eq!(nobody.get("/v1/streams").await.ok()["streams"], json!([]));
    assert_eq!(nobody.get("/v1/events").await.ok()["events"], Value::Array(vec![]));
}
