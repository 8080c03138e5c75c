//! `everfold export`: a tenant's history as a file that `everfold import` takes.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use indicatif::HumanCount;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::sleep;

use super::client::{BrokenOff, Client, Host, may_pass, run as talk};
use super::lines::Lines;
use super::progress::Progress;
use crate::model::Cursor;

/// Attempts in a row without a single event after which an export is given up.
const ATTEMPTS: u32 = 8;

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What to export, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// The file to write, complete or not at all; `-` for the standard output
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Only the streams of this aggregate type; may be repeated
    #[arg(long, value_name = "TYPE")]
    aggregate_type: Vec<String>,
    #[command(flatten)]
    host: Host,
}

/// An event as a line of the log, and, without its place there, as a line of an export.
#[derive(Debug, Serialize, Deserialize)]
struct Event<'a> {
    #[serde(skip_serializing)]
    cursor: &'a str,
    #[serde(borrow)]
    aggregate_type: Cow<'a, str>,
    #[serde(borrow)]
    stream_id: Cow<'a, str>,
    version: i64,
    #[serde(borrow)]
    event_id: Cow<'a, str>,
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    schema_version: u32,
    #[serde(borrow)]
    occurred_at: Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a RawValue,
    #[serde(borrow)]
    metadata: &'a RawValue,
}

/// A page of the log, of which only the places matter.
#[derive(Debug, Deserialize)]
struct Page {
    events: Vec<Place>,
    next: String,
    head: String,
}

#[derive(Debug, Deserialize)]
struct Place {
    position: i64,
}

pub(super) fn run(export: &Export) -> anyhow::Result<()> {
    talk(export.run())
}

impl Export {
    async fn run(&self) -> anyhow::Result<()> {
        let client = Client::new(&self.host)?;
        let target = Target::open(&self.file)?;
        let head: Cursor = client.get::<Page>(&["v1", "events"], &[("limit", "1".to_owned())]).await?.head.parse()?;
        let progress = Progress::begin(u64::try_from(head.position).ok());
        let after = Cursor { position: 0, ..head };
        let mut reader = Reader { client, filter: self.filter(), head, after, target, events: 0, progress };
        reader.read_all().await?;
        let Reader { target, progress, events, .. } = reader;
        target.complete()?;
        progress.end("exported", events, "");
        Ok(())
    }

    fn filter(&self) -> Vec<(&'static str, String)> {
        match &self.aggregate_type[..] {
            [] => Vec::new(),
            types => vec![("aggregate_type", types.join(","))],
        }
    }
}

/// Reads the log up to the head that it had at the start, whatever happens to the connection.
struct Reader {
    client: Client,
    filter: Vec<(&'static str, String)>,
    head: Cursor,
    after: Cursor,
    target: Target,
    events: u64,
    progress: Progress,
}

impl Reader {
    async fn read_all(&mut self) -> anyhow::Result<()> {
        let (mut failures, mut pause) = (0, Duration::from_millis(100));
        while self.after.position < self.head.position {
            let before = self.events;
            let read = match self.read_lines().await {
                // An answer that seems whole may yet have been cut by what stands between.
                Ok(()) => self.look_behind().await,
                Err(error) => Err(error),
            };
            if self.events > before {
                (failures, pause) = (0, Duration::from_millis(100));
            }
            let Err(error) = read else { continue };
            failures += 1;
            if failures == ATTEMPTS || !may_pass(&error) {
                return Err(error.context(format!("after {} events", HumanCount(self.events))));
            }
            self.progress.say(&format!("going on after {} events: {error:#}", HumanCount(self.events)));
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }

    /// Writes the events behind the last one, as far as the answer goes.
    async fn read_lines(&mut self) -> anyhow::Result<()> {
        let mut lines = Lines::of(self.client.get_lines(&["v1", "events"], &self.query()).await?);
        while let Some(line) = lines.next().await? {
            let event: Event<'_> = serde_json::from_slice(&line).context("a line of the answer is no event")?;
            let place: Cursor = event.cursor.parse()?;
            if place.position > self.head.position {
                self.after = self.head;
                return Ok(());
            }
            self.target.write(&event)?;
            (self.after, self.events) = (place, self.events + 1);
            let events = self.events;
            self.progress.at(place.position.unsigned_abs(), || format!("{} events", HumanCount(events)));
        }
        Ok(())
    }

    /// Moves over positions that hold nothing of what is exported, up to the next event or the head.
    async fn look_behind(&mut self) -> anyhow::Result<()> {
        while self.after.position < self.head.position {
            let mut query = self.query();
            query.push(("limit", "1".to_owned()));
            let page: Page = self.client.get(&["v1", "events"], &query).await?;
            match page.events.first() {
                Some(event) if event.position <= self.head.position => {
                    return Err(BrokenOff("the answer ended before the log did").into());
                }
                Some(_) => self.after = self.head,
                None => self.after = page.next.parse()?,
            }
        }
        Ok(())
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = self.filter.clone();
        query.push(("after", self.after.to_string()));
        query
    }
}

/// Where the lines go. A file is renamed into place when it is whole.
struct Target {
    out: BufWriter<Box<dyn Write + Send>>,
    file: Option<Unfinished>,
}

/// A file that gets its name when it is whole, and is removed otherwise.
struct Unfinished {
    handle: File,
    part: PathBuf,
    whole: PathBuf,
    done: bool,
}

impl Target {
    fn open(file: &Path) -> anyhow::Result<Self> {
        let direct = |out| Ok(Self { out: BufWriter::new(out), file: None });
        if file.as_os_str() == "-" {
            return direct(Box::new(io::stdout()));
        }
        let named = || format!("can't write {}", file.display());
        if file.exists() && !file.is_file() {
            return direct(Box::new(File::options().write(true).open(file).with_context(named)?));
        }
        let name = file.file_name().with_context(named)?;
        let part = file.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
        let handle = File::create(&part).with_context(named)?;
        let out = handle.try_clone().with_context(named)?;
        let file = Unfinished { handle, part, whole: file.to_owned(), done: false };
        Ok(Self { out: BufWriter::new(Box::new(out)), file: Some(file) })
    }

    fn write(&mut self, event: &Event<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, event)?;
        self.out.write_all(b"\n")
    }

    fn complete(mut self) -> anyhow::Result<()> {
        self.out.flush().context("can't write the events")?;
        let Some(file) = &mut self.file else { return Ok(()) };
        file.handle
            .sync_all()
            .and_then(|()| fs::rename(&file.part, &file.whole))
            .with_context(|| format!("can't write {}", file.whole.display()))?;
        file.done = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.done {
            // What is left behind is only a file that nobody asked for.
            let _ = fs::remove_file(&self.part);
        }
    }
}
