//! Receipts: the same key gives the same result once, another request under it is refused.

use everfold::model::{
    Append, AppendOutcome, ExpectedVersion, IdempotencyKey, Rejection, StoredOutcome, StreamKey, Tenant,
};
use time::OffsetDateTime;

use super::{Log, append, appended, json, receipt, stream, stream_of};

fn rejection() -> Rejection {
    Rejection {
        code: "insufficient-funds".into(),
        message: "Only 3 € left\0".into(),
        details: Some(json(r#"{"left" : 3.00,"left":"\u0000"}"#)),
    }
}

fn keyed(stream: &StreamKey, key: &str, fingerprint: u8, events: usize) -> Append {
    Append { receipt: receipt(key, fingerprint), ..append(stream, events) }
}

fn replayed(outcome: StoredOutcome) -> AppendOutcome {
    AppendOutcome::Replayed(outcome)
}

fn events(first_version: i64, first_position: i64, count: i64) -> StoredOutcome {
    StoredOutcome::Events { first_version, first_position, count }
}

async fn stored(log: &Log, tenant: &str, key: &str) -> Option<StoredOutcome> {
    let (tenant, key) = (Tenant::new(tenant).unwrap(), IdempotencyKey::new(key).unwrap());
    log.store.receipt(&tenant, &key).await.unwrap().map(|receipt| receipt.outcome)
}

#[tokio::test]
async fn the_same_request_has_the_same_outcome() {
    let log = Log::new().await;
    let s = stream("s");
    log.append(append(&s, 2)).await;
    let rejected = || Append { rejection: Some(rejection()), ..keyed(&s, "rejected", 3, 0) };
    assert_eq!(log.append(keyed(&s, "events", 1, 3)).await, appended(2, 3));
    assert_eq!(log.append(keyed(&s, "nothing", 2, 0)).await, AppendOutcome::Confirmed { version: 4 });
    assert_eq!(log.append(rejected()).await, AppendOutcome::Confirmed { version: 4 });
    // What came later isn't seen.
    log.append(append(&s, 1)).await;

    let nothing = StoredOutcome::Nothing { version: 4 };
    let rejection = StoredOutcome::Rejected { rejection: rejection(), version: 4 };
    for _ in 0..2 {
        assert_eq!(log.append(keyed(&s, "events", 1, 3)).await, replayed(events(2, 3, 3)));
        assert_eq!(log.append(keyed(&s, "nothing", 2, 0)).await, replayed(nothing.clone()));
        assert_eq!(log.append(rejected()).await, replayed(rejection.clone()));
    }
    assert_eq!(log.head(&s).await.unwrap().version, 5);
    assert_eq!(stored(&log, "default", "events").await, Some(events(2, 3, 3)));
    assert_eq!(stored(&log, "default", "nothing").await, Some(nothing));
    assert_eq!(stored(&log, "default", "rejected").await, Some(rejection));
    assert_eq!(stored(&log, "default", "other").await, None);
}

#[tokio::test]
async fn a_key_belongs_to_one_request() {
    let log = Log::new().await;
    log.append(keyed(&stream("s"), "key", 1, 1)).await;
    assert_eq!(log.append(keyed(&stream("s"), "key", 2, 1)).await, AppendOutcome::KeyReused);
    assert_eq!(log.append(keyed(&stream("t"), "key", 2, 0)).await, AppendOutcome::KeyReused);
    assert_eq!(log.append(keyed(&stream("s"), "key", 1, 1)).await, replayed(events(0, 1, 1)));
    assert_eq!(log.store.head().await.unwrap().position, 1);
}

#[tokio::test]
async fn a_key_that_comes_again_in_one_batch_is_carried_out_once() {
    let log = Log::new().await;
    let (s, t) = (stream("s"), stream("t"));
    let appends = vec![
        keyed(&s, "a", 1, 2),
        keyed(&s, "a", 1, 2),
        keyed(&t, "a", 2, 1),
        append(&s, 1),
        keyed(&s, "a", 1, 2),
        Append { rejection: Some(rejection()), ..keyed(&s, "b", 1, 0) },
        keyed(&t, "c", 1, 0),
        keyed(&s, "b", 1, 0),
        keyed(&t, "c", 1, 0),
        keyed(&t, "c", 2, 1),
    ];
    let outcomes: Vec<_> = log.singles(appends).await.into_iter().map(Result::unwrap).collect();
    let expected = [
        appended(0, 1),
        replayed(events(0, 1, 2)),
        AppendOutcome::KeyReused,
        appended(2, 3),
        replayed(events(0, 1, 2)),
        AppendOutcome::Confirmed { version: 2 },
        AppendOutcome::Confirmed { version: -1 },
        replayed(StoredOutcome::Rejected { rejection: rejection(), version: 2 }),
        replayed(StoredOutcome::Nothing { version: -1 }),
        AppendOutcome::KeyReused,
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(stored(&log, "default", "a").await, Some(events(0, 1, 2)));
    assert_eq!(log.store.head().await.unwrap().position, 3);
}

#[tokio::test]
async fn a_conflict_leaves_no_receipt() {
    let log = Log::new().await;
    let s = stream("s");
    let demanding = |fingerprint| Append { expected: ExpectedVersion::Exists, ..keyed(&s, "key", fingerprint, 1) };
    let stale = Append { base: Some(log.head(&stream("t")).await), ..keyed(&s, "stale", 1, 1) };
    assert_eq!(log.append(demanding(1)).await, AppendOutcome::Conflict { actual: -1 });
    assert_eq!(stored(&log, "default", "key").await, None);

    // In one batch too: the first that is carried out has the key.
    let outcomes = log.singles(vec![demanding(1), keyed(&s, "key", 2, 1), demanding(1), demanding(2)]).await;
    let outcomes: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
    let conflict = AppendOutcome::Conflict { actual: -1 };
    assert_eq!(outcomes, [conflict, appended(0, 1), AppendOutcome::KeyReused, replayed(events(0, 1, 1))]);

    assert_eq!(log.append(stale.clone()).await, AppendOutcome::Stale { actual: 0 });
    assert_eq!(stored(&log, "default", "stale").await, None);
    assert_eq!(log.append(Append { base: Some(log.head(&s).await), ..stale }).await, appended(1, 2));
}

#[tokio::test]
async fn the_receipt_comes_before_every_demand() {
    let log = Log::new().await;
    let s = stream("s");
    let request = |key| Append { expected: ExpectedVersion::NoStream, base: Some(None), ..keyed(&s, key, 1, 1) };
    assert_eq!(log.append(request("key")).await, appended(0, 1));
    assert_eq!(log.append(request("key")).await, replayed(events(0, 1, 1)), "it had succeeded");
    assert_eq!(log.append(request("other")).await, AppendOutcome::Conflict { actual: 0 });
}

#[tokio::test]
async fn tenants_share_no_keys() {
    let log = Log::new().await;
    let (a, b) = (stream_of("a", "account", "s"), stream_of("b", "account", "s"));
    let outcomes = log.singles(vec![keyed(&a, "key", 1, 1), keyed(&b, "key", 2, 2)]).await;
    assert_eq!(outcomes, [Ok(appended(0, 1)), Ok(appended(0, 2))]);
    assert_eq!(log.append(keyed(&b, "key", 2, 1)).await, replayed(events(0, 2, 2)));
    assert_eq!(stored(&log, "a", "key").await, Some(events(0, 1, 1)));
    assert_eq!(stored(&log, "c", "key").await, None);
}

#[tokio::test]
async fn old_receipts_are_removed() {
    let log = Log::new().await;
    // More than one step of the removal.
    let old = (0..1_500).map(|n| keyed(&stream("s"), &format!("old {n}"), 1, 0)).collect();
    log.singles(old).await;
    let between = OffsetDateTime::now_utc();
    log.append(keyed(&stream("s"), "new", 1, 1)).await;

    assert_eq!(log.store.remove_receipts(between - time::Duration::HOUR).await.unwrap(), 0);
    assert_eq!(log.store.remove_receipts(between).await.unwrap(), 1_500);
    assert_eq!(stored(&log, "default", "old 0").await, None);
    assert_eq!(stored(&log, "default", "new").await, Some(events(0, 1, 1)));
    assert_eq!(log.append(keyed(&stream("s"), "old 0", 2, 1)).await, appended(1, 2), "the key is free again");
}
