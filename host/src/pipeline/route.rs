//! The pipeline's handle: finds a request's shard, and waits for the answer no longer than the caller does.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use ::metrics::Gauge;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::metrics::{self, CommandCounters, outcome_of};
use super::request::{Reply, Work};
use super::shard::{Job, Shard};
use super::snapshots::SnapshotKeeper;
use super::{RawAppend, RequestError, StateQuery, StateView};
use crate::model::TRACE;
use crate::model::metric::Held;
use crate::model::{Command, Executed, Json, SnapshotStrategy, StreamKey};
use crate::runtime::{ActiveModules, Engine};
use crate::store::{Store, Ticket, Writer};

/// How long the host's end may wait for snapshots to be written.
const SNAPSHOTS_GRACE: Duration = Duration::from_secs(2);

/// How the pipeline is sized.
#[derive(Clone)]
pub struct PipelineOptions {
    /// Threads that call guests.
    pub shards: NonZeroUsize,
    /// Aggregates kept folded, over all shards; the least recently used goes.
    pub residents: NonZeroUsize,
    /// Requests that may be under way, over all shards; one more is answered [`RequestError::Overloaded`].
    pub queue: usize,
    /// Most events of one raw append.
    pub max_events: usize,
    /// Most bytes of a command's payload, or of one event's in a raw append.
    pub max_payload_bytes: usize,
    /// When a stream's state is kept.
    pub snapshots: Arc<dyn SnapshotStrategy>,
}

/// Carries out requests. A cheap handle; when the last one is dropped, the shards finish what they have and end.
#[derive(Clone)]
pub struct Pipeline(Arc<Inner>);

struct Inner {
    shards: Vec<ShardQueue>,
    permits: Arc<Semaphore>,
    writer: Writer,
    modules: ActiveModules,
    commands: CommandCounters,
    max_events: usize,
    max_payload_bytes: usize,
}

/// The way to a shard, and the number of requests that it has.
struct ShardQueue {
    jobs: mpsc::UnboundedSender<Job>,
    requests: Gauge,
}

/// What runs behind a pipeline.
pub struct PipelineTasks {
    shards: Vec<std::thread::JoinHandle<()>>,
    keeper: JoinHandle<()>,
}

impl PipelineTasks {
    /// Waits until the shards have ended: drop every [`Pipeline`] before.
    pub async fn ended(self) {
        // The threads end by themselves; joining them blocks, so it isn't done on the runtime's threads.
        let joined = tokio::task::spawn_blocking(move || self.shards.into_iter().all(|shard| shard.join().is_ok()));
        if !joined.await.unwrap_or(false) {
            tracing::error!("a shard ended with a panic");
        }
        // A database that is away doesn't keep the host from ending: snapshots are disposable.
        let keeper = self.keeper.abort_handle();
        if timeout(SNAPSHOTS_GRACE, self.keeper).await.is_err() {
            keeper.abort();
        }
    }
}

impl Pipeline {
    /// Starts the shards' threads. Must be called on the runtime that is to do the reads.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(
        options: &PipelineOptions,
        store: &Store,
        writer: &Writer,
        engine: &Engine,
        modules: &ActiveModules,
    ) -> std::io::Result<(Self, PipelineTasks)> {
        let (keeper, keeper_task) = SnapshotKeeper::start(store.clone());
        let residents = options.residents.get().div_ceil(options.shards.get());
        let residents = NonZeroUsize::new(residents).unwrap_or(NonZeroUsize::MIN);
        let (mut senders, mut threads) = (Vec::new(), Vec::new());
        for number in 0..options.shards.get() {
            let (sender, receiver) = mpsc::unbounded_channel();
            let shard = Shard::parts(store, writer, engine, modules, &keeper, options, residents);
            let thread = std::thread::Builder::new().name(format!("everfold-shard-{number}"));
            threads.push(thread.spawn(move || shard.run(receiver))?);
            let requests = metrics::SHARD_REQUESTS.gauge([number.to_string()]);
            senders.push(ShardQueue { jobs: sender, requests });
        }
        let permits = Arc::new(Semaphore::new(options.queue));
        let inner = Inner {
            shards: senders,
            permits,
            writer: writer.clone(),
            modules: modules.clone(),
            commands: CommandCounters::default(),
            max_events: options.max_events,
            max_payload_bytes: options.max_payload_bytes,
        };
        Ok((Self(Arc::new(inner)), PipelineTasks { shards: threads, keeper: keeper_task }))
    }

    /// Carries out a command: success means that it is committed.
    ///
    /// # Errors
    /// [`RequestError`]: surely not executed, unless it says that this is unknown.
    pub async fn execute(&self, command: Command, deadline: Instant) -> Result<Executed, RequestError> {
        let begun = std::time::Instant::now();
        let aggregate_type = command.stream.aggregate_type.clone();
        let answer = match self.check_size(&command.payload) {
            Ok(()) => self.ask(deadline, |reply| Work::Command(Box::new(command), reply)).await,
            Err(error) => Err(error),
        };
        let declared = self.0.modules.current().module_of(&aggregate_type).is_some();
        self.0.commands.count(&aggregate_type, declared, &answer, begun);
        answer
    }

    /// Appends events as they are.
    ///
    /// # Errors
    /// [`RequestError`]: surely not executed, unless it says that this is unknown.
    pub async fn append(&self, append: RawAppend, deadline: Instant) -> Result<Executed, RequestError> {
        let answer = self.append_checked(append, deadline).await;
        metrics::RAW_APPENDS.counter([outcome_of(&answer)]).increment(1);
        answer
    }

    async fn append_checked(&self, append: RawAppend, deadline: Instant) -> Result<Executed, RequestError> {
        if append.events.len() > self.0.max_events {
            let message =
                format!("{} events are too many: at most {} in one append", append.events.len(), self.0.max_events);
            return Err(RequestError::TooLarge { message });
        }
        append.events.iter().try_for_each(|event| self.check_size(&event.payload))?;
        self.ask(deadline, |reply| Work::Append(Box::new(append), reply)).await
    }

    /// A stream's committed state, folded by the active module.
    ///
    /// # Errors
    /// [`RequestError`]; a read changes nothing.
    pub async fn state(&self, query: StateQuery, deadline: Instant) -> Result<StateView, RequestError> {
        let answer = self.ask(deadline, |reply| Work::State(Box::new(query), reply)).await;
        metrics::STATE_READS.counter([answer.as_ref().map_or_else(RequestError::code, |_| "ok")]).increment(1);
        answer
    }

    fn check_size(&self, payload: &Json) -> Result<(), RequestError> {
        let (size, limit) = (payload.as_str().len(), self.0.max_payload_bytes);
        if size <= limit {
            return Ok(());
        }
        Err(RequestError::TooLarge { message: format!("a payload of {size} bytes is too large: at most {limit}") })
    }

    async fn ask<T>(&self, deadline: Instant, work: impl FnOnce(Reply<T>) -> Work) -> Result<T, RequestError> {
        let permit = self.0.permits.clone().try_acquire_owned().map_err(|_| RequestError::Overloaded)?;
        let ticket = Arc::new(Ticket::new(deadline));
        let (reply, answer) = oneshot::channel();
        let work = work(reply);
        let shard = self.shard_of(work.stream());
        let span = work.span();
        let waiting = tracing::trace_span!(target: TRACE, parent: &span, "queue");
        let places = [Held::new(&metrics::REQUESTS), Held::new(&shard.requests)];
        let queued_at = std::time::Instant::now();
        if shard
            .jobs
            .send(Job { work, ticket: ticket.clone(), queued_at, span, waiting, _permit: permit, _places: places })
            .is_err()
        {
            return Err(RequestError::Internal("the shard has ended".to_owned()));
        }
        match timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => answer.map_err(|error| self.blame(error)),
            // A shard drops a request only when it panics: what it had sent may have been committed.
            Ok(Err(_)) if ticket.give_up() => Err(RequestError::Internal("the shard failed".to_owned())),
            Err(_) if ticket.give_up() => Err(self.blame(RequestError::Deadline)),
            Ok(Err(_)) | Err(_) => Err(RequestError::OutcomeUnknown),
        }
    }

    /// A deadline that passed while PostgreSQL is away is the database's fault.
    fn blame(&self, error: RequestError) -> RequestError {
        match error {
            RequestError::Deadline if !self.0.writer.is_connected() => RequestError::Unavailable,
            error => error,
        }
    }

    fn shard_of(&self, stream: &StreamKey) -> &ShardQueue {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(stream);
        &self.0.shards[(hash % self.0.shards.len() as u64) as usize]
    }
}
