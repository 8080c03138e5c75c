//! Whatever a history holds, it leaves the log by export as it entered it, and enters another tenant's log the same: in
//! one go, after a cut, or once more.

use std::process::Stdio;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Strategy, any};
use proptest::sample::{Index, select};
use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime, UtcOffset};
use uuid::Uuid;

use super::comparison::head;
use super::json_text::{names, texts};
use super::{Property, SOON, Steps};
use crate::support::host::TestHost;
use crate::support::postgres::TestDatabase;
use crate::support::process::everfold;

/// An event that is written; its version follows from those before it.
#[derive(Debug, Clone)]
struct Draft {
    stream: usize,
    event_type: String,
    schema_version: u32,
    payload: String,
    metadata: Option<String>,
    occurred_at: Option<OffsetDateTime>,
}

#[derive(Debug, Clone)]
struct History {
    streams: Vec<(String, String)>,
    events: Steps<Draft>,
    /// Written by raw appends, and not by an import.
    by_appends: bool,
    /// Where the export is cut.
    cut: Index,
}

/// A line of an export.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    aggregate_type: String,
    stream_id: String,
    version: i64,
    event_id: Uuid,
    event_type: String,
    schema_version: u32,
    #[serde(with = "time::serde::rfc3339")]
    occurred_at: OffsetDateTime,
    payload: Box<RawValue>,
    metadata: Box<RawValue>,
}

fn histories() -> impl Strategy<Value = History> {
    any::<bool>().prop_flat_map(|by_appends| {
        // A line of an import is one line.
        let spaces: &[&str] = if by_appends { &["", " ", "\t", "\n", " \r\n "] } else { &["", " ", "\t", "  "] };
        // A raw append with null for metadata is one without.
        let metadata = texts(spaces).prop_filter("no metadata", |text| text != "null");
        let metadata = option::weighted(0.7, metadata);
        let draft = (0..3_usize, names(), 1..i32::MAX as u32, texts(spaces), metadata, option::weighted(0.8, times()))
            .prop_map(|(stream, event_type, schema_version, payload, metadata, occurred_at)| Draft {
                stream,
                event_type,
                schema_version,
                payload,
                metadata,
                occurred_at,
            });
        // A path can't name these two.
        let ids = names().prop_filter("a path segment of its own meaning", |id| id != "." && id != "..");
        let streams = vec((select(&["a", "B-2", "_.c"][..]).prop_map(str::to_owned), ids), 3);
        (streams, vec(draft, 1..30), any::<Index>()).prop_map(move |(streams, events, cut)| History {
            streams,
            events: Steps(events),
            by_appends,
            cut,
        })
    })
}

/// Times of the years 100 to 9900, to the nanosecond, with any offset.
fn times() -> impl Strategy<Value = OffsetDateTime> {
    let seconds = -59_000_000_000..250_000_000_000_i64;
    (seconds, select(&[0, 1_000_000, 120_000_000, 999_999_999, 123_456_789, 123_456_000][..]), -14..15_i8).prop_map(
        |(seconds, nanoseconds, hours)| {
            let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap() + Duration::nanoseconds(nanoseconds);
            time.to_offset(UtcOffset::from_hms(hours, 0, 0).unwrap())
        },
    )
}

struct World {
    host: TestHost,
    home: tempfile::TempDir,
    _database: TestDatabase,
}

async fn world() -> World {
    let database = TestDatabase::new().await;
    let host = TestHost::start(&database, &[]).await;
    World { host, home: tempfile::tempdir().unwrap(), _database: database }
}

#[test]
fn a_history_leaves_as_it_entered_and_enters_elsewhere_the_same() {
    let property = Property { seeds: "tests/proptest-regressions/round_trip.txt", cases: 24 };
    property.holds(world(), histories(), async |world, case, history| {
        let (here, there) = (format!("c{case}-here"), format!("c{case}-there"));
        world.write(&history, &here).await;
        let exported = world.export(&here).await;
        check(&history, &exported);

        let cut = history.cut.index(exported.len());
        world.import(&there, &exported.as_bytes()[..cut]).await;
        let file = world.home.path().join("exported");
        std::fs::write(&file, &exported).unwrap();
        world.run(&["import", file.to_str().unwrap(), "--tenant", &there]).await;
        assert_eq!(world.export(&there).await, exported, "imported up to byte {cut}, then whole");

        let before = head(&world.host).await;
        for tenant in [&here, &there] {
            let answer = world.import(tenant, exported.as_bytes()).await;
            let end: Value = serde_json::from_str(answer.lines().last().unwrap()).unwrap();
            let count = history.events.0.len();
            assert_eq!((&end["answered"], &end["repeated"]), (&json!(count), &json!(count)), "{end}");
        }
        assert_eq!(head(&world.host).await, before, "the same lines again change nothing");
    });
}

impl World {
    /// Brings the history into the log.
    async fn write(&self, history: &History, tenant: &str) {
        let events = history.versions().zip(&history.events.0);
        if !history.by_appends {
            let lines: Vec<String> = events.map(|(version, draft)| draft.line(history, version)).collect();
            let answer = self.import(tenant, lines.join("\n").as_bytes()).await;
            assert!(answer.lines().all(|line| !line.contains("\"problem\"")), "{answer}");
            return;
        }
        for (_, draft) in events {
            let (aggregate_type, id) = history.stream(draft);
            let id: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
            let stream = format!("{aggregate_type}/{}", id.replace('+', "%20"));
            let body = format!("{{\"events\":[{{{}}}]}}", draft.members());
            self.host.append(&stream, &body, &[("everfold-tenant", tenant)]).await.ok();
        }
    }

    async fn import(&self, tenant: &str, lines: &[u8]) -> String {
        let request = self.host.request(Method::POST, "/v1/events").header("everfold-tenant", tenant);
        let answer = request.body(lines.to_vec()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap()
    }

    async fn export(&self, tenant: &str) -> String {
        self.run(&["export", "--tenant", tenant]).await
    }

    /// Runs a verb of the command line, which must go well.
    async fn run(&self, arguments: &[&str]) -> String {
        let mut command = everfold();
        command.args(arguments).env("EVERFOLD_URL", self.host.url()).stdin(Stdio::null());
        let output = tokio::time::timeout(SOON, command.output()).await.unwrap().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl History {
    fn stream(&self, draft: &Draft) -> &(String, String) {
        &self.streams[draft.stream]
    }

    /// The version of each event.
    fn versions(&self) -> impl Iterator<Item = i64> {
        let events = &self.events.0;
        (0..events.len()).map(move |place| {
            let of_stream = |other: &&Draft| self.stream(other) == self.stream(&events[place]);
            events[..place].iter().filter(of_stream).count() as i64
        })
    }
}

impl Draft {
    /// What an import and a raw append name alike.
    fn members(&self) -> String {
        let mut members = format!(
            r#""event_type":{},"schema_version":{},"payload":{}"#,
            json!(self.event_type),
            self.schema_version,
            self.payload
        );
        if let Some(metadata) = &self.metadata {
            members.push_str(&format!(r#","metadata":{metadata}"#));
        }
        if let Some(time) = self.occurred_at {
            members.push_str(&format!(r#","occurred_at":"{}""#, time.format(&Rfc3339).unwrap()));
        }
        members
    }

    fn line(&self, history: &History, version: i64) -> String {
        let (aggregate_type, id) = history.stream(self);
        let (id, event_id) = (json!(id), Uuid::now_v7());
        let place = format!(r#""aggregate_type":"{aggregate_type}","stream_id":{id},"version":{version}"#);
        format!(r#"{{{place},"event_id":"{event_id}",{}}}"#, self.members())
    }
}

/// The export holds the history: texts byte for byte, but for line breaks between their parts; times to the microsecond.
fn check(history: &History, exported: &str) {
    let lines: Vec<Line> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), history.events.0.len(), "{exported}");
    let on_one_line = |text: &str| text.replace(['\n', '\r'], " ");
    for ((version, draft), line) in history.versions().zip(&history.events.0).zip(lines) {
        let (aggregate_type, stream_id) = history.stream(draft);
        assert_eq!((&line.aggregate_type, &line.stream_id, line.version), (aggregate_type, stream_id, version));
        assert_eq!((&line.event_type, line.schema_version), (&draft.event_type, draft.schema_version));
        assert_eq!(line.payload.get(), on_one_line(&draft.payload));
        assert!(!line.event_id.is_nil());
        match &draft.metadata {
            Some(metadata) => assert_eq!(line.metadata.get(), on_one_line(metadata)),
            None if history.by_appends => assert!(line.metadata.get().starts_with("{\"command_id\":")),
            None => assert_eq!(line.metadata.get(), "{}"),
        }
        if let Some(time) = draft.occurred_at {
            assert!((line.occurred_at - time).abs() < Duration::MICROSECOND, "{time} became {}", line.occurred_at);
        }
    }
}
