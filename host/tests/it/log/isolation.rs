//! Two tenants with the same names: each sees its own, everywhere.

use everfold::model::{Append, Head, NewEvent, Snapshot};
use everfold::store::{StreamQuery, StreamsQuery};

use super::{Log, all_of, append, event, json, stream_of};

#[tokio::test]
async fn tenants_see_only_their_own() {
    let log = Log::new().await;
    let digest = log.module("bank", 1).await;
    let of = |tenant: &str, events: usize| {
        let payload = json(&format!("\"{tenant}\""));
        let events = (0..events).map(|_| NewEvent { payload: payload.clone(), ..event() }).collect();
        Append { events, ..append(&stream_of(tenant, "account", "1"), 0) }
    };
    // One name is the beginning of the other.
    let (a, b) = (of("a", 2), of("ab", 3));
    log.append(a.clone()).await;
    log.append(b.clone()).await;

    for (append, other) in [(&a, &b), (&b, &a)] {
        let (stream, tenant) = (&append.stream, append.stream.tenant.as_str());
        let ids: Vec<_> = append.events.iter().map(|event| event.event_id).collect();
        let last = ids.len() as i64 - 1;

        let events = log.events_of(tenant).await;
        assert!(events.iter().all(|event| event.stream == *stream));
        assert!(events.iter().map(|event| event.event_id).eq(ids.iter().copied()));
        let page = log.store.read_stream(&StreamQuery::all(stream.clone(), 100)).await.unwrap();
        let version = page.version();
        assert_eq!((page.events, version), (events, last));
        let tail = log.store.load_tail(stream, -1, None, 100).await.unwrap().events;
        assert!(tail.iter().map(|event| event.event_id).eq(ids.iter().copied()));
        let head = Head { version: last, event_id: ids[ids.len() - 1] };
        assert_eq!(log.head(stream).await, Some(head));

        let query =
            StreamsQuery { tenant: all_of(tenant).tenant, aggregate_type: None, prefix: None, after: None, limit: 100 };
        let versions: Vec<_> = log.store.list_streams(&query).await.unwrap().iter().map(|s| s.version).collect();
        assert_eq!(versions, [last]);

        let own = Snapshot { version: 1, event_id: ids[1], state_version: 1, state: b"{}".to_vec() };
        log.store.save_snapshot(stream, &digest, &own).await.unwrap();
        let loaded = log.store.load_stream(stream, &digest, 1, None, 100).await.unwrap();
        assert_eq!((loaded.snapshot.as_ref(), loaded.events.len() as i64), (Some(&own), last - 1));
        assert_eq!(log.store.drop_snapshots(&other.stream).await.unwrap(), 0, "it has none");
        assert_eq!(log.store.drop_snapshots(stream).await.unwrap(), 1);
    }
    assert!(log.events_of("c").await.is_empty());
}
