//! Whatever is appended in whatever batches, each append is answered, and the log left, as the rules of
//! `append_batch_v1` say.

use std::collections::BTreeMap;
use std::sync::Arc;

use everfold::model::{
    AggregateType, Append, AppendOutcome, Digest, ExpectedVersion, Head, IdempotencyKey, Json, ModuleDescriptor,
    NewEvent, ReceiptRequest, RecordedEvent, Rejection, StreamId, StreamKey, Tenant,
};
use everfold::store::{LogQuery, Store, StoreOptions, Submission, Ticket, Writer, WriterOptions};
use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any};
use proptest::prop_oneof;
use time::macros::datetime;
use tokio::time::Instant;
use uuid::Uuid;

use super::batch_model::BatchModel;
use super::{Property, SOON, Steps};
use crate::support::postgres::TestDatabase;

const TENANTS: u8 = 2;
const DIGEST: Digest = Digest([7; 32]);

/// An append as it is drawn: it becomes one when it is known where its stream is by then.
#[derive(Debug, Clone)]
struct Draft {
    tenant: u8,
    stream: u8,
    expects: Expects,
    base: Base,
    continues: bool,
    /// A key, and the number of the request that comes with it.
    receipt: Option<(u8, u8)>,
    events: u8,
    rejected: bool,
    /// The next one begins another batch.
    ends_batch: bool,
}

/// What is demanded of the stream; a number is the distance from its version.
#[derive(Debug, Clone, Copy)]
enum Expects {
    Any,
    Exists,
    NoStream,
    Version(i64),
}

/// The head that the append is decided on; a number is the distance from the stream's version.
#[derive(Debug, Clone, Copy)]
enum Base {
    NotDecided,
    Head,
    NoStream,
    Version(i64),
    OtherEvent,
}

fn drafts() -> impl Strategy<Value = Draft> {
    let expects = prop_oneof![
        4 => Just(Expects::Any),
        1 => Just(Expects::Exists),
        1 => Just(Expects::NoStream),
        3 => (-1..2_i64).prop_map(Expects::Version),
    ];
    let base = prop_oneof![
        3 => Just(Base::NotDecided),
        5 => Just(Base::Head),
        1 => Just(Base::NoStream),
        1 => (-1..2_i64).prop_map(Base::Version),
        1 => Just(Base::OtherEvent),
    ];
    let receipt = option::weighted(0.4, (0..4_u8, 0..2_u8));
    let stream = (0..TENANTS, 0..3_u8);
    let flags = (any::<bool>(), any::<bool>(), weighted(0.2));
    (stream, expects, base, receipt, 0..4_u8, flags).prop_map(
        |((tenant, stream), expects, base, receipt, events, (continues, rejected, ends_batch))| Draft {
            tenant,
            stream,
            expects,
            base,
            continues,
            receipt,
            events,
            rejected,
            ends_batch,
        },
    )
}

impl Draft {
    fn stream(&self, case: u32) -> StreamKey {
        StreamKey {
            tenant: tenant(case, self.tenant),
            aggregate_type: AggregateType::new(format!("type{case}-{}", self.stream % 2)).unwrap(),
            stream_id: StreamId::new(format!("s{}", self.stream)).unwrap(),
        }
    }

    /// The append, where the log is as the model says.
    fn append(&self, case: u32, model: &BatchModel) -> Append {
        let stream = self.stream(case);
        let (version, head) = (model.version(&stream), model.base(&stream));
        let event_id = head.map_or(Uuid::nil(), |head| head.event_id);
        let rejection = Rejection { code: "no".into(), message: "No.".into(), details: None };
        Append {
            expected: match self.expects {
                Expects::Any => ExpectedVersion::Any,
                Expects::Exists => ExpectedVersion::Exists,
                Expects::NoStream => ExpectedVersion::NoStream,
                Expects::Version(distance) => ExpectedVersion::Exact(0.max(version + distance)),
            },
            base: match self.base {
                Base::NotDecided => None,
                Base::Head => Some(head),
                Base::NoStream => Some(None),
                Base::Version(distance) => Some(Some(Head { version: 0.max(version + distance), event_id })),
                Base::OtherEvent => Some(Some(Head { version: 0.max(version), event_id: Uuid::now_v7() })),
            },
            continues: self.continues,
            receipt: self.receipt.map(|(key, request)| ReceiptRequest {
                key: IdempotencyKey::new(key.to_string()).unwrap(),
                fingerprint: [request; 32],
            }),
            module_digest: matches!(self.base, Base::Head).then_some(DIGEST),
            events: (0..self.events).map(event).collect(),
            rejection: (self.rejected && self.events == 0 && self.receipt.is_some()).then_some(rejection),
            stream,
        }
    }
}

fn event(number: u8) -> NewEvent {
    NewEvent {
        event_id: Uuid::now_v7(),
        event_type: if number == 0 { "first" } else { "further" }.into(),
        schema_version: 1 + u32::from(number),
        payload: Json::of(&number),
        metadata: Json::of(&[number]),
        occurred_at: datetime!(2026-03-04 05:06:07.890123 UTC),
    }
}

fn tenant(case: u32, number: u8) -> Tenant {
    Tenant::new(format!("c{case}-{number}")).unwrap()
}

struct World {
    store: Store,
    writer: Writer,
    _database: TestDatabase,
}

async fn world() -> World {
    let database = TestDatabase::new().await;
    let store = Store::new(&StoreOptions::new(database.options()));
    let (writer, _) = Writer::start(store.clone(), WriterOptions::default());
    let module = ModuleDescriptor { name: "decider".into(), version: "1.0.0".into(), aggregates: vec![] };
    store.register_module(&module, DIGEST).await.unwrap();
    World { store, writer, _database: database }
}

#[test]
fn batches_of_appends_follow_their_rules() {
    let property = Property { seeds: "tests/proptest-regressions/batches.txt", cases: 200 };
    let cases = vec(drafts(), 1..60).prop_map(Steps);
    property.holds(world(), cases, async |world, case, drafts| {
        let start = world.store.head().await.unwrap().position;
        let mut model = BatchModel::new(start);
        for batch in drafts.0.split_inclusive(|draft| draft.ends_batch) {
            model.begin();
            let (mut appends, mut expected) = (Vec::new(), Vec::new());
            for draft in batch {
                let append = draft.append(case, &model);
                expected.push(model.append(&append));
                appends.push(append);
            }
            assert_eq!(send(&world.writer, appends.clone()).await, expected, "{appends:#?}");
        }
        check_log(world, case, start, &model).await;
        check_receipts(&world.store, &model).await;
        check_kinds(&world.store, &model).await;
    });
}

/// Sends appends as one batch.
async fn send(writer: &Writer, appends: Vec<Append>) -> Vec<AppendOutcome> {
    let ticket = || Arc::new(Ticket::new(Instant::now() + SOON));
    let batch = appends.into_iter().map(|append| Submission { append, ticket: ticket() }).collect();
    writer.submit(batch).unwrap().await.unwrap().into_iter().map(Result::unwrap).collect()
}

/// The log from the case's start on is what the model holds, and nothing else.
async fn check_log(world: &World, case: u32, start: i64, model: &BatchModel) {
    let mut log: Vec<RecordedEvent> = Vec::new();
    for number in 0..TENANTS {
        let page = world.store.read_log(&LogQuery::all(tenant(case, number), 100_000)).await.unwrap();
        assert_eq!((page.next, page.head.position), (page.head, model.head));
        log.extend(page.events);
    }
    log.sort_by_key(|event| event.position);
    assert!(log.iter().map(|event| event.position).eq(start + 1..=model.head), "positions are dense");
    assert!(log.is_sorted_by_key(|event| event.created_at), "time goes on along positions");
    let of_model = model.streams.iter().flat_map(|(stream, events)| {
        let placed = |(version, placed)| (stream.clone(), version, placed);
        (0..).zip(events).map(placed)
    });
    let mut expected: Vec<_> = of_model.collect();
    expected.sort_by_key(|(_, _, placed)| placed.position);
    for (found, (stream, version, placed)) in log.into_iter().zip(expected) {
        assert_eq!((found.position, &found.stream, found.version), (placed.position, &stream, version));
        assert_eq!(found.module_digest, placed.module);
        let RecordedEvent { event_id, event_type, schema_version, payload, metadata, occurred_at, .. } = found;
        let event = NewEvent { event_id, event_type, schema_version, payload, metadata, occurred_at };
        assert_eq!(event, placed.event);
    }
}

async fn check_receipts(store: &Store, model: &BatchModel) {
    for number in 0..4 {
        for tenant in model.streams.keys().map(|stream| &stream.tenant) {
            let key = IdempotencyKey::new(number.to_string()).unwrap();
            let found = store.receipt(tenant, &key).await.unwrap();
            let found = found.map(|receipt| (receipt.fingerprint, receipt.outcome));
            let expected = model.receipts.get(&(tenant.clone(), key));
            assert_eq!(found, expected.map(|(fingerprint, outcome)| (fingerprint.to_vec(), outcome.clone())));
        }
    }
}

/// The log knows each kind of event by the first of it.
async fn check_kinds(store: &Store, model: &BatchModel) {
    let mut expected = BTreeMap::new();
    for (stream, events) in &model.streams {
        for placed in events {
            let kind = (&stream.aggregate_type, &placed.event.event_type, placed.event.schema_version);
            let first = expected.entry(kind).or_insert(placed.position);
            *first = placed.position.min(*first);
        }
    }
    let found = store.event_kinds().await.unwrap();
    for ((aggregate_type, event_type, schema_version), first) in expected {
        let of_kind = found.iter().find(|kind| {
            (&*kind.aggregate_type, &kind.event_type, kind.schema_version)
                == (aggregate_type.as_str(), event_type, schema_version)
        });
        assert_eq!(of_kind.map(|kind| kind.first_position), Some(first), "{aggregate_type} {event_type}");
    }
}
