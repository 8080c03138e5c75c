//! Pages in both directions: walked with any limit and filter they are one read of everything, also while appends go on.

use everfold::model::{Append, Cursor, Direction, NewEvent, RecordedEvent};
use everfold::store::{LogQuery, Store, StoreError, StoreOptions, StreamQuery};
use futures_util::TryStreamExt;

use super::{Log, all_of, append, event, stream, stream_of};

const WAYS: [Direction; 2] = [Direction::Forward, Direction::Backward];

/// Forty events of two tenants, two aggregate types and three event types, mixed.
async fn forty_events() -> Log {
    let log = Log::new().await;
    for batch in 0..4 {
        let appends = (0..10).map(|n| {
            let n = batch * 10 + n;
            let tenant = if n % 4 == 0 { "other" } else { "default" };
            let aggregate_type = if n % 3 == 0 { "order" } else { "account" };
            let event_type = ["opened", "paid", "closed"][n / 7 % 3].to_owned();
            let stream = stream_of(tenant, aggregate_type, &format!("{}", n % 2));
            Append { events: vec![NewEvent { event_type, ..event() }], ..append(&stream, 0) }
        });
        log.singles(appends.collect()).await;
    }
    log
}

/// A store that looks at so many positions or versions for a page.
fn scanning(log: &Log, scan_limit: i64) -> Store {
    Store::new(&StoreOptions { scan_limit, ..StoreOptions::new(log.database.options()) })
}

/// The pages from where the query begins until nothing is left that way.
async fn walked(store: &Store, mut query: LogQuery) -> Vec<RecordedEvent> {
    let mut events = Vec::new();
    for _ in 0..200 {
        let page = store.read_log(&query).await.unwrap();
        assert!(page.events.len() as i64 <= query.limit);
        events.extend(page.events);
        if !page.more {
            return events;
        }
        query.from = Some(page.next);
    }
    panic!("the pages have no end");
}

/// The same of a stream.
async fn stream_walked(store: &Store, mut query: StreamQuery) -> Vec<RecordedEvent> {
    let mut events = Vec::new();
    for _ in 0..200 {
        let page = store.read_stream(&query).await.unwrap();
        assert!(page.events.len() as i64 <= query.limit);
        events.extend(page.events);
        let Some(next) = page.next else { return events };
        query.from_version = Some(next);
    }
    panic!("the pages have no end");
}

fn ordered(mut events: Vec<RecordedEvent>, direction: Direction) -> Vec<RecordedEvent> {
    if direction == Direction::Backward {
        events.reverse();
    }
    events
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[tokio::test]
async fn pages_of_the_log_are_the_whole_in_both_directions() {
    let log = forty_events().await;
    let whole = log.events_of("default").await;
    assert_eq!(whole.len(), 30);
    let filters = [
        (words(&[]), words(&[])),
        (words(&["paid"]), words(&[])),
        (words(&["opened", "closed"]), words(&["order"])),
        (words(&[]), words(&["account"])),
        (words(&["never"]), words(&[])),
    ];
    for scan_limit in [1, 3, 7, 40, 1000] {
        let store = scanning(&log, scan_limit);
        for (event_types, aggregate_types) in &filters {
            let passes = |set: &[String], word: &str| set.is_empty() || set.iter().any(|other| other == word);
            let expected: Vec<_> = whole
                .iter()
                .filter(|event| passes(event_types, &event.event_type))
                .filter(|event| passes(aggregate_types, event.stream.aggregate_type.as_str()))
                .cloned()
                .collect();
            for (limit, direction) in [1, 2, 5, 30, 100].iter().flat_map(|limit| WAYS.map(|way| (*limit, way))) {
                let (event_types, aggregate_types) = (event_types.clone(), aggregate_types.clone());
                let query = LogQuery { direction, limit, event_types, aggregate_types, ..all_of("default") };
                let all = ordered(expected.clone(), direction);
                assert_eq!(walked(&store, query.clone()).await, all, "{query:?} by {scan_limit}");
                let streamed: Vec<_> = store.log_pages(query.clone()).try_collect().await.unwrap();
                let streamed: Vec<_> = streamed.into_iter().flat_map(|page| page.events).collect();
                assert_eq!(streamed, all, "{query:?} by {scan_limit}");
            }
        }
        store.close().await;
    }
}

#[tokio::test]
async fn from_any_place_both_directions_share_the_log_between_them() {
    let log = forty_events().await;
    let head = log.store.head().await.unwrap();
    let store = scanning(&log, 6);
    for place in 0..=head.position {
        let from = |direction, position| LogQuery {
            direction,
            from: Some(Cursor { position, ..head }),
            limit: 4,
            ..all_of("default")
        };
        let behind = walked(&store, from(Direction::Forward, place)).await;
        let before = walked(&store, from(Direction::Backward, place + 1)).await;
        assert!(behind.iter().all(|event| event.position > place));
        let both = ordered(before, Direction::Backward).into_iter().chain(behind);
        assert!(both.eq(log.events_of("default").await), "none twice, none missing at {place}");
    }
}

#[tokio::test]
async fn a_page_backward_looks_at_a_bounded_number_of_positions() {
    let log = forty_events().await;
    let store = scanning(&log, 25);
    let head = log.store.head().await.unwrap();
    let query = LogQuery { direction: Direction::Backward, event_types: vec!["never".into()], ..all_of("default") };
    let page = store.read_log(&query).await.unwrap();
    let sixteen = Cursor { position: 16, ..head };
    assert_eq!((page.events.len(), page.next, page.more), (0, sixteen, true), "25 of 40 were looked at");
    let page = store.read_log(&LogQuery { from: Some(sixteen), ..query.clone() }).await.unwrap();
    assert_eq!((page.events.len(), page.next.position, page.more), (0, 1, false));

    let empty = Log::new().await;
    let page = empty.store.read_log(&LogQuery { direction: Direction::Backward, ..all_of("default") }).await.unwrap();
    assert_eq!((page.events.len(), page.more), (0, false));
    empty.store.read_log(&LogQuery { direction: Direction::Backward, from: Some(page.next), ..query }).await.unwrap();
}

#[tokio::test]
async fn backward_too_a_cursor_of_another_log_is_refused() {
    let log = forty_events().await;
    let head = log.store.head().await.unwrap();
    let from = |position, epoch| LogQuery {
        direction: Direction::Backward,
        from: Some(Cursor { epoch, position }),
        ..all_of("default")
    };
    for (position, epoch) in [(head.position + 2, head.epoch), (1, head.epoch + 1), (i64::MAX, head.epoch)] {
        let error = log.store.read_log(&from(position, epoch)).await.unwrap_err();
        assert!(matches!(error, StoreError::EpochChanged { .. }), "{error:?}");
    }
    for position in [0, 1] {
        assert!(log.store.read_log(&from(position, head.epoch)).await.unwrap().events.is_empty());
    }
    assert_eq!(log.store.read_log(&from(head.position + 1, head.epoch)).await.unwrap().events.len(), 30);
}

#[tokio::test]
async fn pages_of_a_stream_are_the_whole_in_both_directions() {
    let log = forty_events().await;
    let whole: Vec<_> = log
        .events_of("default")
        .await
        .into_iter()
        .filter(|event| event.stream == stream_of("default", "account", "1"))
        .collect();
    let last = whole.len() as i64 - 1;
    assert!(last > 8, "{last}");
    let types = [words(&[]), words(&["paid"]), words(&["opened", "closed"]), words(&["never"])];
    for scan_limit in [1, 2, 5, 1000] {
        let store = scanning(&log, scan_limit);
        for (event_types, direction) in types.iter().flat_map(|types| WAYS.map(|way| (types, way))) {
            let passes = |event: &&RecordedEvent| event_types.is_empty() || event_types.contains(&event.event_type);
            let all = ordered(whole.iter().filter(passes).cloned().collect(), direction);
            for limit in [1, 3, 100] {
                let of_stream = StreamQuery::all(whole[0].stream.clone(), limit);
                let query = StreamQuery { direction, event_types: event_types.clone(), ..of_stream };
                assert_eq!(stream_walked(&store, query.clone()).await, all, "{query:?} by {scan_limit}");
                for from in [0, 1, last - 1, last, last + 5, i64::MAX] {
                    let query = StreamQuery { from_version: Some(from), ..query.clone() };
                    let lies_there = |event: &&RecordedEvent| match direction {
                        Direction::Forward => event.version >= from,
                        Direction::Backward => event.version <= from,
                    };
                    let rest: Vec<_> = all.iter().filter(lies_there).cloned().collect();
                    assert_eq!(stream_walked(&store, query.clone()).await, rest, "{query:?} by {scan_limit}");
                }
            }
        }
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_between_pages_change_no_page_that_was_begun() {
    let log = forty_events().await;
    let whole = log.events_of("default").await;
    let account = stream_of("default", "account", "1");
    let versions: Vec<_> = whole.iter().filter(|event| event.stream == account).map(|event| event.version).collect();

    let mut query = LogQuery { direction: Direction::Backward, limit: 3, ..all_of("default") };
    let mut seen = Vec::new();
    let mut of_stream = StreamQuery { direction: Direction::Backward, ..StreamQuery::all(account.clone(), 2) };
    let mut seen_of_stream = Vec::new();
    let mut more = (true, true);
    while more.0 || more.1 {
        if more.0 {
            let page = log.store.read_log(&query).await.unwrap();
            (query.from, more.0) = (Some(page.next), page.more);
            seen.extend(page.events);
        }
        if more.1 {
            let page = log.store.read_stream(&of_stream).await.unwrap();
            (of_stream.from_version, more.1) = (page.next, page.next.is_some());
            seen_of_stream.extend(page.events.iter().map(|event| event.version));
        }
        log.append(append(&account, 2)).await;
        log.append(append(&stream("new"), 1)).await;
    }
    assert_eq!(ordered(seen, Direction::Backward), whole);
    assert!(seen_of_stream.into_iter().rev().eq(versions));
}
