//! The log in PostgreSQL: what may be appended, what is read back, and what survives lost connections.

mod append;
mod batches;
mod chains;
mod commit;
mod head_lock;
mod history;
mod isolation;
mod loading;
mod migrations;
mod outcomes;
mod pages;
mod plans;
mod race;
mod reading;
mod receipts;
mod streams;
mod tenant_sessions;

use std::sync::Arc;
use std::time::Duration;

use everfold::model::{
    AggregateType, Append, AppendOutcome, Base, Digest, ExpectedVersion, Head, IdempotencyKey, Json, ModuleDescriptor,
    NewEvent, ReceiptRequest, RecordedEvent, StreamId, StreamKey, Tenant,
};
use everfold::store::{
    AppendError, AppendReply, LogQuery, Store, StoreOptions, Submission, Ticket, Writer, WriterOptions,
};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Executor, Row};
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::support::postgres::TestDatabase;

/// How long anything may take that must happen at some time.
const SOON: Duration = Duration::from_secs(90);

/// A migrated database with one host's store and writer.
struct Log {
    database: TestDatabase,
    store: Store,
    writer: Writer,
}

impl Log {
    async fn new() -> Self {
        Self::with(WriterOptions::default()).await
    }

    async fn with(options: WriterOptions) -> Self {
        let database = TestDatabase::new().await;
        let (store, writer) = host(&database.options(), options);
        Self { database, store, writer }
    }

    /// Appends by itself, and expects an outcome.
    async fn append(&self, append: Append) -> AppendOutcome {
        self.chain(vec![append]).await.remove(0)
    }

    /// Appends a chain, and expects outcomes.
    async fn chain(&self, appends: Vec<Append>) -> Vec<AppendOutcome> {
        answer(submit(&self.writer, appends)).await.into_iter().map(Result::unwrap).collect()
    }

    /// Appends chains as one batch: the writer, idle till now, runs only when all of them are queued.
    async fn batch(&self, chains: Vec<Vec<Append>>) -> Vec<AppendReply> {
        let answers: Vec<_> = chains.into_iter().map(|chain| submit(&self.writer, chain)).collect();
        let mut replies = Vec::new();
        for reply in answers {
            replies.push(answer(reply).await);
        }
        replies
    }

    /// Chains of one append each as one batch.
    async fn singles(&self, appends: Vec<Append>) -> Vec<Result<AppendOutcome, AppendError>> {
        let replies = self.batch(appends.into_iter().map(|append| vec![append]).collect()).await;
        replies.into_iter().flatten().collect()
    }

    /// A connection of the database's owner.
    async fn owner(&self) -> PgConnection {
        self.database.options().connect().await.unwrap()
    }

    /// Everything that a tenant's log holds.
    async fn events_of(&self, tenant: &str) -> Vec<RecordedEvent> {
        let page = self.store.read_log(&all_of(tenant)).await.unwrap();
        assert_eq!(page.next, page.head, "one page holds the test's events");
        page.events
    }

    async fn head(&self, stream: &StreamKey) -> Option<Head> {
        self.store.stream_head(stream).await.unwrap()
    }

    /// Registers a module, and answers its digest.
    async fn module(&self, name: &str, digest: u8) -> Digest {
        let digest = Digest([digest; 32]);
        let module = ModuleDescriptor { name: name.into(), version: "1.0.0".into(), aggregates: vec![] };
        self.store.register_module(&module, digest).await.unwrap();
        digest
    }
}

/// One host's store and writer. The writer ends with its last handle.
fn host(connect: &PgConnectOptions, options: WriterOptions) -> (Store, Writer) {
    let store = Store::new(&StoreOptions::new(connect.clone()));
    let (writer, _) = Writer::start(store.clone(), options);
    (store, writer)
}

fn stream_of(tenant: &str, aggregate_type: &str, id: &str) -> StreamKey {
    StreamKey {
        tenant: Tenant::new(tenant).unwrap(),
        aggregate_type: AggregateType::new(aggregate_type).unwrap(),
        stream_id: StreamId::new(id).unwrap(),
    }
}

fn stream(id: &str) -> StreamKey {
    stream_of("default", "account", id)
}

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

const OCCURRED: OffsetDateTime = datetime!(2026-03-04 05:06:07.890123 UTC);

fn event() -> NewEvent {
    NewEvent {
        event_id: Uuid::now_v7(),
        event_type: "happened".into(),
        schema_version: 1,
        payload: json("{}"),
        metadata: json("{}"),
        occurred_at: OCCURRED,
    }
}

/// A raw append of so many events that demands nothing.
fn append(stream: &StreamKey, events: usize) -> Append {
    Append {
        stream: stream.clone(),
        expected: ExpectedVersion::Any,
        base: None,
        continues: false,
        receipt: None,
        module_digest: None,
        events: (0..events).map(|_| event()).collect(),
        rejection: None,
    }
}

/// An append of so many events that goes on from `previous`, which was decided on `head`.
fn follow(previous: &Append, head: Base, events: usize) -> Append {
    let version = head.map_or(-1, |head| head.version) + previous.events.len() as i64;
    let base = previous.events.last().map(|event| Head { version, event_id: event.event_id }).or(head);
    Append { base: Some(base), continues: true, ..append(&previous.stream, events) }
}

/// The request for a receipt: `fingerprint` stands for the request's 32 bytes.
fn receipt(key: &str, fingerprint: u8) -> Option<ReceiptRequest> {
    Some(ReceiptRequest { key: IdempotencyKey::new(key).unwrap(), fingerprint: [fingerprint; 32] })
}

fn appended(first_version: i64, first_position: i64) -> AppendOutcome {
    AppendOutcome::Appended { first_version, first_position }
}

fn ticket(deadline: Duration) -> Arc<Ticket> {
    Arc::new(Ticket::new(Instant::now() + deadline))
}

fn submit(writer: &Writer, appends: Vec<Append>) -> oneshot::Receiver<AppendReply> {
    let submissions = appends.into_iter().map(|append| Submission { append, ticket: ticket(SOON) }).collect();
    writer.submit(submissions).unwrap()
}

async fn answer(reply: oneshot::Receiver<AppendReply>) -> AppendReply {
    timeout(SOON, reply).await.unwrap().unwrap()
}

fn all_of(tenant: &str) -> LogQuery {
    LogQuery::all(Tenant::new(tenant).unwrap(), 100_000)
}

/// A number that a statement answers.
async fn number(connection: &mut PgConnection, sql: &'static str) -> i64 {
    connection.fetch_one(sql).await.unwrap().get(0)
}

/// Waits until a statement that asks for a truth answers so.
async fn until(connection: &mut PgConnection, what: &str, sql: &'static str) {
    let deadline = Instant::now() + SOON;
    while !connection.fetch_one(sql).await.unwrap().get::<bool, _>(0) {
        assert!(Instant::now() < deadline, "{what} didn't happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
