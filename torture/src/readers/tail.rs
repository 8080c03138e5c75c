//! A live reader of one tenant's log: asks any host for what comes after the last event that it has seen.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::clients::Http;
use crate::history::{Stream, Tail, TailedEvent};

/// Reads until it has seen `until`, a position that is known only when everything is over. It never looks back.
pub(super) async fn follow(http: Http, tenant: &'static str, seed: u64, until: watch::Receiver<Option<i64>>) -> Tail {
    let mut random = StdRng::seed_from_u64(seed);
    let mut tail = Tail { tenant: tenant.to_owned(), events: Vec::new() };
    let mut cursor: Option<String> = None;
    let mut seen = 0;
    while until.borrow().is_none_or(|last| seen < last) {
        let limit = random.random_range(1..400);
        let mut path = format!("/v1/events?limit={limit}");
        if let Some(cursor) = &cursor {
            path.push_str(&format!("&after={cursor}"));
        }
        let host = random.random_range(0..http.hosts());
        match page(&http, host, &path, tenant).await {
            Some(page) => {
                let events = page["events"].as_array().into_iter().flatten();
                let got = http.clock().now();
                tail.events.extend(events.filter_map(|event| tailed(got, event)));
                seen = position(&page["next"]).unwrap_or(seen);
                cursor = page["next"].as_str().map(str::to_owned).or(cursor);
                let is_at_head = page["next"] == page["head"];
                sleep(Duration::from_millis(if is_at_head { 40 } else { 0 })).await;
            }
            None => sleep(Duration::from_millis(100)).await,
        }
    }
    tail
}

/// A page, or nothing where the host has none to give just now.
async fn page(http: &Http, host: usize, path: &str, tenant: &str) -> Option<Value> {
    let request = http.client().get(http.url(host, path)).header("Everfold-Tenant", tenant);
    let response = request.timeout(Duration::from_secs(6)).send().await.ok()?;
    let is_page = response.status().is_success();
    let body = response.json().await.ok()?;
    is_page.then_some(body)
}

fn tailed(got: u64, event: &Value) -> Option<TailedEvent> {
    Some(TailedEvent {
        got,
        position: event["position"].as_i64()?,
        event_id: event["event_id"].as_str()?.parse().ok()?,
        stream: Stream { tenant: event["tenant"].as_str()?.to_owned(), id: event["stream_id"].as_str()?.to_owned() },
        version: event["version"].as_i64()?,
    })
}

/// The position in a cursor.
fn position(cursor: &Value) -> Option<i64> {
    cursor.as_str()?.rsplit_once('-')?.1.parse().ok()
}
