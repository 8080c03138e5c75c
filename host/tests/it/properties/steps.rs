//! The steps of a sequence as they are drawn, and the requests that they become once it is known where the log is.

use everfold::model::ExpectedVersion;
use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any};
use proptest::prop_oneof;
use proptest::sample::select;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Steps;
use super::counter::Order;
use super::log_model::{FOLDED, LogModel, RawEvent, Stream, What, Write};

/// Aggregate types and ends of the ids of a tenant's streams.
pub(super) const STREAMS: [(&str, &str); 4] = [(FOLDED, "a"), (FOLDED, "b/ü"), (FOLDED, "c d"), ("plain", "a")];

/// Tenants with a part in the log. All cases have the same ones, or each would have guests of its own.
pub(super) const TENANTS: [&str; 2] = ["left", "right"];

const TEXTS: [&str; 3] = ["", "Zoë \"7\"\n", "№ 8 😀"];

/// One thing that is done. Numbers stand for one of the two hosts, tenants and so on.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Write {
        host: usize,
        write: Draft,
        by_precondition: bool,
    },
    /// Sends one of the writes with a key again, as it was.
    Again {
        host: usize,
        which: usize,
    },
    /// Commands as the lines of one request.
    Commands {
        host: usize,
        tenant: usize,
        writes: Vec<Draft>,
    },
    /// Histories of streams as the lines of one request.
    Import {
        host: usize,
        tenant: usize,
        parts: Vec<Part>,
    },
    Look {
        host: usize,
        tenant: usize,
        stream: u8,
        stale: bool,
    },
    /// The host's module gives way to its other version.
    Swap {
        host: usize,
    },
    DropSnapshots {
        tenant: usize,
    },
}

/// A write to be.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    tenant: usize,
    stream: u8,
    expects: Expects,
    key: Option<u8>,
    actor: bool,
    what: DraftOf,
}

#[derive(Debug, Clone)]
enum DraftOf {
    Command(Order),
    /// [`Order::AddAt`], this far from the stream's version.
    AddAt(i64),
    Events(Vec<RawDraft>),
}

/// What is demanded of the stream; a number is the distance from its version.
#[derive(Debug, Clone, Copy)]
enum Expects {
    Any,
    Exists,
    NoStream,
    Version(i64),
}

#[derive(Debug, Clone)]
struct RawDraft {
    kind: Kind,
    /// One of few ids, so that some are used again.
    id: Option<u8>,
    metadata: bool,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Added(i64),
    Noted(&'static str),
    /// The older form of a note, under its older name or the newer one.
    Labelled(&'static str, bool),
    Reset(i64),
    Unheard,
}

/// A stream's part of an import.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) stream: u8,
    /// So many of its events are in the log already; below 0, so many are missing before it.
    overlap: i64,
    events: Vec<RawDraft>,
    /// The place of one that has another id in the log.
    other: Option<usize>,
}

/// Sequences of up to so many steps.
pub(super) fn sequences(most: usize) -> impl Strategy<Value = Steps<Step>> {
    vec(steps(), 1..most).prop_map(Steps)
}

fn steps() -> impl Strategy<Value = Step> {
    let (host, tenant) = (0..2_usize, 0..TENANTS.len());
    prop_oneof![
        60 => (host.clone(), drafts(), any::<bool>())
            .prop_map(|(host, write, by_precondition)| Step::Write { host, write, by_precondition }),
        12 => (host.clone(), 0..20_usize).prop_map(|(host, which)| Step::Again { host, which }),
        8 => (host.clone(), tenant.clone(), vec(commands(), 1..8))
            .prop_map(|(host, tenant, writes)| Step::Commands { host, tenant, writes }),
        8 => (host.clone(), tenant.clone(), vec(parts(), 1..4))
            .prop_map(|(host, tenant, parts)| Step::Import { host, tenant, parts }),
        12 => (host.clone(), tenant.clone(), 0..4_u8, any::<bool>())
            .prop_map(|(host, tenant, stream, stale)| Step::Look { host, tenant, stream, stale }),
        // Rare, for a swap takes as long as two hundred other steps.
        1 => host.prop_map(|host| Step::Swap { host }),
        3 => tenant.prop_map(|tenant| Step::DropSnapshots { tenant }),
    ]
}

fn drafts() -> impl Strategy<Value = Draft> {
    let events = vec(raw_drafts(), 1..5).prop_map(DraftOf::Events);
    prop_oneof![3 => commands(), 1 => drafts_of(events)]
}

fn commands() -> impl Strategy<Value = Draft> {
    let order = prop_oneof![
        4 => (-4..10_i64).prop_map(Order::Add),
        3 => (0..25_u32).prop_map(Order::Many),
        1 => Just(Order::Nothing),
        2 => select(&TEXTS[..]).prop_map(Order::Note),
        2 => Just(Order::Double),
        1 => Just(Order::Malformed),
        1 => Just(Order::Undeclared),
    ];
    drafts_of(prop_oneof![12 => order.prop_map(DraftOf::Command), 2 => (-1..2_i64).prop_map(DraftOf::AddAt)])
}

fn drafts_of(what: impl Strategy<Value = DraftOf>) -> impl Strategy<Value = Draft> {
    let expects = prop_oneof![
        6 => Just(Expects::Any),
        1 => Just(Expects::Exists),
        1 => Just(Expects::NoStream),
        4 => (-1..2_i64).prop_map(Expects::Version),
    ];
    // The stream without a module isn't worth as many writes.
    let stream = prop_oneof![9 => 0..3_u8, 1 => Just(3)];
    (0..TENANTS.len(), stream, expects, option::weighted(0.4, 0..6_u8), weighted(0.2), what)
        .prop_map(|(tenant, stream, expects, key, actor, what)| Draft { tenant, stream, expects, key, actor, what })
}

fn raw_drafts() -> impl Strategy<Value = RawDraft> {
    let kind = prop_oneof![
        6 => (-3..10_i64).prop_map(Kind::Added),
        2 => select(&TEXTS[..]).prop_map(Kind::Noted),
        2 => (select(&TEXTS[..]), any::<bool>()).prop_map(|(text, renamed)| Kind::Labelled(text, renamed)),
        2 => (0..5_i64).prop_map(Kind::Reset),
        1 => Just(Kind::Unheard),
    ];
    (kind, option::weighted(0.3, 0..4_u8), weighted(0.3)).prop_map(|(kind, id, metadata)| RawDraft {
        kind,
        id,
        metadata,
    })
}

fn parts() -> impl Strategy<Value = Part> {
    let overlap = prop_oneof![1 => Just(-1), 9 => 0..4_i64];
    (0..4_u8, overlap, vec(raw_drafts(), 1..6), option::weighted(0.1, 0..6_usize))
        .prop_map(|(stream, overlap, events, other)| Part { stream, overlap, events, other })
}

/// What the ids of a case's streams begin with.
pub(super) fn prefix(case: u32) -> String {
    format!("{case}-")
}

/// One of the streams of a case.
pub(super) fn stream(case: u32, tenant: usize, number: u8) -> Stream {
    let (aggregate_type, id) = STREAMS[usize::from(number)];
    Stream { tenant: TENANTS[tenant], aggregate_type, id: prefix(case) + id }
}

impl Draft {
    /// The same for another tenant.
    pub(super) fn of(&self, tenant: usize) -> Self {
        Self { tenant, ..self.clone() }
    }

    /// The same, with a key that no write to another stream has.
    pub(super) fn resolve_by_itself(&self, case: u32, model: &LogModel) -> Write {
        let mut write = self.resolve(case, model);
        write.key = write.key.map(|key| format!("{key}, {}", self.stream));
        write
    }

    /// The write, where the log is as the model says.
    pub(super) fn resolve(&self, case: u32, model: &LogModel) -> Write {
        let stream = stream(case, self.tenant, self.stream);
        let version = model.version(&stream);
        Write {
            expected: match self.expects {
                Expects::Any => ExpectedVersion::Any,
                Expects::Exists => ExpectedVersion::Exists,
                Expects::NoStream => ExpectedVersion::NoStream,
                Expects::Version(distance) => ExpectedVersion::Exact(0.max(version + distance)),
            },
            key: self.key.map(|key| format!("key \"{key}\" of {case}")),
            actor: self.actor.then_some("Ann"),
            what: match &self.what {
                DraftOf::Command(order) => What::Command(*order),
                DraftOf::AddAt(distance) => What::Command(Order::AddAt(version + distance)),
                DraftOf::Events(events) => What::Events(events.iter().map(|event| event.resolve(case)).collect()),
            },
            stream,
        }
    }
}

impl RawDraft {
    fn resolve(&self, case: u32) -> RawEvent {
        let (event_type, schema_version, payload) = match self.kind {
            Kind::Added(n) => ("Added", 1, json!({ "n": n })),
            Kind::Noted(text) => ("Noted", 2, json!({ "text": text, "by": null })),
            Kind::Labelled(text, renamed) => (if renamed { "Noted" } else { "Labelled" }, 1, json!({ "label": text })),
            Kind::Reset(held) => ("Reset", 1, json!({ "held": held })),
            Kind::Unheard => ("Unheard", 1, Value::Null),
        };
        RawEvent {
            event_type,
            schema_version,
            payload,
            event_id: self.id.map(|id| Uuid::from_u64_pair(case.into(), id.into())),
            metadata: self.metadata.then(|| json!({ "source": ["old", 7.5] })),
        }
    }
}

impl Part {
    /// The part's events with their versions, where the log is as the model says.
    pub(super) fn resolve(&self, case: u32, tenant: usize, model: &LogModel) -> Vec<(Stream, i64, RawEvent)> {
        let stream = stream(case, tenant, self.stream);
        let known = model.events(&stream);
        let first = 0.max(known.len() as i64 - self.overlap);
        let line = |(place, (version, draft)): (usize, (i64, &RawDraft))| {
            let there = usize::try_from(version).ok().and_then(|version| known.get(version)?.event_id);
            let there = there.filter(|_| self.other != Some(place));
            let event = draft.resolve(case);
            // Two events of a stream with one id would make another id of what is there no other event.
            (stream.clone(), version, RawEvent { event_id: there.or_else(|| Some(Uuid::now_v7())), ..event })
        };
        (first..).zip(&self.events).enumerate().map(line).collect()
    }
}
