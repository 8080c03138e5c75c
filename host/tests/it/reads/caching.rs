//! What a client may keep: tags that change with what they stand for, 304 where nothing did, and pages that never change.

use reqwest::Method;

use super::append;
use crate::support::guests::wasm;
use crate::support::host::{Answer, Client, TestHost};
use crate::support::postgres::TestDatabase;

/// The answer to who has this tag already.
async fn again(host: &Client, path: &str, tag: &str) -> Answer {
    host.send(Method::GET, path, &[("if-none-match", tag)], "").await
}

/// The tag of a path's answer, by which the same is recognised as long as nothing changes.
async fn tag_of(host: &Client, path: &str) -> String {
    let answer = host.get(path).await;
    let tag = answer.etag.clone().unwrap_or_else(|| panic!("{path} has no tag: {}", answer.text));
    let same = again(host, path, &tag).await;
    assert_eq!((same.status, same.text.as_str(), same.etag.as_deref()), (304, "", Some(tag.as_str())), "{path}");
    for name in ["cache-control", "vary"] {
        assert_eq!(same.header(name), answer.header(name), "{path}");
    }
    assert!(answer.header("vary").contains("Everfold-Tenant"));
    assert_eq!(again(host, path, "\"other\"").await.status, 200);
    tag
}

const OPEN: &str = r#"{"owner":"Ada"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_stands_for_one_answer_until_something_is_appended() {
    let host = TestHost::start(&TestDatabase::new().await, &["bank-account"]).await;
    host.command("account/a", "Open", OPEN, &[]).await.ok();
    let paths = [
        "/v1/aggregates/account/a",
        "/v1/streams/account/a/events",
        "/v1/streams/account/a/events?direction=backward&event_type=Opened",
        "/v1/events",
        "/v1/events?direction=backward&upcast=true",
        "/v1/events?event_type=Nothing",
    ];
    let mut tags = Vec::new();
    for path in paths {
        tags.push(tag_of(&host, path).await);
        assert_eq!(host.get(path).await.header("cache-control"), "private, no-cache", "{path}");
    }
    let past = tag_of(&host, "/v1/aggregates/account/a?at_version=0").await;
    host.command("account/a", "Deposit", r#"{"amount":1}"#, &[]).await.ok();
    for (path, tag) in paths.iter().zip(&tags) {
        let changed = again(&host, path, tag).await;
        assert_eq!(changed.status, 200, "{path}");
        assert_ne!(changed.etag.as_ref(), Some(tag), "{path}");
    }
    assert_eq!(again(&host, "/v1/aggregates/account/a?at_version=0", &past).await.status, 304, "the past stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poller_at_the_head_hears_only_of_what_is_new() {
    let host = TestHost::start(&TestDatabase::new().await, &[]).await;
    append(&host, "a/1", &["A"]).await;
    let head = host.get("/v1/events").await.ok()["head"].as_str().unwrap().to_owned();
    let path = format!("/v1/events?after={head}");
    let tag = tag_of(&host, &path).await;
    append(&host, "a/1", &["A"]).await;
    let new = again(&host, &path, &tag).await.ok();
    assert_eq!(new["events"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenants_tag_says_nothing_to_another() {
    let host = TestHost::start(&TestDatabase::new().await, &[]).await;
    append(&host, "a/1", &["A"]).await;
    let tag = tag_of(&host, "/v1/events").await;
    let other = [("everfold-tenant", "other"), ("if-none-match", tag.as_str())];
    let answer = host.send(Method::GET, "/v1/events", &other, "").await;
    assert_eq!(answer.ok()["events"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_states_tag_changes_with_the_module_and_still_names_the_version() {
    let host = TestHost::start(&TestDatabase::new().await, &["bank-account"]).await;
    host.command("account/a", "Open", OPEN, &[]).await.ok();
    let path = "/v1/aggregates/account/a";
    let tag = tag_of(&host, path).await;
    assert!(tag.starts_with("\"0-") && tag.len() == 20, "{tag}");
    let next = wasm("bank-account-v1.1");
    host.put_module("bank-account.wasm", &next);
    host.until_active(&next).await;
    let swapped = again(&host, path, &tag).await;
    assert_eq!((swapped.status, swapped.ok()["version"].as_i64()), (200, Some(0)));
    let new_tag = swapped.etag.clone().unwrap();
    assert_ne!(new_tag, tag);

    // For a command it is the version that counts, in any of the forms.
    for (expected, version) in [(tag.as_str(), 1), ("\"1\"", 2)] {
        let deposit = host.command("account/a", "Deposit", r#"{"amount":1}"#, &[("if-match", expected)]).await;
        assert_eq!(deposit.ok()["version"], version, "{expected}");
        assert_eq!(deposit.etag, Some(format!("\"{version}\"")));
    }
    let stale = host.command("account/a", "Deposit", r#"{"amount":1}"#, &[("if-match", new_tag.as_str())]).await;
    assert_eq!(stale.problem(412, "version-conflict")["actual"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_pages_that_can_never_change_may_be_used_unasked() {
    let host = TestHost::start(&TestDatabase::new().await, &[]).await;
    append(&host, "a/1", &["A", "B", "A", "B", "A", "B"]).await;
    let control = async |query: &str| {
        let answer = host.get(&format!("/v1/streams/a/1/events?{query}")).await;
        (
            answer.header("cache-control").contains("immutable"),
            answer.ok()["events"].clone(),
            answer.ok()["links"].clone(),
        )
    };
    let fixed = [
        "from_version=0&limit=2",
        "from_version=3&limit=2",
        "from_version=0&limit=2&event_type=A",
        "direction=backward&from_version=4&limit=2",
    ];
    let open = [
        "limit=2",
        "from_version=0",
        "from_version=4&limit=2",
        "from_version=0&limit=100",
        "from_version=0&limit=3&event_type=B",
        "from_version=0&limit=2&upcast=true",
        "direction=backward&limit=2",
        "direction=backward&from_version=5&limit=2",
        "direction=backward&from_version=9&limit=2",
    ];
    let mut before = Vec::new();
    for query in fixed {
        let (is_fixed, events, links) = control(query).await;
        assert!(is_fixed, "{query}");
        before.push((events, links));
    }
    for query in open {
        assert!(!control(query).await.0, "{query}");
    }
    append(&host, "a/1", &["A", "B", "A"]).await;
    for (query, (events, links)) in fixed.iter().zip(before) {
        assert_eq!(control(query).await, (true, events, links), "{query}");
    }
}
