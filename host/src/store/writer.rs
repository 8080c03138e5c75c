//! The one way into the log: whatever queued up while the last commit was running goes out as the next statement.
//!
//! No timer: a lone append is sent at once, and under load the commits themselves make the batches.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgDatabaseError, PgSeverity};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::append::append;
use super::chain::{AppendReply, Chain, Submission};
use super::connect::WriterSession;
use super::settle::settle;
use super::{AppendError, Store, metrics, watchdog};
use crate::model::{Append, AppendOutcome};

/// How the writer batches and waits.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// Chains that may wait; one more is answered [`AppendError::Overloaded`].
    pub queue: usize,
    /// Most events of a batch; an append that has more goes alone.
    pub batch_events: usize,
    /// Most payload bytes of a batch; an append that has more goes alone.
    pub batch_bytes: usize,
    /// After this long without an answer the connection counts as lost.
    pub batch_timeout: Duration,
    /// Longest pause between attempts to reach PostgreSQL.
    pub reconnect_pause: Duration,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            queue: 10_000,
            batch_events: 1_000,
            batch_bytes: 4 << 20,
            batch_timeout: Duration::from_secs(30),
            reconnect_pause: Duration::from_secs(1),
        }
    }
}

/// Handle of the writer; when the last one is dropped, the writer finishes what is queued and ends.
#[derive(Debug, Clone)]
pub struct Writer {
    queue: mpsc::Sender<Chain>,
    connected: Arc<AtomicBool>,
    batch_events: usize,
    batch_bytes: usize,
}

impl Writer {
    /// Starts the writer's task.
    #[must_use]
    pub fn start(store: Store, options: WriterOptions) -> (Self, JoinHandle<()>) {
        let (queue, receiver) = mpsc::channel(options.queue);
        let connected = Arc::new(AtomicBool::new(true));
        let (batch_events, batch_bytes) = (options.batch_events, options.batch_bytes);
        metrics::CONNECTED.set(1.0);
        let task = WriterTask {
            store,
            options,
            queue: receiver,
            pending: VecDeque::new(),
            session: None,
            connected: connected.clone(),
        };
        (Self { queue, connected, batch_events, batch_bytes }, tokio::spawn(task.run()))
    }

    /// Queues a chain: appends of one stream, each going on from the one before where it says so, or appends of any
    /// streams whose positions are to follow their order. They go out in one statement, and the answer comes when that
    /// is committed, or its end is known. Data that PostgreSQL refuses in one of them fails them all.
    ///
    /// # Errors
    /// [`AppendError::Overloaded`] or [`AppendError::Stopping`]; nothing was queued then.
    pub fn submit(&self, submissions: Vec<Submission>) -> Result<oneshot::Receiver<AppendReply>, AppendError> {
        let (reply, answer) = oneshot::channel();
        match self.queue.try_send(Chain::new(submissions, reply)) {
            Ok(()) => Ok(answer),
            Err(mpsc::error::TrySendError::Full(_)) => Err(AppendError::Overloaded),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(AppendError::Stopping),
        }
    }

    /// Events that a batch should have at most.
    #[must_use]
    pub fn batch_events(&self) -> usize {
        self.batch_events
    }

    /// Payload bytes that a batch should have at most.
    #[must_use]
    pub fn batch_bytes(&self) -> usize {
        self.batch_bytes
    }

    /// Whether the writer has its connection to PostgreSQL, as far as it knows.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }
}

struct WriterTask {
    store: Store,
    options: WriterOptions,
    queue: mpsc::Receiver<Chain>,
    pending: VecDeque<Chain>,
    session: Option<WriterSession>,
    connected: Arc<AtomicBool>,
}

impl WriterTask {
    async fn run(mut self) {
        loop {
            if self.pending.is_empty() {
                match self.queue.recv().await {
                    Some(chain) => self.pending.push_back(chain),
                    None => return,
                }
            }
            self.accept();
            let session = match self.session.take() {
                Some(session) => session,
                None => self.connect().await,
            };
            let batch = self.take_batch();
            if batch.is_empty() {
                self.session = Some(session);
            } else {
                self.session = self.commit(session, batch).await;
            }
        }
    }

    /// Takes what has queued up, as far as one batch can use it.
    fn accept(&mut self) {
        while self.pending.len() < self.options.batch_events {
            match self.queue.try_recv() {
                Ok(chain) => self.pending.push_back(chain),
                Err(_) => return,
            }
        }
    }

    /// Tries until PostgreSQL is there; meanwhile answers those whose callers are gone.
    async fn connect(&mut self) -> WriterSession {
        let mut pause = Duration::from_millis(50);
        loop {
            match timeout(self.options.batch_timeout, self.store.writer_session()).await {
                Ok(Ok(session)) => {
                    self.set_connected(true);
                    metrics::CONNECTS.increment(1);
                    return session;
                }
                Ok(Err(error)) => tracing::warn!(%error, "the writer can't reach PostgreSQL"),
                Err(_) => tracing::warn!("the writer can't reach PostgreSQL: no answer in time"),
            }
            self.set_connected(false);
            metrics::WRITER_FAILURES.counter(["unreachable"]).increment(1);
            self.drop_expired();
            sleep(pause).await;
            pause = (pause * 2).min(self.options.reconnect_pause);
            self.accept();
        }
    }

    fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Relaxed);
        metrics::CONNECTED.set(if connected { 1.0 } else { 0.0 });
    }

    fn drop_expired(&mut self) {
        for mut chain in std::mem::take(&mut self.pending) {
            if chain.submissions.iter().all(|submission| submission.ticket.is_over()) {
                chain.fail(&AppendError::Deadline);
                chain.answer();
            } else {
                self.pending.push_back(chain);
            }
        }
    }

    /// The next batch: whole chains, in order, as many as the caps allow but at least one.
    fn take_batch(&mut self) -> Vec<Chain> {
        let (mut batch, mut events, mut bytes) = (Vec::new(), 0, 0);
        while let Some(next) = self.pending.front() {
            let (more_events, more_bytes) = (next.events(), next.bytes());
            let fits =
                events + more_events <= self.options.batch_events && bytes + more_bytes <= self.options.batch_bytes;
            if !batch.is_empty() && !fits {
                break;
            }
            let Some(mut chain) = self.pending.pop_front() else { break };
            chain.claim();
            if chain.open().next().is_none() {
                chain.answer();
                continue;
            }
            (events, bytes) = (events + more_events, bytes + more_bytes);
            batch.push(chain);
        }
        batch
    }

    /// Sends a batch and answers its callers. A batch that PostgreSQL refuses is halved until the fault stands alone.
    async fn commit(&mut self, mut session: WriterSession, batch: Vec<Chain>) -> Option<WriterSession> {
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            let appends: Vec<&Append> = part.iter().flat_map(Chain::open).collect();
            let begun = Instant::now();
            let store = &self.store;
            let module = |append: &Append| append.module_digest.as_ref().and_then(|digest| store.module_id(digest));
            let call = append(&mut session, &appends, module);
            let answer = timeout(self.options.batch_timeout, watchdog::guard(store, call)).await;
            match answer {
                Ok(Ok(outcomes)) => {
                    measure(&appends, &part, &outcomes, begun.elapsed());
                    session.advance(&self.store, &appends, &outcomes);
                    let mut outcomes = outcomes.into_iter().map(Ok);
                    for mut chain in part {
                        chain.fill(&mut outcomes);
                        chain.answer();
                    }
                }
                Ok(Err(error)) if surely_failed(&error) => {
                    let refusal = refusal(&error);
                    let is_about_data = matches!(refusal, AppendError::Refused(_));
                    if is_about_data && part.len() > 1 {
                        let rest = part.split_off(part.len() / 2);
                        parts.push(rest);
                        parts.push(part);
                        continue;
                    }
                    tracing::error!(error = %refusal, "PostgreSQL refused a batch");
                    let kind = if is_about_data { "refused" } else { "unavailable" };
                    metrics::WRITER_FAILURES.counter([kind]).increment(1);
                    for mut chain in part {
                        chain.fail(&refusal);
                        chain.answer();
                    }
                    if !is_about_data {
                        // A server that can't write, such as a former primary, may be another one next time.
                        self.put_back_unsent(parts);
                        return None;
                    }
                }
                unsure => {
                    let reason = unsure.map_or_else(|_| "no answer in time".to_owned(), |r| format!("{:?}", r.err()));
                    tracing::warn!(reason, "a batch was out when the connection to PostgreSQL was lost");
                    self.set_connected(false);
                    metrics::WRITER_FAILURES.counter(["lost"]).increment(1);
                    let identity = session.identity.clone();
                    drop(session);
                    self.put_back_unsent(parts);
                    settle(&self.store, &identity, &mut part, &self.options).await;
                    for chain in part.into_iter().rev() {
                        self.put_back(chain);
                    }
                    return None;
                }
            }
        }
        Some(session)
    }

    /// Queues the parts of a batch again that weren't sent, in their order; what has to be sent again goes before them.
    fn put_back_unsent(&mut self, parts: Vec<Vec<Chain>>) {
        for chain in parts.into_iter().flat_map(|part| part.into_iter().rev()) {
            self.put_back(chain);
        }
    }

    /// Queues a chain again whose open appends were surely not executed; one whose caller was told otherwise isn't run.
    fn put_back(&mut self, mut chain: Chain) {
        for (submission, result) in chain.submissions.iter().zip(&mut chain.results) {
            if result.is_none() && !submission.ticket.take_back() {
                *result = Some(Err(AppendError::Unknown));
            }
        }
        if chain.open().next().is_none() {
            chain.answer();
        } else {
            self.pending.push_front(chain);
        }
    }
}

/// Counts a statement that was committed.
fn measure(appends: &[&Append], part: &[Chain], outcomes: &[AppendOutcome], took: Duration) {
    metrics::BATCHES.increment(1);
    metrics::COMMIT_SECONDS.record(took);
    metrics::BATCH_APPENDS.record(appends.len() as f64);
    metrics::BATCH_EVENTS.record(appends.iter().map(|append| append.events.len()).sum::<usize>() as f64);
    metrics::BATCH_BYTES.record(part.iter().map(Chain::bytes).sum::<usize>() as f64);
    for (append, outcome) in appends.iter().zip(outcomes) {
        metrics::count(outcome);
        if let AppendOutcome::Appended { .. } = outcome {
            metrics::EVENTS.increment(append.events.len() as u64);
        }
    }
}

/// The server says that the statement failed, and goes on serving: nothing of it was committed. A fatal error may come
/// after the commit.
fn surely_failed(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(answer) = error else {
        // What can't be encoded was never sent.
        return matches!(error, sqlx::Error::Encode(_));
    };
    answer.try_downcast_ref::<PgDatabaseError>().is_some_and(|answer| answer.severity() == PgSeverity::Error)
}

/// Data that PostgreSQL refuses, apart from a database that can't write just now.
fn refusal(error: &sqlx::Error) -> AppendError {
    let code = error.as_database_error().and_then(|answer| answer.code().map(Cow::into_owned));
    // Data exceptions, integrity violations, and program limits such as a name too long for an index.
    let is_about_data = code.is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)));
    if is_about_data { AppendError::Refused(error.to_string()) } else { AppendError::Unavailable(error.to_string()) }
}
