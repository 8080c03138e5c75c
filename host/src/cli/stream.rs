//! `everfold stream show`: what happened to one stream, and what came of it.

use std::io::Write as _;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::client::{Client, Host, Problem, run as talk};
use super::lines::on_one_line;
use super::table;

/// Events that are read at once.
const PAGE: &str = "200";

/// Characters of a payload that a row shows.
const PAYLOAD: usize = 160;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// Shows a stream's events, from the first to the last
    Show {
        /// The aggregate type
        aggregate_type: String,
        /// The stream's id
        stream_id: String,
        /// Shows the present state too
        #[arg(long)]
        state: bool,
        /// The first version to show
        #[arg(long, value_name = "VERSION", default_value_t = 0)]
        from_version: i64,
        /// Tells it as the host does, as JSON: an event a line, and the state behind them
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        host: Host,
    },
}

/// A page of a stream.
#[derive(Debug, Deserialize)]
struct Page {
    events: Vec<Box<RawValue>>,
    links: Links,
}

#[derive(Debug, Deserialize)]
struct Links {
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Event {
    version: i64,
    position: i64,
    event_type: String,
    schema_version: u32,
    occurred_at: String,
    payload: Box<RawValue>,
}

#[derive(Debug, Deserialize)]
struct State {
    version: i64,
    state: Value,
    module: Module,
}

#[derive(Debug, Deserialize)]
struct Module {
    name: String,
    version: String,
}

pub(super) fn run(verb: Verb) -> anyhow::Result<()> {
    let Verb::Show { aggregate_type, stream_id, state, from_version, json, host } = verb;
    talk(async move {
        let client = Client::new(&host)?;
        show_events(&client, [&aggregate_type, &stream_id], from_version, json).await?;
        if state { show_state(&client, [&aggregate_type, &stream_id], json).await } else { Ok(()) }
    })
}

async fn show_events(client: &Client, stream: [&str; 2], from: i64, json: bool) -> anyhow::Result<()> {
    let path = ["v1", "streams", stream[0], stream[1], "events"];
    let mut from = from;
    loop {
        let query = [("from_version", from.to_string()), ("limit", PAGE.to_owned())];
        let page: Page = client.get(&path, &query).await?;
        let mut rows = Vec::new();
        let mut out = std::io::stdout().lock();
        for text in &page.events {
            let event: Event = serde_json::from_str(text.get())?;
            from = event.version + 1;
            if json {
                writeln!(out, "{}", on_one_line(text))?;
            } else {
                rows.push(row(&event));
            }
        }
        if !rows.is_empty() {
            table::write(&mut out, ["VERSION", "POSITION", "OCCURRED", "EVENT", "PAYLOAD"], &rows)?;
        }
        if page.links.next.is_none() {
            return Ok(());
        }
    }
}

fn row(event: &Event) -> [String; 5] {
    [
        event.version.to_string(),
        event.position.to_string(),
        event.occurred_at.clone(),
        format!("{} v{}", event.event_type, event.schema_version),
        table::shortened(&on_one_line(&event.payload), PAYLOAD),
    ]
}

async fn show_state(client: &Client, stream: [&str; 2], json: bool) -> anyhow::Result<()> {
    let told: anyhow::Result<Value> = client.get(&["v1", "aggregates", stream[0], stream[1]], &[]).await;
    let told = told.map_err(|error| match error.downcast::<Problem>() {
        Ok(problem) if problem.code == "unknown-aggregate" => {
            anyhow::anyhow!("no state: no active module has the aggregate type {}", stream[0])
        }
        Ok(problem) => problem.into(),
        Err(error) => error,
    })?;
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{told}")?;
        return Ok(());
    }
    let State { version, state, module } = serde_json::from_value(told)?;
    writeln!(out, "\nstate at version {version}, by {} {}:\n{state:#}", module.name, module.version)?;
    Ok(())
}
