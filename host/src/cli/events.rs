//! `everfold events tail`: the log as it grows.

use std::io::{self, Write as _};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::sleep;

use super::client::{Client, Host, may_pass, run as talk};
use super::lines::on_one_line;
use super::table;

/// Pauses before the log is asked again: short while it grows, longer while it doesn't.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Characters of a payload that a line shows.
const PAYLOAD: usize = 160;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// Shows events as they are committed, until it is interrupted
    Tail(Tail),
}

#[derive(Debug, clap::Args)]
pub(super) struct Tail {
    /// Begins with the first event of the log instead of the next one
    #[arg(long, conflicts_with = "after")]
    from_start: bool,
    /// Begins behind this cursor
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// Only these event types, separated by commas
    #[arg(long, value_name = "TYPES")]
    event_type: Option<String>,
    /// Only these aggregate types, separated by commas
    #[arg(long, value_name = "TYPES")]
    aggregate_type: Option<String>,
    /// Tells each event as the host does, as a line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: Host,
}

/// A page of the log.
#[derive(Debug, Deserialize)]
struct Page {
    events: Vec<Box<RawValue>>,
    next: String,
    head: String,
}

#[derive(Debug, Deserialize)]
struct Event {
    position: i64,
    aggregate_type: String,
    stream_id: String,
    version: i64,
    event_type: String,
    created_at: String,
    payload: Box<RawValue>,
}

pub(super) fn run(verb: Verb) -> anyhow::Result<()> {
    let Verb::Tail(tail) = verb;
    talk(tail.run())
}

impl Tail {
    async fn run(self) -> anyhow::Result<()> {
        let client = Client::new(&self.host)?;
        let mut after = match (&self.after, self.from_start) {
            (Some(after), _) => Some(after.clone()),
            (None, true) => None,
            (None, false) => Some(self.page(&client, None, 1).await?.head),
        };
        let (mut pause, mut is_away) = (SHORTEST_PAUSE, false);
        loop {
            match self.page(&client, after.as_deref(), 200).await {
                Ok(page) => {
                    is_away = false;
                    self.show(&page)?;
                    let is_behind = page.next != page.head;
                    pause = if page.events.is_empty() { (pause * 2).min(LONGEST_PAUSE) } else { SHORTEST_PAUSE };
                    after = Some(page.next);
                    if is_behind {
                        continue;
                    }
                }
                Err(error) if !may_pass(&error) => return Err(error),
                Err(error) => {
                    if !is_away {
                        let _ = writeln!(io::stderr(), "waiting: {error:#}");
                    }
                    (is_away, pause) = (true, LONGEST_PAUSE);
                }
            }
            sleep(pause).await;
        }
    }

    async fn page(&self, client: &Client, after: Option<&str>, limit: u32) -> anyhow::Result<Page> {
        let mut query = vec![("limit", limit.to_string())];
        let filters = [
            ("after", after),
            ("event_type", self.event_type.as_deref()),
            ("aggregate_type", self.aggregate_type.as_deref()),
        ];
        query.extend(filters.into_iter().filter_map(|(name, value)| Some((name, value?.to_owned()))));
        client.get(&["v1", "events"], &query).await
    }

    fn show(&self, page: &Page) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        for text in &page.events {
            if self.json {
                writeln!(out, "{}", on_one_line(text))?;
                continue;
            }
            let Event { position, aggregate_type, stream_id, version, event_type, created_at, payload } =
                serde_json::from_str(text.get())?;
            let payload = table::shortened(&on_one_line(&payload), PAYLOAD);
            writeln!(
                out,
                "{position:>8}  {created_at:<27}  {aggregate_type}/{stream_id}@{version}  {event_type}  {payload}"
            )?;
        }
        out.flush()?;
        Ok(())
    }
}
