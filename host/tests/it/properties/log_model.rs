//! What a host must answer to writes, and what the log holds after them: streams, receipts and a head in memory, one
//! write after the other.

use std::collections::{BTreeMap, HashMap};

use everfold::model::ExpectedVersion;
use serde_json::{Value, json};
use uuid::Uuid;

use super::counter::{Counter, Decision, Order};

/// A stream: tenant, aggregate type, id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Stream {
    pub(super) tenant: &'static str,
    pub(super) aggregate_type: &'static str,
    pub(super) id: String,
}

/// The only aggregate type that a module has.
pub(super) const FOLDED: &str = "counter";

/// An event of the log. What the host makes up is known once it has told it.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) event_type: String,
    pub(super) schema_version: u32,
    pub(super) payload: Value,
    pub(super) metadata: Metadata,
    pub(super) event_id: Option<Uuid>,
    pub(super) position: Option<i64>,
    /// A module decided it.
    pub(super) decided: bool,
}

/// What is known of an event's metadata.
#[derive(Debug, Clone)]
pub(super) enum Metadata {
    Exact(Value),
    /// The host's own, which names this actor.
    Actor(Option<&'static str>),
}

/// A write to one stream.
#[derive(Debug, Clone)]
pub(super) struct Write {
    pub(super) stream: Stream,
    pub(super) expected: ExpectedVersion,
    pub(super) key: Option<String>,
    pub(super) actor: Option<&'static str>,
    pub(super) what: What,
}

/// What is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    Command(Order),
    Events(Vec<RawEvent>),
}

/// An event as a client sends it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RawEvent {
    pub(super) event_type: &'static str,
    pub(super) schema_version: u32,
    pub(super) payload: Value,
    pub(super) event_id: Option<Uuid>,
    pub(super) metadata: Option<Value>,
}

/// What a write must be answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reply {
    /// These events of the stream, or none.
    Done {
        first_version: i64,
        count: usize,
        replayed: bool,
    },
    Rejected {
        code: &'static str,
        message: String,
        replayed: bool,
    },
    Conflict {
        expected: ExpectedVersion,
        actual: i64,
    },
    /// Another code that says all: its status comes with it.
    Problem(u16, &'static str),
}

/// The log as it must be.
#[derive(Default)]
pub(super) struct LogModel {
    /// The log's head.
    pub(super) head: i64,
    /// The events of each stream, by version.
    pub(super) streams: BTreeMap<Stream, Vec<Event>>,
    receipts: HashMap<(&'static str, String), (Write, Reply)>,
}

impl Stream {
    /// Type and id, as a path has them.
    pub(super) fn path(&self) -> String {
        let id: String = form_urlencoded::byte_serialize(self.id.as_bytes()).collect();
        format!("{}/{}", self.aggregate_type, id.replace('+', "%20"))
    }
}

impl RawEvent {
    fn is_readable(&self, stream: &Stream) -> bool {
        let known = [("Added", 1), ("Noted", 1), ("Noted", 2), ("Labelled", 1), ("Reset", 1)];
        stream.aggregate_type != FOLDED || known.contains(&(self.event_type, self.schema_version))
    }

    fn event(&self, actor: Option<&'static str>) -> Event {
        Event {
            event_type: self.event_type.to_owned(),
            schema_version: self.schema_version,
            payload: self.payload.clone(),
            metadata: self.metadata.clone().map_or(Metadata::Actor(actor), Metadata::Exact),
            event_id: self.event_id,
            position: None,
            decided: false,
        }
    }
}

impl Write {
    /// Whether the other is the same request again. Who sends it makes no difference.
    fn is_same(&self, other: &Self) -> bool {
        (&self.stream, self.expected, &self.what) == (&other.stream, other.expected, &other.what)
    }
}

impl LogModel {
    /// An empty part of a log that has this head.
    pub(super) fn new(head: i64) -> Self {
        Self { head, ..Self::default() }
    }

    /// The stream's events.
    pub(super) fn events(&self, stream: &Stream) -> &[Event] {
        self.streams.get(stream).map_or(&[], |events| &events[..])
    }

    /// The stream's version; -1 for none.
    pub(super) fn version(&self, stream: &Stream) -> i64 {
        self.events(stream).len() as i64 - 1
    }

    /// Carries a write out, by the second version of the module or the first.
    pub(super) fn write(&mut self, write: &Write, second: bool) -> Reply {
        let receipt = write.key.clone().map(|key| (write.stream.tenant, key));
        if let Some((first, reply)) = receipt.as_ref().and_then(|receipt| self.receipts.get(receipt)) {
            return if first.is_same(write) { reply.again() } else { Reply::Problem(422, "idempotency-key-reused") };
        }
        let reply = self.carry_out(write, second);
        if let (Some(receipt), Reply::Done { .. } | Reply::Rejected { .. }) = (receipt, &reply) {
            self.receipts.insert(receipt, (write.clone(), reply.clone()));
        }
        reply
    }

    fn carry_out(&mut self, write: &Write, second: bool) -> Reply {
        let actual = self.version(&write.stream);
        let decision = match &write.what {
            What::Events(events) if !events.iter().all(|event| event.is_readable(&write.stream)) => Decision::Invalid,
            What::Events(_) => Decision::Events(Vec::new()),
            What::Command(_) if write.stream.aggregate_type != FOLDED => {
                return Reply::Problem(404, "unknown-aggregate");
            }
            What::Command(order) => Counter::of(self.events(&write.stream)).decide(*order, actual, write.actor, second),
        };
        match decision {
            Decision::Invalid => return Reply::Problem(400, "invalid"),
            Decision::UnknownCommand => return Reply::Problem(404, "unknown-command"),
            _ if !is_admitted(write.expected, actual) => {
                return Reply::Conflict { expected: write.expected, actual };
            }
            Decision::No(code, message) => return Reply::Rejected { code, message, replayed: false },
            Decision::Events(decided) => {
                let events = self.streams.entry(write.stream.clone()).or_default();
                match &write.what {
                    What::Events(raw) => events.extend(raw.iter().map(|event| event.event(write.actor))),
                    What::Command(_) => {
                        events.extend(decided.into_iter().map(|event| decided_event(event, write.actor)));
                    }
                }
            }
        }
        let count = usize::try_from(self.version(&write.stream) - actual).unwrap();
        Reply::Done { first_version: actual + 1, count, replayed: false }
    }

    /// Imports an event to this version, and answers whether it was there before, or the stream's version where it
    /// can't go there. `diverged` are the streams that the same import found to be others.
    pub(super) fn import(
        &mut self,
        stream: &Stream,
        version: i64,
        event: &RawEvent,
        diverged: &mut Vec<Stream>,
    ) -> Result<bool, Reply> {
        if !event.is_readable(stream) {
            return Err(Reply::Problem(400, "invalid"));
        }
        let actual = self.version(stream);
        let expected = if version == 0 { ExpectedVersion::NoStream } else { ExpectedVersion::Exact(version - 1) };
        let no = Err(Reply::Conflict { expected, actual });
        if version <= actual {
            if self.events(stream)[usize::try_from(version).unwrap()].event_id == event.event_id {
                return Ok(true);
            }
            diverged.push(stream.clone());
            return no;
        }
        if version > actual + 1 || diverged.contains(stream) {
            return no;
        }
        let metadata = Metadata::Exact(event.metadata.clone().unwrap_or_else(|| json!({})));
        self.streams.entry(stream.clone()).or_default().push(Event { metadata, ..event.event(None) });
        Ok(false)
    }

    /// Moves the head over runs of new positions, which must follow it and each other without a gap.
    pub(super) fn advance(&mut self, mut runs: Vec<Vec<i64>>) {
        runs.sort();
        let positions: Vec<i64> = runs.into_iter().flatten().collect();
        let expected: Vec<i64> = (self.head + 1..).take(positions.len()).collect();
        assert_eq!(positions, expected, "positions are dense, and each write's follow each other");
        self.head += positions.len() as i64;
    }
}

impl Reply {
    fn again(&self) -> Self {
        let mut again = self.clone();
        if let Self::Done { replayed, .. } | Self::Rejected { replayed, .. } = &mut again {
            *replayed = true;
        }
        again
    }
}

fn is_admitted(expected: ExpectedVersion, actual: i64) -> bool {
    match expected {
        ExpectedVersion::Any => true,
        ExpectedVersion::Exists => actual >= 0,
        ExpectedVersion::NoStream => actual < 0,
        ExpectedVersion::Exact(version) => actual == version,
    }
}

fn decided_event((event_type, schema_version, payload): (&str, u32, Value), actor: Option<&'static str>) -> Event {
    Event {
        event_type: event_type.to_owned(),
        schema_version,
        payload,
        metadata: Metadata::Actor(actor),
        event_id: None,
        position: None,
        decided: true,
    }
}
