//! Whatever the log, the direction, the filters, the begin and the limit are: pages, lines and links lead through the
//! same events as one read of everything.

use std::sync::Arc;

use everfold::model::{AggregateType, Append, ExpectedVersion, Json, NewEvent, StreamId, StreamKey, Tenant};
use everfold::store::{Store, StoreOptions, Submission, Ticket, Writer, WriterOptions};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any};
use proptest::prop_oneof;
use proptest::sample::subsequence;
use reqwest::Method;
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use tokio::time::Instant;
use uuid::Uuid;

use super::comparison::{head, position};
use super::{Property, SOON, Steps};
use crate::support::host::{Answer, Setup, TestHost};
use crate::support::postgres::TestDatabase;

const TENANTS: u8 = 2;
const TYPES: [&str; 3] = ["Opened", "Paid & more", "Zoë"];
const STREAMS: [(&str, &str); 3] = [("a", "x"), ("a", "y"), ("b", "x")];

/// Positions that a page looks at: few, so that pages are empty now and then.
const SCAN_LIMIT: i64 = 12;

/// An event of the log, by the numbers of its tenant, stream and type.
#[derive(Debug, Clone)]
struct Draft {
    tenant: u8,
    stream: usize,
    event_type: usize,
    /// The next one is committed later.
    ends_commit: bool,
}

/// A question: which events, and how they are read.
#[derive(Debug, Clone)]
struct Question {
    tenant: u8,
    /// Of this stream alone.
    stream: Option<usize>,
    event_types: Vec<&'static str>,
    aggregate_types: Vec<&'static str>,
    backward: bool,
    begin: Begin,
    limit: usize,
    way: Way,
}

/// Where to begin; the numbers are taken modulo what there is.
#[derive(Debug, Clone, Copy)]
enum Begin {
    Edge,
    /// A position or version.
    Place(usize),
    /// The time of an event, so many microseconds later. Of a stream it is the edge.
    Time(usize, i64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    /// Along `links.next`, and back from each page along `links.prev`.
    Links,
    /// By `next` as the next cursor. Of a stream it is the same as by links.
    Cursors,
    /// Lines; with a limit or all there are.
    Lines(bool),
}

fn cases() -> impl Strategy<Value = (Steps<Draft>, Steps<Question>)> {
    let draft = (0..TENANTS, 0..3_usize, 0..3_usize, proptest::bool::weighted(0.3))
        .prop_map(|(tenant, stream, event_type, ends_commit)| Draft { tenant, stream, event_type, ends_commit });
    let begin = prop_oneof![
        1 => Just(Begin::Edge),
        2 => any::<usize>().prop_map(Begin::Place),
        2 => (any::<usize>(), -1..2_i64).prop_map(|(event, later)| Begin::Time(event, later)),
    ];
    let way = prop_oneof![Just(Way::Links), Just(Way::Cursors), any::<bool>().prop_map(Way::Lines)];
    let limit = prop_oneof![4 => 1..8_usize, 1 => Just(1000)];
    let filters = (subsequence(&TYPES[..], 0..3), subsequence(&["a", "b"][..], 0..2));
    let stream = proptest::option::weighted(0.4, 0..3_usize);
    let question = (0..TENANTS, stream, filters, any::<bool>(), begin, limit, way).prop_map(
        |(tenant, stream, (event_types, aggregate_types), backward, begin, limit, way)| Question {
            tenant,
            stream,
            event_types,
            aggregate_types,
            backward,
            begin,
            limit,
            way,
        },
    );
    (vec(draft, 1..50).prop_map(Steps), vec(question, 1..10).prop_map(Steps))
}

struct World {
    host: TestHost,
    writer: Writer,
    _database: TestDatabase,
}

async fn world() -> World {
    let database = TestDatabase::new().await;
    let setup = Setup { scan_limit: SCAN_LIMIT, ..Setup::new(database.options()) };
    let (writer, _) = Writer::start(Store::new(&StoreOptions::new(database.options())), WriterOptions::default());
    World { host: TestHost::launch(setup, &[]).await, writer, _database: database }
}

#[test]
fn pages_lines_and_links_are_one_read() {
    let property = Property { seeds: "tests/proptest-regressions/paging.txt", cases: 40 };
    property.holds(world(), cases(), async |world, case, (drafts, questions)| {
        let start = head(&world.host).await;
        let mut ids = Vec::new();
        for commit in drafts.0.split_inclusive(|draft| draft.ends_commit) {
            ids.extend(append(&world.writer, case, commit).await);
        }
        let mut wholes = Vec::new();
        for number in 0..TENANTS {
            let own = drafts.0.iter().zip(&ids).filter(|(draft, _)| draft.tenant == number).map(|(_, id)| id);
            wholes.push(whole(&world.host, &tenant(case, number), &start, own).await);
        }
        for question in &questions.0 {
            let whole = &wholes[usize::from(question.tenant)];
            let reader = Reader { host: &world.host, tenant: tenant(case, question.tenant), start: &start };
            reader.ask(question, whole).await;
        }
    });
}

fn tenant(case: u32, number: u8) -> String {
    format!("c{case}-{number}")
}

/// Commits events together, and answers their ids.
async fn append(writer: &Writer, case: u32, commit: &[Draft]) -> Vec<Uuid> {
    let mut ids = Vec::new();
    let mut submissions = Vec::new();
    for draft in commit {
        let (aggregate_type, stream_id) = STREAMS[draft.stream];
        let event_id = Uuid::now_v7();
        let event = NewEvent {
            event_id,
            event_type: TYPES[draft.event_type].to_owned(),
            schema_version: 1,
            payload: Json::of(&event_id),
            metadata: Json::of(&()),
            occurred_at: OffsetDateTime::UNIX_EPOCH,
        };
        let stream = StreamKey {
            tenant: Tenant::new(tenant(case, draft.tenant)).unwrap(),
            aggregate_type: AggregateType::new(aggregate_type).unwrap(),
            stream_id: StreamId::new(stream_id).unwrap(),
        };
        let append = Append {
            stream,
            expected: ExpectedVersion::Any,
            base: None,
            continues: false,
            receipt: None,
            module_digest: None,
            events: vec![event],
            rejection: None,
        };
        ids.push(event_id);
        submissions.push(Submission { append, ticket: Arc::new(Ticket::new(Instant::now() + SOON)) });
    }
    for outcome in writer.submit(submissions).unwrap().await.unwrap() {
        outcome.unwrap();
    }
    ids
}

/// All that a tenant has, read once: these events in this order.
async fn whole(host: &TestHost, tenant: &str, start: &str, ids: impl Iterator<Item = &Uuid>) -> Vec<Value> {
    let reader = Reader { host, tenant: tenant.to_owned(), start };
    let all = reader.lines(&format!("/v1/events?after={start}")).await;
    assert!(all.iter().map(|event| event["event_id"].as_str().unwrap()).eq(ids.map(Uuid::to_string)));
    all
}

struct Reader<'a> {
    host: &'a TestHost,
    tenant: String,
    /// The log's head when the case began: nothing before it is the tenant's.
    start: &'a str,
}

/// Whether an event is among those that are to come.
type Picks = Box<dyn Fn(&Value) -> bool>;

/// A page, and those beside it.
struct Page {
    events: Vec<Value>,
    prev: Option<String>,
    next: Option<String>,
}

impl Reader<'_> {
    async fn ask(&self, question: &Question, whole: &[Value]) {
        // Only a cursor of the whole log is told with an event of it.
        let mut whole = whole.to_vec();
        if question.stream.is_some() {
            whole.iter_mut().for_each(|event| drop(event.as_object_mut().unwrap().remove("cursor")));
        }
        let mut all: Vec<Value> = whole.iter().filter(|event| question.asks_for(event)).cloned().collect();
        if question.backward {
            all.reverse();
        }
        let (begin, is_behind) = self.begin(question, &whole);
        let expected: Vec<Value> = all.iter().filter(|event| is_behind(event)).cloned().collect();
        let (path, filter) = question.path();
        if question.stream.is_some() && whole.iter().all(|event| !question.is_of_stream(event)) {
            self.get(&format!("{path}?limit=1")).await.problem(404, "stream-not-found");
            return;
        }
        let query = format!("{path}?{begin}{filter}");
        match question.way {
            Way::Lines(limited) if question.stream.is_none() => {
                let limit = if limited { format!("&limit={}", question.limit) } else { String::new() };
                let most = if limited { question.limit } else { usize::MAX };
                let told = self.lines(&format!("{query}{limit}")).await;
                assert_eq!(told, expected.into_iter().take(most).collect::<Vec<_>>(), "{query}{limit}");
            }
            Way::Cursors if question.stream.is_none() => {
                assert_eq!(self.by_cursors(question, &query).await, expected, "{query}");
            }
            _ => self.along_links(&format!("{query}&limit={}", question.limit), &all, &expected).await,
        }
    }

    /// The parameter that says where to begin, and whether an event is behind that place.
    fn begin(&self, question: &Question, whole: &[Value]) -> (String, Picks) {
        let backward = question.backward;
        let direction = if backward { "direction=backward" } else { "direction=forward" };
        let behind = move |at: i64, inclusive: bool, name: &'static str| -> Picks {
            Box::new(move |event| {
                let place = event[name].as_i64().unwrap();
                if backward { place < at + i64::from(inclusive) } else { place > at - i64::from(inclusive) }
            })
        };
        match (question.begin, question.stream) {
            (Begin::Place(version), Some(_)) => {
                let version = (version % (whole.len() + 2)) as i64;
                (format!("{direction}&from_version={version}"), behind(version, true, "version"))
            }
            (Begin::Place(place), None) => {
                let (epoch, start) = self.start.split_once('-').unwrap();
                let last = whole.last().map_or(0, |event| event["position"].as_i64().unwrap());
                let start: i64 = start.parse().unwrap();
                let at = start + place as i64 % (last - start + 1).max(1);
                let at = at.max(start);
                let name = if backward { "before" } else { "after" };
                (format!("{direction}&{name}={epoch}-{at}"), behind(at, false, "position"))
            }
            (Begin::Time(event, later), None) if !whole.is_empty() => {
                let time = time_of(&whole[event % whole.len()]) + Duration::microseconds(later);
                let name = if backward { "before_time" } else { "from_time" };
                let text = time.format(&Rfc3339).unwrap();
                let is_behind = move |event: &Value| (time_of(event) < time) == backward;
                (format!("{direction}&{name}={text}"), Box::new(is_behind))
            }
            // Forward, what was there before the case needn't be walked through.
            (_, None) if !backward => (format!("{direction}&after={}", self.start), Box::new(|_| true)),
            _ => (direction.to_owned(), Box::new(|_| true)),
        }
    }

    /// Whether nothing of the case is left to a reader that goes backward from here.
    fn is_before_case(&self, cursor: &str) -> bool {
        position(cursor) <= position(self.start) + 1
    }

    async fn by_cursors(&self, question: &Question, query: &str) -> Vec<Value> {
        let (mut seen, mut query) = (Vec::new(), query.to_owned());
        loop {
            let page = self.get(&format!("{query}&limit={}", question.limit)).await.ok();
            seen.extend(page["events"].as_array().unwrap().iter().cloned());
            let next = page["next"].as_str().unwrap();
            let is_over = if question.backward { self.is_before_case(next) } else { page["head"] == next };
            if is_over {
                return seen;
            }
            let (path, filter) = question.path();
            let name = if question.backward { "direction=backward&before" } else { "after" };
            query = format!("{path}?{name}={next}{filter}");
        }
    }

    /// Walks on page by page; at each of them what lies behind is the rest, and what lies before it comes back reversed
    /// when turning around.
    async fn along_links(&self, path: &str, all: &[Value], expected: &[Value]) {
        let (mut rest, mut before) = (expected, all[..all.len() - expected.len()].to_vec());
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let page = self.page(&path).await;
            match page.prev {
                None => assert!(before.is_empty(), "{path}: no page before {before:#?}"),
                Some(prev) => {
                    let mut back = self.walk(prev.clone()).await;
                    back.reverse();
                    assert_eq!(back, before, "back from {path} by {prev}");
                }
            }
            assert!(rest.starts_with(&page.events), "{path}: {:#?}\nis not the begin of {rest:#?}", page.events);
            rest = &rest[page.events.len()..];
            before.extend(page.events);
            next = page.next;
        }
        assert!(rest.is_empty(), "{path} leads to the end, but not to {rest:#?}");
    }

    async fn walk(&self, path: String) -> Vec<Value> {
        let (mut seen, mut next) = (Vec::new(), Some(path));
        while let Some(path) = next {
            let page = self.page(&path).await;
            seen.extend(page.events);
            next = page.next;
        }
        seen
    }

    /// A page. Backward the walk ends where the case began.
    async fn page(&self, path: &str) -> Page {
        let mut page = self.get(path).await.ok();
        let link = |name: &str| page["links"][name].as_str().map(str::to_owned);
        let (prev, mut next) = (link("prev"), link("next"));
        let cursor = page["next"].as_str().map(str::to_owned);
        let is_over = |cursor: &String| self.is_before_case(cursor);
        if path.contains("direction=backward") && cursor.as_ref().is_some_and(is_over) {
            next = None;
        }
        let Value::Array(events) = page["events"].take() else { panic!("a page has events: {page}") };
        Page { events, prev, next }
    }

    async fn get(&self, path: &str) -> Answer {
        self.host.send(Method::GET, path, &[("everfold-tenant", &self.tenant)], "").await
    }

    async fn lines(&self, path: &str) -> Vec<Value> {
        let headers = [("everfold-tenant", self.tenant.as_str()), ("accept", "application/x-ndjson")];
        let answer = self.host.send(Method::GET, path, &headers, "").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Question {
    fn is_of_stream(&self, event: &Value) -> bool {
        self.stream.is_none_or(|stream| {
            (&event["aggregate_type"], &event["stream_id"]) == (&STREAMS[stream].0.into(), &STREAMS[stream].1.into())
        })
    }

    fn asks_for(&self, event: &Value) -> bool {
        let is_one_of = |names: &[&str], name: &Value| names.is_empty() || names.iter().any(|asked| name == asked);
        let of_type = self.stream.is_some() || is_one_of(&self.aggregate_types, &event["aggregate_type"]);
        self.is_of_stream(event) && of_type && is_one_of(&self.event_types, &event["event_type"])
    }

    /// The path, and the filters as further parameters.
    fn path(&self) -> (String, String) {
        let listed = |name: &str, names: &[&str]| match names {
            [] => String::new(),
            names => {
                let list: String = form_urlencoded::byte_serialize(names.join(",").as_bytes()).collect();
                format!("&{name}={list}")
            }
        };
        let event_types = listed("event_type", &self.event_types);
        match self.stream {
            Some(stream) => (format!("/v1/streams/{}/{}/events", STREAMS[stream].0, STREAMS[stream].1), event_types),
            None => ("/v1/events".to_owned(), event_types + &listed("aggregate_type", &self.aggregate_types)),
        }
    }
}

fn time_of(event: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(event["created_at"].as_str().unwrap(), &Rfc3339).unwrap()
}
