//! Walking along links: whatever the direction, limit and filter, the pages are one read of everything.

use reqwest::Method;
use serde_json::Value;

use super::{append, events, numbers};
use crate::support::host::{Answer, Client, TestHost};
use crate::support::postgres::TestDatabase;

/// A host with 24 events in three streams of two types.
async fn host() -> TestHost {
    let host = TestHost::start(&TestDatabase::new().await, &[]).await;
    for _ in 0..4 {
        append(&host, "a/x%2F1", &["Opened", "Paid", "Paid & more"]).await;
        append(&host, "a/2", &["Opened"]).await;
        append(&host, "b/ë", &["Opened", "Paid"]).await;
    }
    host
}

/// The link of this name, the same in body and header.
fn link(answer: &Answer, name: &str) -> Option<String> {
    let page = answer.ok();
    let link = page["links"][name].as_str().map(str::to_owned);
    let header = answer.headers.get("link").map_or("", |value| value.to_str().unwrap());
    let named = header.split(", ").find_map(|part| part.strip_suffix(&format!("; rel=\"{name}\"")));
    let named = named.map(|target| target.trim_matches(['<', '>']).to_owned());
    assert_eq!(link, named, "{header}");
    link
}

/// The events of all pages from this path on, along `next`.
async fn walk(host: &Client, path: &str) -> Vec<Value> {
    let (mut path, mut seen) = (path.to_owned(), Vec::new());
    for _ in 0..100 {
        let answer = host.get(&path).await;
        seen.extend(events(&answer.ok()).iter().cloned());
        match link(&answer, "next") {
            Some(next) => path = next,
            None => return seen,
        }
    }
    panic!("the pages have no end");
}

const FILTERS: [&str; 5] = [
    "",
    "&event_type=Paid",
    "&event_type=Paid%20%26%20more,Opened",
    "&event_type=Paid&aggregate_type=b",
    "&event_type=X",
];

#[tokio::test(flavor = "multi_thread")]
async fn links_of_the_log_lead_through_all_of_it_both_ways() {
    let host = host().await;
    for filter in FILTERS {
        let all = events(&host.get(&format!("/v1/events?limit=1000{filter}")).await.ok()).clone();
        let reversed: Vec<_> = all.iter().rev().cloned().collect();
        for limit in [1, 2, 5, 24, 100] {
            let query = format!("limit={limit}{filter}");
            assert_eq!(walk(&host, &format!("/v1/events?{query}")).await, all, "{query}");
            let backward = walk(&host, &format!("/v1/events?direction=backward&{query}")).await;
            assert_eq!(backward, reversed, "{query}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_of_a_stream_lead_through_all_of_it_both_ways() {
    let host = host().await;
    for stream in ["a/x%2F1", "b/%C3%AB"] {
        for filter in ["", "&event_type=Paid", "&event_type=Paid%20%26%20more,Opened", "&event_type=X"] {
            let path = format!("/v1/streams/{stream}/events");
            let all = events(&host.get(&format!("{path}?limit=1000{filter}")).await.ok()).clone();
            let reversed: Vec<_> = all.iter().rev().cloned().collect();
            for limit in [1, 2, 5, 12, 100] {
                let query = format!("limit={limit}{filter}");
                assert_eq!(walk(&host, &format!("{path}?{query}")).await, all, "{query}");
                let backward = walk(&host, &format!("{path}?direction=backward&{query}")).await;
                assert_eq!(backward, reversed, "{query}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn turning_around_at_any_page_leads_back_to_the_begin() {
    let host = host().await;
    for start in ["/v1/events?limit=3&", "/v1/streams/a/x%2F1/events?limit=2&"] {
        for way in ["", "direction=backward&"] {
            let path = format!("{start}{way}event_type=Opened,Paid");
            let (mut path, mut seen) = (path, Vec::new());
            loop {
                let answer = host.get(&path).await;
                match link(&answer, "prev") {
                    None => assert!(seen.is_empty(), "only the first page has none before it"),
                    Some(prev) => {
                        let mut back = walk(&host, &prev).await;
                        back.reverse();
                        assert_eq!(back, seen, "{path}");
                    }
                }
                seen.extend(events(&answer.ok()).iter().cloned());
                match link(&answer, "next") {
                    Some(next) => path = next,
                    None => break,
                }
            }
            assert!(seen.len() > 5);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_come_backward_too() {
    let host = host().await;
    let lines = async |query: &str| {
        let path = format!("/v1/events?direction=backward{query}");
        let answer = host.send(Method::GET, &path, &[("accept", "application/x-ndjson")], "").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let all = events(&host.get("/v1/events?limit=1000").await.ok()).clone();
    assert!(lines("").await.iter().eq(all.iter().rev()));
    assert_eq!(numbers(&lines("&limit=3").await, "position"), [24, 23, 22]);
    let cursor = all[9]["cursor"].as_str().unwrap();
    assert_eq!(numbers(&lines(&format!("&before={cursor}&event_type=Opened")).await, "position"), [7, 5, 4, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_is_a_place_to_read_backward_from() {
    let host = host().await;
    let all = events(&host.get("/v1/events").await.ok()).clone();
    let time = all[9]["created_at"].as_str().unwrap();
    let path = format!("/v1/events?direction=backward&limit=1000&before_time={}", time.replace('+', "%2B"));
    let before = all.iter().rev().filter(|event| event["created_at"].as_str().unwrap() < time);
    assert!(events(&host.get(&path).await.ok()).iter().eq(before));
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_that_contradict_themselves_are_refused() {
    let host = host().await;
    let cursor = host.get("/v1/events").await.ok()["head"].as_str().unwrap().to_owned();
    for query in [
        format!("before={cursor}"),
        "before_time=2026-01-02T03:04:05Z".to_owned(),
        format!("direction=backward&after={cursor}"),
        "direction=backward&from_time=2026-01-02T03:04:05Z".to_owned(),
        format!("direction=backward&before={cursor}&before_time=2026-01-02T03:04:05Z"),
        "direction=up".to_owned(),
        "upcast=perhaps".to_owned(),
    ] {
        host.get(&format!("/v1/events?{query}")).await.problem(400, "invalid");
    }
    for query in ["direction=up", "from_version=-1", "event_type=a,,b", "upcast=1", "aggregate_type=a"] {
        host.get(&format!("/v1/streams/a/2/events?{query}")).await.problem(400, "invalid");
    }
    host.get("/v1/streams/a/none/events?direction=backward").await.problem(404, "stream-not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_begun_before_appends_is_not_disturbed_by_them() {
    let host = host().await;
    for path in ["/v1/events?direction=backward&limit=5", "/v1/streams/a/x%2F1/events?direction=backward&limit=5"] {
        let before = events(&host.get(&path.replace("limit=5", "limit=1000")).await.ok()).clone();
        let (mut path, mut seen) = (path.to_owned(), Vec::new());
        loop {
            let answer = host.get(&path).await;
            append(&host, "a/x%2F1", &["Later"]).await;
            seen.extend(events(&answer.ok()).iter().cloned());
            match link(&answer, "next") {
                Some(next) => path = next,
                None => break,
            }
        }
        assert_eq!(seen, before);
    }
}
