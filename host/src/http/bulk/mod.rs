//! Bodies of any number of lines, answered line by line, in their order, while they are read.
//!
//! The answer is a stream that reads the request as it is read itself: lines are taken while there is room among those
//! under way, and a client that doesn't read its answers isn't read either. So memory is bounded, whatever the length.
//! A line of its own closes the answer, and says why it ends: without it, it was broken off.

mod body;
pub(super) mod commands;
pub(super) mod events;
mod lines;

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, FuturesOrdered};
use futures_util::{FutureExt as _, StreamExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout, timeout_at};

use self::body::{Closing, Ending, Progress, ProgressLine};
use self::lines::{Line, Lines};
use super::HttpOptions;
use super::extract::pointer;
use super::headers;
use super::ndjson::{MEDIA_TYPE, MEDIA_TYPES, write_line};
use super::problem::{Code, Problem};
use super::serve::Stopping;

/// Bytes of lines that may be under way at once; one line is always taken.
const BYTES_UNDER_WAY: usize = 4 << 20;

/// Bytes of answers after which those that are there are passed on.
const CHUNK_BYTES: usize = 64 << 10;

/// Headers of a single write.
const OF_A_LINE: [&str; 4] = [headers::IDEMPOTENCY_KEY, headers::EXPECTED_VERSION, "if-match", "if-none-match"];

/// How long what the client still sends is read after the last line of an answer that ends early. A connection that is
/// closed with something unread is reset, and that line may be lost with it.
const LINGER: Duration = Duration::from_secs(1);

/// What a kind of body does with its lines.
trait Kind: Send + 'static {
    /// What a line holds.
    type Entry: Send + 'static;
    /// The most lines that are carried out as one.
    const BATCH: usize;
    /// The most batches that are under way at once.
    const UNDER_WAY: usize;

    /// Reads a line.
    fn read(&self, text: &[u8]) -> Result<Self::Entry, Problem>;

    /// Puts lines on their way, waiting for room. What it answers is waited for apart from that.
    fn begin(&self, batch: Vec<Numbered<Self::Entry>>) -> impl Future<Output = Answering> + Send;
}

/// A line's number, and what it holds or is wrong with it.
type Numbered<E> = (u64, Result<E, Problem>);

/// The answers to lines that are under way.
type Answering = BoxFuture<'static, Vec<Answered>>;

/// A line's answer.
struct Answered {
    /// The line's number.
    line: u64,
    /// What came of it.
    came: Came,
    /// The answer, a line of JSON.
    text: Vec<u8>,
}

/// What came of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Came {
    /// It was carried out.
    Done,
    /// There was nothing left to do.
    AlreadyThere,
    /// It has a problem.
    Failed,
}

impl Answered {
    fn new(line: u64, came: Came, answer: &impl Serialize) -> Self {
        let mut text = Vec::new();
        if let Err(error) = write_line(&mut text, answer) {
            tracing::error!(%error, line, "an answer has no JSON form");
        }
        Self { line, came, text }
    }
}

/// A request that is being carried out and answered.
struct Bulk<K: Kind> {
    kind: K,
    lines: Lines,
    stopping: Stopping,
    idle_timeout: Duration,
    /// Answers to single lines are left out where they went well.
    summary: bool,
    /// Lines that were read and aren't under way yet.
    batch: Vec<Numbered<K::Entry>>,
    batch_bytes: usize,
    under_way: FuturesOrdered<BoxFuture<'static, (usize, Vec<Answered>)>>,
    bytes_under_way: usize,
    /// When a client that sends no line, and waits for none, is let go.
    idle_until: Instant,
    ending: Option<Ending>,
    closed: bool,
    progress: Progress,
}

/// Answers a body line by line.
fn answer<K: Kind>(kind: K, body: Body, stopping: Stopping, options: &HttpOptions, summary: bool) -> Response {
    let bulk = Bulk {
        kind,
        lines: Lines::new(body, options.max_body_bytes),
        stopping,
        idle_timeout: options.idle_timeout,
        summary,
        batch: Vec::new(),
        batch_bytes: 0,
        under_way: FuturesOrdered::new(),
        bytes_under_way: 0,
        idle_until: Instant::now() + options.idle_timeout,
        ending: None,
        closed: false,
        progress: Progress::default(),
    };
    let chunks = stream::unfold(bulk, |mut bulk| async move {
        let chunk = bulk.next_chunk().await?;
        Some((Ok::<_, std::io::Error>(chunk), bulk))
    });
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], Body::from_stream(chunks)).into_response()
}

impl<K: Kind> Bulk<K> {
    /// The next answers; `None` when there are no more.
    async fn next_chunk(&mut self) -> Option<Bytes> {
        loop {
            if self.is_due() {
                self.begin().await;
            } else if self.has_room() {
                tokio::select! {
                    biased;
                    () = self.stopping.begun() => self.ending = Some(Ending::Stopping),
                    line = timeout_at(self.idle_until, self.lines.next()) => match line {
                        Ok(Ok(Some(line))) => self.take(line),
                        Ok(Ok(None)) => self.ending = Some(Ending::Input),
                        Ok(Err(_)) => self.ending = Some(Ending::BrokenOff),
                        // While something is under way the client rightly waits.
                        Err(_) if !self.under_way.is_empty() => self.is_active(),
                        Err(_) => self.ending = Some(Ending::Idle),
                    },
                    Some(answers) = self.under_way.next() => return Some(self.chunk(answers)),
                }
            } else {
                match self.under_way.next().await {
                    Some(answers) => return Some(self.chunk(answers)),
                    None => return self.close().await,
                }
            }
        }
    }

    /// Whether the batch is to go: it is full, or nothing is under way that it could wait for, or nothing more comes.
    fn is_due(&self) -> bool {
        let is_full = self.batch.len() >= K::BATCH || self.batch_bytes >= BYTES_UNDER_WAY;
        let has_place = self.under_way.len() < K::UNDER_WAY;
        !self.batch.is_empty() && has_place && (is_full || self.under_way.is_empty() || self.ending.is_some())
    }

    /// Whether another line may be read.
    fn has_room(&self) -> bool {
        let bytes = self.batch_bytes + self.bytes_under_way;
        self.ending.is_none()
            && self.batch.len() < K::BATCH
            && (bytes < BYTES_UNDER_WAY || (self.batch.is_empty() && self.under_way.is_empty()))
            && (K::BATCH > 1 || self.under_way.len() < K::UNDER_WAY)
    }

    /// Adds a line to the batch, and those that arrived with it.
    fn take(&mut self, line: Line) {
        let mut next = Some(line);
        while let Some(Line { number, text }) = next {
            let entry = match &text {
                Some(text) => self.kind.read(text),
                None => Err(too_long(self.lines.longest)),
            };
            self.batch_bytes += text.map_or(0, |text| text.len());
            self.batch.push((number, entry));
            next = if self.has_room() { self.lines.arrived() } else { None };
        }
        self.is_active();
    }

    async fn begin(&mut self) {
        let (batch, bytes) = (std::mem::take(&mut self.batch), std::mem::take(&mut self.batch_bytes));
        let answering = self.kind.begin(batch).await;
        self.bytes_under_way += bytes;
        self.under_way.push_back(Box::pin(async move { (bytes, answering.await) }));
    }

    /// These answers, and those behind them that are there too.
    fn chunk(&mut self, first: (usize, Vec<Answered>)) -> Bytes {
        let (mut chunk, mut next) = (Vec::new(), Some(first));
        while let Some((bytes, answers)) = next {
            self.bytes_under_way -= bytes;
            for answered in answers {
                self.progress.count(&answered);
                if !self.summary || answered.came == Came::Failed {
                    chunk.extend_from_slice(&answered.text);
                }
            }
            let more = chunk.len() < CHUNK_BYTES;
            next = if more { self.under_way.next().now_or_never().flatten() } else { None };
        }
        if self.summary {
            self.write(&mut chunk, &ProgressLine { progress: self.progress });
        }
        self.is_active();
        chunk.into()
    }

    /// The last line, once; before the answer ends, so that it isn't lost, what the client still sends is read.
    async fn close(&mut self) -> Option<Bytes> {
        let ending = self.ending?;
        if self.closed {
            if ending != Ending::Input {
                let _ = timeout(LINGER, self.lines.drain()).await;
            }
            return None;
        }
        self.closed = true;
        let mut chunk = Vec::new();
        self.write(&mut chunk, &Closing::of(ending, self.progress, self.idle_timeout));
        Some(chunk.into())
    }

    fn write(&self, chunk: &mut Vec<u8>, line: &impl Serialize) {
        if let Err(error) = write_line(chunk, line) {
            tracing::error!(%error, "a line about the answer has no JSON form");
        }
    }

    fn is_active(&mut self) {
        self.idle_until = Instant::now() + self.idle_timeout;
    }
}

/// Refuses what can't be a body of lines, and headers that would be demanded of all its lines at once.
fn check_headers(headers: &HeaderMap) -> Result<(), Problem> {
    if let Some(name) = OF_A_LINE.iter().find(|name| headers.contains_key(**name)) {
        return Err(Problem::invalid(format!("{name}: here each line says for itself what it demands, leave it out")));
    }
    headers::is_one_of(headers, &MEDIA_TYPES).map_err(|kind| {
        let detail = format!("{kind} is not taken here: send lines of JSON, with Content-Type: {MEDIA_TYPE}");
        Problem::new(Code::UnsupportedMediaType, detail)
    })
}

/// Reads the JSON of a line.
fn read_json<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    // Without a fault the way to it needn't be noted.
    serde_json::from_slice(text).or_else(|_| {
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        let read = serde_path_to_error::deserialize(&mut deserializer);
        let value = read.map_err(|error| faulty(pointer(error.path()), error.inner()))?;
        deserializer.end().map_err(|error| faulty(String::new(), error))?;
        Ok(value)
    })
}

/// A fault in a line.
fn faulty(pointer: String, reason: impl std::fmt::Display) -> Problem {
    let place = if pointer.is_empty() { "the line" } else { &pointer };
    Problem::invalid(format!("{place}: {reason}")).with(|body| body.pointer = Some(pointer))
}

fn too_long(limit: usize) -> Problem {
    Problem::new(Code::TooLarge, format!("the line has more than {limit} bytes: it was passed over"))
        .with(|body| body.limit = Some(limit))
}
