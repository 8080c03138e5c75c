//! One append at a time: what it demands, what it is decided on, and what the log keeps of it.

use everfold::model::{Append, AppendOutcome, ExpectedVersion, Head, NewEvent};
use everfold::store::RecordedKind;
use sqlx::Executor;
use time::macros::datetime;
use uuid::Uuid;

use super::{Log, append, appended, event, json, stream, stream_of};

#[tokio::test]
async fn a_demand_is_met_or_answered_with_the_actual_version() {
    let log = Log::new().await;
    let conflict = |actual| Some(AppendOutcome::Conflict { actual });
    let cases = [
        (ExpectedVersion::Any, None, None),
        (ExpectedVersion::Exists, conflict(-1), None),
        (ExpectedVersion::NoStream, None, conflict(1)),
        (ExpectedVersion::Exact(0), conflict(-1), conflict(1)),
        (ExpectedVersion::Exact(1), conflict(-1), None),
        (ExpectedVersion::Exact(2), conflict(-1), conflict(1)),
    ];
    let mut position = 1;
    for (expected, of_absent, of_present) in cases {
        let (absent, present) = (stream(&format!("absent {expected}")), stream(&format!("present {expected}")));
        assert_eq!(log.append(append(&present, 2)).await, appended(0, position));
        position += 2;
        for (stream, conflict, version) in [(absent, of_absent, 0), (present, of_present, 2)] {
            let outcome = log.append(Append { expected, ..append(&stream, 1) }).await;
            let head = log.head(&stream).await.map_or(-1, |head| head.version);
            match conflict {
                Some(conflict) => {
                    assert_eq!((outcome, head), (conflict, version - 1), "{expected}: nothing is written");
                }
                None => {
                    assert_eq!((outcome, head), (appended(version, position), version), "{expected}");
                    position += 1;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_decision_holds_only_on_the_head_it_was_made_on() {
    let log = Log::new().await;
    let (present, absent) = (stream("present"), stream("absent"));
    let first = append(&present, 2);
    let second_id = first.events[1].event_id;
    assert_eq!(log.append(first.clone()).await, appended(0, 1));

    let stale = |actual| AppendOutcome::Stale { actual };
    let other = Uuid::now_v7();
    for (stream, base, actual) in [
        (&present, None, 1),
        (&present, Some((0, first.events[0].event_id)), 1),
        (&present, Some((2, second_id)), 1),
        // Another host wrote another event at the same version.
        (&present, Some((1, other)), 1),
        (&absent, Some((1, second_id)), -1),
    ] {
        let base = Some(base.map(|(version, event_id)| Head { version, event_id }));
        for events in [0, 1] {
            assert_eq!(log.append(Append { base, ..append(stream, events) }).await, stale(actual), "{base:?}");
        }
    }
    let base = Some(Some(Head { version: 1, event_id: other }));
    let demanding = Append { base, expected: ExpectedVersion::NoStream, ..append(&present, 1) };
    assert_eq!(log.append(demanding).await, AppendOutcome::Conflict { actual: 1 }, "the caller's demand comes first");

    let base = Some(Some(Head { version: 1, event_id: second_id }));
    assert_eq!(log.append(Append { base, ..append(&present, 1) }).await, appended(2, 3));
    assert_eq!(log.append(Append { base: Some(None), ..append(&absent, 1) }).await, appended(0, 4));
}

#[tokio::test]
async fn without_events_only_the_checks_are_made() {
    let log = Log::new().await;
    let (present, absent) = (stream("present"), stream("absent"));
    log.append(append(&present, 3)).await;
    let confirmed = |version| AppendOutcome::Confirmed { version };
    assert_eq!(log.append(append(&present, 0)).await, confirmed(2));
    assert_eq!(log.append(append(&absent, 0)).await, confirmed(-1));
    let head = log.head(&present).await;
    assert_eq!(log.append(Append { base: Some(head), ..append(&present, 0) }).await, confirmed(2));
    assert_eq!(log.append(Append { base: Some(None), ..append(&absent, 0) }).await, confirmed(-1));
    let demanding = Append { expected: ExpectedVersion::Exact(1), ..append(&present, 0) };
    assert_eq!(log.append(demanding).await, AppendOutcome::Conflict { actual: 2 });
    assert_eq!(log.store.head().await.unwrap().position, 3);
}

#[tokio::test]
async fn an_event_is_read_back_as_it_was_written() {
    let log = Log::new().await;
    let digest = log.module("bank", 7).await;
    let stream = stream_of("acme", "account", "Zoë@example.org/7 %_\\'");
    let decided = Append { module_digest: Some(digest), ..append(&stream, 1) };
    let raw = append(&stream, 1);
    log.append(decided.clone()).await;
    log.append(raw.clone()).await;

    let events = log.events_of("acme").await;
    assert_eq!(events.len(), 2);
    assert_eq!((events[0].module_digest, events[1].module_digest), (Some(digest), None));
    for (n, (event, append)) in events.into_iter().zip([decided, raw]).enumerate() {
        let written = &append.events[0];
        assert_eq!((event.position, event.version), (n as i64 + 1, n as i64));
        assert_eq!((&event.stream, event.event_id), (&stream, written.event_id));
        assert_eq!((&event.event_type, event.schema_version), (&written.event_type, 1));
        assert_eq!(event.occurred_at, written.occurred_at);
    }
}

#[tokio::test]
async fn json_is_kept_byte_for_byte() {
    let log = Log::new().await;
    let deep = format!("{}{}", "[".repeat(127), "]".repeat(127));
    let texts = [
        r#"{"b":1.0, "a" : "\u0041\/\"", "b":2,"":[ ]}"#,
        r#"{"é":"🦀 日本\n","z":"\u0000 \ud800"}"#,
        "123456789012345678901234567890.000e+10",
        "-0",
        "1E400",
        "\"\u{7f}\u{2028}\"",
        "{\n\t\"a\"\n:\r\n1}",
        "null",
        &deep,
    ];
    let events = texts.iter().map(|text| NewEvent { payload: json(text), metadata: json(text), ..event() }).collect();
    log.append(Append { events, ..append(&stream("texts"), 0) }).await;
    let kept = log.events_of("default").await;
    let loaded = log.store.load_tail(&stream("texts"), -1, None, 100).await.unwrap().events;
    assert_eq!((kept.len(), loaded.len()), (texts.len(), texts.len()));
    for ((text, event), tail) in texts.iter().zip(kept).zip(loaded) {
        assert_eq!((event.payload.as_str(), event.metadata.as_str()), (*text, *text));
        assert_eq!(tail.payload, *text);
    }
}

#[tokio::test]
async fn occurred_at_is_kept_to_the_microsecond() {
    let log = Log::new().await;
    let times = [
        datetime!(2026-03-04 05:06:07.890123 UTC),
        datetime!(1969-12-31 23:59:59.999999 UTC),
        datetime!(0001-01-01 00:00:00.000001 UTC),
        datetime!(9999-12-31 23:59:59.999999 UTC),
        datetime!(2026-03-04 05:06:07.000001 +05:30),
    ];
    let events = times.iter().map(|time| NewEvent { occurred_at: *time, ..event() }).collect();
    log.append(Append { events, ..append(&stream("times"), 0) }).await;
    let kept: Vec<_> = log.events_of("default").await.iter().map(|event| event.occurred_at).collect();
    assert_eq!(kept, times);
}

#[tokio::test]
async fn committed_times_never_fall() {
    let log = Log::new().await;
    for _ in 0..5 {
        log.append(append(&stream("a"), 2)).await;
    }
    // The clock of the server that wrote the last event was an hour ahead.
    log.owner()
        .await
        .execute(
            "SET search_path = everfold, pg_temp; SET plan_cache_mode = force_generic_plan;
             INSERT INTO everfold.event_store
             SELECT 11, 10, occurred_at, clock_timestamp() + interval '1 hour', event_id, schema_version, module_id,
                    tenant_id, aggregate_type, stream_id, event_type, payload, metadata
             FROM everfold.event_store WHERE position = 10",
        )
        .await
        .unwrap();
    assert_eq!(log.append(append(&stream("a"), 1)).await, appended(11, 12));
    let times: Vec<_> = log.events_of("default").await.iter().map(|event| event.created_at).collect();
    assert_eq!(times.len(), 12);
    assert!(times.is_sorted(), "{times:?}");
}

#[tokio::test]
async fn kinds_are_noted_with_their_first_position() {
    let log = Log::new().await;
    let kind = |event_type: &str, schema_version| NewEvent { event_type: event_type.into(), schema_version, ..event() };
    let of = |aggregate_type, kinds| Append { events: kinds, ..append(&stream_of("default", aggregate_type, "1"), 0) };
    log.append(of("account", vec![kind("opened", 1), kind("paid", 2), kind("paid", 1), kind("paid", 2)])).await;
    log.append(of("order", vec![kind("paid", 1)])).await;
    log.append(of("account", vec![kind("opened", 1), kind("closed", u32::MAX)])).await;

    let expected = [
        ("account", "closed", i32::MAX.unsigned_abs(), 7),
        ("account", "opened", 1, 1),
        ("account", "paid", 1, 3),
        ("account", "paid", 2, 2),
        ("order", "paid", 1, 5),
    ];
    let expected = expected.map(|(aggregate_type, event_type, schema_version, first_position)| RecordedKind {
        aggregate_type: aggregate_type.into(),
        event_type: event_type.into(),
        schema_version,
        first_position,
    });
    assert_eq!(log.store.event_kinds().await.unwrap(), expected);
}
