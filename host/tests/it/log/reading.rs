//! Reading the log by position, from a time, and one stream of it.

use everfold::model::{Append, Cursor, NewEvent, RecordedEvent};
use everfold::store::{LogQuery, Store, StoreError, StoreOptions, StreamQuery};
use futures_util::{StreamExt, TryStreamExt};

use super::{Log, all_of, append, event, stream, stream_of};

/// Sixty events of two tenants, two aggregate types and three event types, mixed, in a few batches.
async fn sixty_events() -> Log {
    let log = Log::new().await;
    for batch in 0..6 {
        let appends = (0..10).map(|n| {
            let n = batch * 10 + n;
            let tenant = if n % 4 == 0 { "other" } else { "default" };
            let aggregate_type = if n % 3 == 0 { "order" } else { "account" };
            let event_type = ["opened", "paid", "closed"][n / 7 % 3].to_owned();
            let stream = stream_of(tenant, aggregate_type, &format!("{}", n % 5));
            Append { events: vec![NewEvent { event_type, ..event() }], ..append(&stream, 0) }
        });
        log.singles(appends.collect()).await;
    }
    log
}

/// A store that looks at so many positions for a page.
fn scanning(log: &Log, scan_limit: i64) -> Store {
    Store::new(&StoreOptions { scan_limit, ..StoreOptions::new(log.database.options()) })
}

/// The whole log by pages of `limit`.
async fn paged(store: &Store, mut query: LogQuery, limit: i64) -> Vec<RecordedEvent> {
    query.limit = limit;
    let mut events = Vec::new();
    // More pages than positions would be a standstill.
    for _ in 0..200 {
        let page = store.read_log(&query).await.unwrap();
        assert!(page.events.len() as i64 <= limit);
        events.extend(page.events);
        if page.next == page.head {
            return events;
        }
        assert!(query.from.is_none_or(|from| from.position < page.next.position), "every page goes on");
        query.from = Some(page.next);
    }
    panic!("the pages have no end");
}

#[tokio::test]
async fn pages_are_the_whole() {
    let log = sixty_events().await;
    let whole = log.events_of("default").await;
    assert_eq!(whole.len(), 45);
    assert!(whole.is_sorted_by_key(|event| event.position));
    for scan_limit in [1, 7, 10_000] {
        let store = scanning(&log, scan_limit);
        for limit in [1, 4, 45, 100] {
            assert_eq!(paged(&store, all_of("default"), limit).await, whole, "{limit} of {scan_limit}");
        }
        let pages: Vec<_> = store.log_pages(LogQuery { limit: 4, ..all_of("default") }).try_collect().await.unwrap();
        assert!(pages.into_iter().flat_map(|page| page.events).eq(whole.iter().cloned()), "{scan_limit}");
    }
}

#[tokio::test]
async fn filters_leave_out_the_rest() {
    let log = sixty_events().await;
    let whole = log.events_of("default").await;
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let cases = [
        (words(&["paid"]), words(&[])),
        (words(&["paid", "closed"]), words(&[])),
        (words(&[]), words(&["order"])),
        (words(&["opened"]), words(&["order", "account"])),
        (words(&["paid"]), words(&["order"])),
        (words(&["never"]), words(&[])),
        (words(&["paid' OR '1'='1", "%"]), words(&[])),
    ];
    for (event_types, aggregate_types) in cases {
        let passes = |set: &[String], word: &str| set.is_empty() || set.iter().any(|other| other == word);
        let expected: Vec<_> = whole
            .iter()
            .filter(|event| passes(&event_types, &event.event_type))
            .filter(|event| passes(&aggregate_types, event.stream.aggregate_type.as_str()))
            .cloned()
            .collect();
        let query = LogQuery { event_types, aggregate_types, ..all_of("default") };
        for (scan_limit, limit) in [(10_000, 100), (10_000, 2), (5, 2), (5, 100)] {
            assert_eq!(paged(&scanning(&log, scan_limit), query.clone(), limit).await, expected, "{query:?}");
        }
    }
}

#[tokio::test]
async fn a_page_without_events_has_a_cursor_to_go_on() {
    let log = sixty_events().await;
    let store = scanning(&log, 25);
    let head = log.store.head().await.unwrap();
    let query = LogQuery { event_types: vec!["never".into()], ..all_of("default") };
    let page = store.read_log(&query).await.unwrap();
    let first = Cursor { position: 25, ..head };
    assert_eq!((page.events.len(), page.next, page.head), (0, first, head));
    let positions: Vec<_> = store.log_pages(query).map(|page| page.unwrap().next.position).collect().await;
    assert_eq!(positions, [25, 50, 60]);
    // At the head there is nothing, and the cursor stays.
    let page = store.read_log(&LogQuery { from: Some(head), ..all_of("default") }).await.unwrap();
    assert_eq!((page.events.len(), page.next), (0, head));
}

#[tokio::test]
async fn a_cursor_of_another_log_is_refused() {
    let log = sixty_events().await;
    let head = log.store.head().await.unwrap();
    assert_eq!(head.position, 60);
    for asked in [
        Cursor { epoch: head.epoch + 1, position: 0 },
        Cursor { epoch: head.epoch - 1, position: 60 },
        Cursor { position: 61, ..head },
    ] {
        let query = LogQuery { from: Some(asked), ..all_of("default") };
        let error = log.store.read_log(&query).await.unwrap_err();
        let StoreError::EpochChanged { asked: told, current } = error else { panic!("{error:?}") };
        assert_eq!((told, current), (asked, head));
        let pages: Vec<_> = log.store.log_pages(query).collect().await;
        assert!(matches!(pages[..], [Err(StoreError::EpochChanged { .. })]), "an error is the last page");
    }
}

#[tokio::test]
async fn a_time_is_found_as_a_walk_along_the_log_would() {
    let log = sixty_events().await;
    let mut events = log.events_of("default").await;
    events.extend(log.events_of("other").await);
    let tick = time::Duration::MICROSECOND;
    let mut times: Vec<_> = events.iter().map(|event| event.created_at).collect();
    times.sort();
    times.dedup();
    assert_eq!(times.len(), 6, "a batch has one time");
    let around = times.iter().flat_map(|&time| [time - tick, time, time + tick]);
    for time in around.chain([times[0] - time::Duration::DAY, times[5] + time::Duration::DAY]) {
        let walked = events.iter().filter(|event| event.created_at < time).map(|event| event.position).max();
        let found = log.store.position_before(time).await.unwrap();
        assert_eq!(found.position, walked.unwrap_or(0), "{time}");
    }
    let empty = Log::new().await;
    assert_eq!(empty.store.position_before(times[0]).await.unwrap(), empty.store.head().await.unwrap());
}

#[tokio::test]
async fn a_stream_is_read_from_a_version_on() {
    let log = Log::new().await;
    let stream = stream("s");
    log.singles(vec![append(&stream, 3), append(&super::stream("t"), 2), append(&stream, 4)]).await;
    let read = async |from, limit| {
        let query = StreamQuery { from_version: Some(from), ..StreamQuery::all(stream.clone(), limit) };
        let page = log.store.read_stream(&query).await.unwrap();
        let versions: Vec<_> = page.events.iter().map(|event| event.version).collect();
        assert!(page.events.iter().all(|event| event.stream == stream));
        (versions, page.version())
    };
    assert_eq!(read(0, 100).await, ((0..7).collect(), 6));
    assert_eq!(read(2, 3).await, (vec![2, 3, 4], 6));
    assert_eq!(read(7, 3).await, (vec![], 6));
    let absent = log.store.read_stream(&StreamQuery::all(super::stream("absent"), 10)).await.unwrap();
    assert_eq!((absent.events.len(), absent.version(), absent.next), (0, -1, None));
}

#[tokio::test]
async fn a_raised_floor_is_the_head_of_an_emptied_log() {
    let log = Log::new().await;
    log.append(append(&stream("s"), 2)).await;
    // As after a restore that lost the tail: positions that were handed out aren't handed out again.
    let mut owner = log.owner().await;
    sqlx::Executor::execute(&mut owner, "UPDATE everfold.log_head SET floor = 100, epoch = epoch + 1").await.unwrap();
    assert_eq!(log.store.head().await.unwrap().position, 100);
    assert_eq!(log.append(append(&stream("s"), 2)).await, super::appended(2, 101));
    let events = log.events_of("default").await;
    assert_eq!(events.iter().map(|event| event.position).collect::<Vec<_>>(), [1, 2, 101, 102]);
    for event in &events {
        let walked =
            events.iter().filter(|other| other.created_at < event.created_at).map(|other| other.position).max();
        let found = log.store.position_before(event.created_at).await.unwrap().position;
        // Anywhere in the gap reading begins with the same event.
        let begins = events.iter().map(|event| event.position).find(|&position| position > found);
        let expected = events.iter().map(|event| event.position).find(|&position| position > walked.unwrap_or(0));
        assert_eq!(begins, expected);
    }
}

#[tokio::test]
async fn the_head_that_a_host_knows_follows_its_commits() {
    let log = Log::new().await;
    let mut changes = log.store.head_changes();
    assert_eq!(*changes.borrow_and_update(), 0);
    log.append(append(&stream("s"), 3)).await;
    assert_eq!(*changes.borrow_and_update(), 3);
    log.append(append(&stream("s"), 0)).await;
    assert!(!changes.has_changed().unwrap(), "nothing new, no call");
}
