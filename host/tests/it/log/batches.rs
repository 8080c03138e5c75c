//! Batches: their caps, and what becomes of one that holds data that PostgreSQL refuses.

use everfold::model::{Append, AppendOutcome, NewEvent};
use everfold::store::{AppendError, WriterOptions};
use sqlx::{Executor, Row};

use super::{Log, append, appended, event, follow, json, stream};

#[tokio::test]
async fn batches_keep_their_caps_and_chains_stay_whole() {
    let log = Log::with(WriterOptions { batch_events: 10, batch_bytes: 4_000, ..WriterOptions::default() }).await;
    let bulky = |bytes: usize| NewEvent { payload: json(&format!("\"{}\"", "x".repeat(bytes))), ..event() };
    let mut appends: Vec<_> = (0..40).map(|n| append(&stream(&format!("{}", n % 7)), 3)).collect();
    // Each alone is beyond a cap.
    appends.push(append(&stream("many"), 35));
    appends.push(Append { events: vec![bulky(10_000)], ..append(&stream("large"), 0) });
    appends.extend((0..6).map(|_| Append { events: vec![bulky(1_500)], ..append(&stream("bulky"), 0) }));

    let outcomes = log.singles(appends.clone()).await;
    let mut position = 1;
    for (outcome, append) in outcomes.into_iter().zip(&appends) {
        let Ok(AppendOutcome::Appended { first_position, .. }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(first_position, position, "they commit in the order in which they queued");
        position += append.events.len() as i64;
    }
    assert_eq!(log.store.head().await.unwrap().position, position - 1);

    let batches = log
        .owner()
        .await
        .fetch_all(
            "SELECT count(*) AS events, sum(length(payload::text)) AS bytes, min(stream_id) AS stream
             FROM everfold.event_store GROUP BY xmin::text ORDER BY min(position)",
        )
        .await
        .unwrap();
    let batches: Vec<(i64, i64, &str)> = batches.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let capped = |batch: &&(i64, i64, &str)| batch.0 <= 10 && batch.1 <= 4_000;
    assert_eq!(
        batches.iter().filter(|batch| !capped(batch)).map(|batch| batch.2).collect::<Vec<_>>(),
        ["many", "large"]
    );
    // 3 of 3 events each, then 2 bulky ones each.
    assert_eq!(batches.iter().filter(capped).count(), 14 + 3, "{batches:?}");
}

#[tokio::test]
async fn only_what_postgresql_refuses_is_refused() {
    let log = Log::new().await;
    let good = |n: usize| append(&stream(&format!("good {n}")), 2);
    let of = |event: NewEvent| Append { events: vec![self::event(), event], ..append(&stream("bad"), 0) };
    let bad = [
        of(NewEvent { schema_version: 0, ..event() }),
        of(NewEvent { event_type: "with\0nul".into(), ..event() }),
        // No index can hold it.
        of(NewEvent { event_type: incompressible(4_000), ..event() }),
    ];
    let mut appends: Vec<_> = (0..20).map(good).collect();
    for (n, append) in bad.iter().enumerate() {
        appends.insert(n * 7 + 2, append.clone());
    }
    let outcomes = log.singles(appends.clone()).await;
    for (append, outcome) in appends.iter().zip(&outcomes) {
        if append.stream == stream("bad") {
            assert!(matches!(outcome, Err(AppendError::Refused(_))), "{outcome:?}");
        } else {
            assert!(matches!(outcome, Ok(AppendOutcome::Appended { first_version: 0, .. })), "{outcome:?}");
        }
    }
    assert_eq!(log.head(&stream("bad")).await, None);
    assert_eq!(log.store.head().await.unwrap().position, 40);
    assert_eq!(log.append(good(0)).await, appended(2, 41), "the writer goes on");
}

#[tokio::test]
async fn a_chain_is_refused_as_a_whole() {
    let log = Log::new().await;
    let a = append(&stream("s"), 1);
    let mut b = follow(&a, None, 1);
    b.events[0].schema_version = 0;
    let c = follow(&b, b.base.flatten(), 1);
    let mut replies =
        log.batch(vec![vec![append(&stream("t"), 1)], vec![a, b, c], vec![append(&stream("t"), 1)]]).await;
    assert!(replies[1].iter().all(|reply| matches!(reply, Err(AppendError::Refused(_)))), "{replies:?}");
    assert_eq!(replies.remove(0), [Ok(appended(0, 1))]);
    assert_eq!(replies.remove(1), [Ok(appended(1, 2))]);
    assert_eq!(log.head(&stream("s")).await, None);
}

/// Text that no compression makes shorter, the same in every run.
fn incompressible(length: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + (state >> 33) as u8 % 94)
    };
    (0..length).map(|_| next()).collect()
}
