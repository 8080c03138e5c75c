//! `everfold import`: history from a file into a running host.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, bail};
use futures_util::TryStreamExt as _;
use indicatif::HumanCount;
use reqwest::Body;
use serde::Deserialize;
use tokio::fs::File;
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

use super::client::{Client, Host, Problem, run as talk};
use super::lines::Lines;
use super::progress::Progress;

/// Bytes of the file that are read at once.
const READ_BYTES: usize = 256 << 10;

/// Faulty lines that are named; the others are counted.
const NAMED: u64 = 10;

/// What to import, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// A file of events, one JSON object a line, as `everfold export` writes it; `-` for the standard input
    file: PathBuf,
    #[command(flatten)]
    host: Host,
}

/// A line of the host's answer.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Told {
    Progress { progress: Counts },
    Fault { line: u64, problem: Problem },
    End { end: String, detail: Option<String>, answered: u64, failed: u64, repeated: u64 },
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
struct Counts {
    answered: u64,
    failed: u64,
    repeated: u64,
}

pub(super) fn run(import: &Import) -> anyhow::Result<()> {
    talk(import.run())
}

impl Import {
    async fn run(&self) -> anyhow::Result<()> {
        let client = Client::new(&self.host)?;
        let (file, size) = self.open().await?;
        let sent = Arc::new(AtomicU64::new(0));
        let counted = sent.clone();
        let chunks = ReaderStream::with_capacity(file, READ_BYTES).inspect_ok(move |chunk| {
            counted.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        });
        let summary = [("results", "summary".to_owned())];
        let answer = client.post_lines(&["v1", "events"], &summary, Body::wrap_stream(chunks)).await?;
        follow(Lines::of(answer), &sent, size).await
    }

    async fn open(&self) -> anyhow::Result<(Pin<Box<dyn AsyncRead + Send>>, Option<u64>)> {
        if self.file.as_os_str() == "-" {
            return Ok((Box::pin(tokio::io::stdin()), None));
        }
        let named = || format!("can't read {}", self.file.display());
        let file = File::open(&self.file).await.with_context(named)?;
        let about = file.metadata().await.with_context(named)?;
        if about.is_dir() {
            bail!("{} is a folder: name a file, or - for the standard input", self.file.display());
        }
        Ok((Box::pin(file), about.is_file().then_some(about.len())))
    }
}

/// Tells what the host answers, to its end.
async fn follow(mut lines: Lines, sent: &AtomicU64, size: Option<u64>) -> anyhow::Result<()> {
    const AGAIN: &str = "import the same file again to go on: what is there already stays as it is";
    let (mut progress, mut counts, mut faults) = (Progress::begin(size), Counts::default(), 0);
    loop {
        let line = match lines.next().await {
            Ok(Some(line)) => line,
            Ok(None) => bail!("the answer broke off after {} lines: {AGAIN}", counts.answered),
            Err(error) => return Err(error.context(format!("after {} lines: {AGAIN}", counts.answered))),
        };
        match serde_json::from_slice(&line).context("the host's answer isn't what this version expects")? {
            Told::Progress { progress: now } => {
                counts = now;
                progress.at(sent.load(Ordering::Relaxed), || told(counts));
            }
            Told::Fault { line, problem } => {
                faults += 1;
                if faults <= NAMED {
                    progress.say(&format!("line {line}: {problem}"));
                }
                if problem.is_of_circumstances() {
                    bail!("stopped at line {line}, the host can't take events just now: {AGAIN}");
                }
            }
            Told::End { end, detail, answered, failed, repeated } => {
                if faults > NAMED {
                    progress.say(&format!("… and {} more lines with a problem", HumanCount(faults - NAMED)));
                }
                let there = format!(", {} of them there already", HumanCount(repeated));
                progress.end("imported", answered - failed, if repeated > 0 { &there } else { "" });
                if end != "input" {
                    bail!("{}: {AGAIN}", detail.unwrap_or(end));
                }
                if failed > 0 {
                    bail!("{} of {} lines were not imported", HumanCount(failed), HumanCount(answered));
                }
                return Ok(());
            }
        }
    }
}

fn told(counts: Counts) -> String {
    let mut text = format!("{} events", HumanCount(counts.answered - counts.failed));
    for (count, what) in [(counts.repeated, "there already"), (counts.failed, "with a problem")] {
        if count > 0 {
            text.push_str(&format!(", {} {what}", HumanCount(count)));
        }
    }
    text
}
