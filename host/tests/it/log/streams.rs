//! The list of streams: byte order, prefixes, pages.

use everfold::model::{AggregateType, StreamId, Tenant};
use everfold::store::StreamsQuery;

use super::{Log, append, stream_of};

/// Ids whose byte order isn't the order of a dictionary, with all that a pattern language would take for its own.
const IDS: [&str; 13] = ["%", "%a", "A", "Z", "\\", "_", "_b", "a", "a b", "aa", "b", "é", "\u{10ffff}a"];

fn all() -> StreamsQuery {
    let tenant = Tenant::default_tenant();
    StreamsQuery { tenant, aggregate_type: None, prefix: None, after: None, limit: 1_000 }
}

async fn listed(log: &Log, query: &StreamsQuery) -> Vec<(String, String)> {
    let streams = log.store.list_streams(query).await.unwrap();
    streams.iter().map(|s| (s.aggregate_type.to_string(), s.stream_id.to_string())).collect()
}

/// Streams of two types with the same ids; each has as many events as its place in the list says.
async fn two_types() -> (Log, Vec<(String, String)>) {
    let log = Log::new().await;
    let mut names = Vec::new();
    for aggregate_type in ["Order", "account"] {
        names.extend(IDS.map(|id| (aggregate_type.to_owned(), id.to_owned())));
    }
    let appends: Vec<_> =
        names.iter().enumerate().map(|(n, (kind, id))| append(&stream_of("default", kind, id), n % 5 + 1)).collect();
    // Neither the order of writing nor another tenant's streams show.
    let mut mixed: Vec<_> = appends.into_iter().rev().collect();
    mixed.extend(["a", "c", "%"].map(|id| append(&stream_of("another", "account", id), 1)));
    log.singles(mixed).await;
    (log, names)
}

#[tokio::test]
async fn streams_are_listed_in_byte_order_with_their_versions() {
    let (log, names) = two_types().await;
    assert!(names.is_sorted(), "the test's own list");
    let streams = log.store.list_streams(&all()).await.unwrap();
    let events = log.events_of("default").await;
    assert_eq!(listed(&log, &all()).await, names);
    for (n, stream) in streams.iter().enumerate() {
        assert_eq!(stream.version, (n % 5) as i64);
        let last = events
            .iter()
            .rfind(|e| e.stream.aggregate_type == stream.aggregate_type && e.stream.stream_id == stream.stream_id)
            .unwrap();
        let told = (stream.version, stream.position, stream.updated_at);
        assert_eq!(told, (last.version, last.position, last.created_at));
    }
    let nobody = StreamsQuery { tenant: Tenant::new("nobody").unwrap(), ..all() };
    assert!(listed(&log, &nobody).await.is_empty());
}

#[tokio::test]
async fn pages_are_the_whole_list() {
    let (log, names) = two_types().await;
    let key = |(kind, id): &(String, String)| (AggregateType::new(kind).unwrap(), StreamId::new(id).unwrap());
    for limit in [1, 5, 26, 100] {
        let (mut seen, mut query) = (vec![], StreamsQuery { limit, ..all() });
        while seen.len() < names.len() {
            let page = listed(&log, &query).await;
            assert!(!page.is_empty() && page.len() as i64 <= limit, "{limit}");
            query.after = page.last().map(key);
            seen.extend(page);
        }
        assert_eq!(seen, names, "{limit}");
        assert!(listed(&log, &query).await.is_empty());
    }
    // The last one seen needn't exist.
    let after = Some(key(&("account".into(), "aX".into())));
    let rest = listed(&log, &StreamsQuery { after, ..all() }).await;
    assert_eq!(rest, names[names.len() - 4..], "aa, b, é, U+10FFFF");
}

#[tokio::test]
async fn a_prefix_is_taken_literally() {
    let (log, names) = two_types().await;
    for prefix in ["", "a", "aa", "%", "_", "\\", "é", "A", "x", "a b c", "\u{10ffff}"] {
        for kind in [None, Some("account"), Some("Order"), Some("acc")] {
            let expected: Vec<_> = names
                .iter()
                .filter(|(of, id)| kind.is_none_or(|kind| kind == of) && id.starts_with(prefix))
                .cloned()
                .collect();
            let aggregate_type = kind.map(|kind| AggregateType::new(kind).unwrap());
            let query = StreamsQuery { aggregate_type, prefix: Some(prefix.into()), ..all() };
            assert_eq!(listed(&log, &query).await, expected, "{kind:?} {prefix:?}");
            let paged = StreamsQuery { limit: 2, ..query.clone() };
            assert_eq!(listed(&log, &paged).await, expected[..expected.len().min(2)], "{kind:?} {prefix:?}");
            for (after_kind, after_id) in &names {
                let behind = |name: &&(String, String)| (&name.0, &name.1) > (after_kind, after_id);
                let rest: Vec<_> = expected.iter().filter(behind).cloned().collect();
                let after = Some((AggregateType::new(after_kind).unwrap(), StreamId::new(after_id).unwrap()));
                let query = StreamsQuery { after, ..query.clone() };
                assert_eq!(listed(&log, &query).await, rest, "{kind:?} {prefix:?} after {after_kind}/{after_id}");
            }
        }
    }
}
