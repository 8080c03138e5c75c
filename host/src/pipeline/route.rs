//! The pipeline's handle: finds a request's shard, and waits for the answer no longer than the caller does.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use ::metrics::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::metrics::{self, CommandCounters, outcome_of};
use super::quarantine::Quarantine;
use super::request::{Reply, Work};
use super::shard::{Job, Shard};
use super::snapshots::SnapshotKeeper;
use super::{QuarantineOptions, QuarantineReport, RawAppend, RequestError, StateQuery, StateView};
use crate::model::TRACE;
use crate::model::metric::Held;
use crate::model::{AggregateType, Command, Executed, Json, SnapshotStrategy, StreamKey, Tenant};
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
    /// Most bytes of a command's payload, or of one event's payload or metadata in a raw append.
    pub max_payload_bytes: usize,
    /// When a stream's state is kept.
    pub snapshots: Arc<dyn SnapshotStrategy>,
    /// When guests that fail are no longer called.
    pub quarantine: QuarantineOptions,
}

/// Carries out requests. A cheap handle; when the last one is dropped, the shards finish what they have and end.
#[derive(Clone)]
pub struct Pipeline(pub(super) Arc<Inner>);

pub(super) struct Inner {
    shards: Vec<ShardQueue>,
    permits: Arc<Semaphore>,
    /// Room for lines of bulk requests: half of the whole, so that waiting lines leave room for single requests.
    bulk_permits: Arc<Semaphore>,
    pub(super) store: Store,
    pub(super) writer: Writer,
    pub(super) modules: ActiveModules,
    quarantine: Quarantine,
    commands: CommandCounters,
    max_events: usize,
    max_payload_bytes: usize,
}

/// The way to a shard, and the number of requests that it has.
struct ShardQueue {
    jobs: mpsc::UnboundedSender<Job>,
    requests: Gauge,
}

/// The room that a request takes until it is answered.
pub(super) struct Room {
    _permit: OwnedSemaphorePermit,
    _of_bulk: Option<OwnedSemaphorePermit>,
}

/// A command that has its place in its shard's queue.
pub struct Queued {
    waiting: Waiting<Executed>,
    aggregate_type: AggregateType,
    begun: std::time::Instant,
}

/// A request on its way.
struct Waiting<T> {
    pipeline: Pipeline,
    ticket: Arc<Ticket>,
    answer: oneshot::Receiver<Result<T, RequestError>>,
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
        let quarantine = Quarantine::new(options.quarantine);
        let (mut senders, mut threads) = (Vec::new(), Vec::new());
        for number in 0..options.shards.get() {
            let (sender, receiver) = mpsc::unbounded_channel();
            let shard = Shard::parts(store, writer, engine, modules, &keeper, &quarantine, options);
            let thread = std::thread::Builder::new().name(format!("everfold-shard-{number}"));
            threads.push(thread.spawn(move || shard.run(receiver))?);
            let requests = metrics::SHARD_REQUESTS.gauge([number.to_string()]);
            senders.push(ShardQueue { jobs: sender, requests });
        }
        let permits = Arc::new(Semaphore::new(options.queue));
        let inner = Inner {
            shards: senders,
            permits,
            bulk_permits: Arc::new(Semaphore::new(options.queue.div_ceil(2))),
            store: store.clone(),
            writer: writer.clone(),
            modules: modules.clone(),
            quarantine,
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
        self.count(&aggregate_type, &answer, begun);
        answer
    }

    /// Only types that a module declares are counted by name: there are as many others as callers invent.
    fn count(
        &self,
        aggregate_type: &AggregateType,
        answer: &Result<Executed, RequestError>,
        begun: std::time::Instant,
    ) {
        let declared = self.0.modules.current().module_of(aggregate_type).is_some();
        self.0.commands.count(aggregate_type, declared, answer, begun);
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
        for event in &append.events {
            self.check_size(&event.payload)?;
            event.metadata.iter().try_for_each(|metadata| self.check_size(metadata))?;
        }
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

    /// What there is to tell a tenant of its streams in quarantine and of the modules' breakers, on this host.
    #[must_use]
    pub fn quarantine(&self, tenant: &Tenant) -> QuarantineReport {
        self.0.quarantine.report(tenant, &self.0.modules.current())
    }

    /// Takes a stream out of quarantine; false where it wasn't in.
    #[must_use]
    pub fn release(&self, stream: &StreamKey) -> bool {
        self.0.quarantine.release(stream)
    }

    /// Closes the breaker of an active module, and takes the tenant's streams that it failed on out of quarantine: how
    /// many, or none where no active module has the name.
    #[must_use]
    pub fn reset_module(&self, tenant: &Tenant, name: &str) -> Option<usize> {
        let generation = self.0.modules.current();
        let module = generation.modules().iter().find(|module| module.descriptor().name == name)?;
        Some(self.0.quarantine.reset(tenant, module))
    }

    /// Queues a command behind what was queued before, however long it takes until there is room, and then gives it
    /// `time`. Commands of one stream are carried out in the order in which they were queued.
    ///
    /// # Errors
    /// [`RequestError`]: surely not executed.
    pub async fn queue(&self, command: Command, time: Duration) -> Result<Queued, RequestError> {
        let (aggregate_type, begun) = (command.stream.aggregate_type.clone(), std::time::Instant::now());
        let queued = match self.check_size(&command.payload) {
            Ok(()) => {
                let room = self.room_for_line().await;
                self.enqueue(room, Instant::now() + time, |reply| Work::Command(Box::new(command), reply))
            }
            Err(error) => Err(error),
        };
        match queued {
            Ok(waiting) => Ok(Queued { waiting, aggregate_type, begun }),
            Err(error) => {
                self.count(&aggregate_type, &Err(error.clone()), begun);
                Err(error)
            }
        }
    }

    pub(super) fn check_size(&self, payload: &Json) -> Result<(), RequestError> {
        let (size, limit) = (payload.as_str().len(), self.0.max_payload_bytes);
        if size <= limit {
            return Ok(());
        }
        Err(RequestError::TooLarge { message: format!("a payload of {size} bytes is too large: at most {limit}") })
    }

    /// Room for one line of a bulk request, waited for. Lines wait for each other first, so that at most one waits
    /// for the room that single requests have too.
    pub(super) async fn room_for_line(&self) -> Room {
        let of_bulk = self.0.bulk_permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let permit = self.0.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        Room { _permit: permit, _of_bulk: Some(of_bulk) }
    }

    pub(super) async fn ask<T>(
        &self,
        deadline: Instant,
        work: impl FnOnce(Reply<T>) -> Work,
    ) -> Result<T, RequestError> {
        let permit = self.0.permits.clone().try_acquire_owned().map_err(|_| RequestError::Overloaded)?;
        self.enqueue(Room { _permit: permit, _of_bulk: None }, deadline, work)?.answer().await
    }

    fn enqueue<T>(
        &self,
        room: Room,
        deadline: Instant,
        work: impl FnOnce(Reply<T>) -> Work,
    ) -> Result<Waiting<T>, RequestError> {
        let ticket = Arc::new(Ticket::new(deadline));
        let (reply, answer) = oneshot::channel();
        let work = work(reply);
        let shard = self.shard_of(&work);
        let span = work.span();
        let waiting = tracing::trace_span!(target: TRACE, parent: &span, "queue");
        let places = [Held::new(&metrics::REQUESTS), Held::new(&shard.requests)];
        let queued_at = std::time::Instant::now();
        if shard
            .jobs
            .send(Job { work, ticket: ticket.clone(), queued_at, span, waiting, _room: room, _places: places })
            .is_err()
        {
            return Err(RequestError::Internal("the shard has ended".to_owned()));
        }
        Ok(Waiting { pipeline: self.clone(), ticket, answer })
    }

    /// A deadline that passed while PostgreSQL is away is the database's fault.
    pub(super) fn blame(&self, error: RequestError) -> RequestError {
        match error {
            RequestError::Deadline if !self.0.writer.is_connected() => RequestError::Unavailable,
            error => error,
        }
    }

    /// A stream's requests meet on one shard. Events to upcast go by tenant and type, so that few instances do it.
    fn shard_of(&self, work: &Work) -> &ShardQueue {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let hash = match work {
            Work::Upcast(request, _) => hasher.hash_one((&request.tenant, &request.aggregate_type)),
            of_stream => hasher.hash_one(of_stream.stream()),
        };
        &self.0.shards[(hash % self.0.shards.len() as u64) as usize]
    }

    pub(super) fn modules(&self) -> &ActiveModules {
        &self.0.modules
    }
}

impl Queued {
    /// Waits for the answer, no longer than the command has time.
    ///
    /// # Errors
    /// [`RequestError`]: surely not executed, unless it says that this is unknown.
    pub async fn answer(self) -> Result<Executed, RequestError> {
        let Self { waiting, aggregate_type, begun } = self;
        let pipeline = waiting.pipeline.clone();
        let answer = waiting.answer().await;
        pipeline.count(&aggregate_type, &answer, begun);
        answer
    }
}

impl<T> Waiting<T> {
    async fn answer(self) -> Result<T, RequestError> {
        let Self { pipeline, ticket, answer } = self;
        match timeout_at(ticket.deadline(), answer).await {
            Ok(Ok(answer)) => answer.map_err(|error| pipeline.blame(error)),
            // A shard drops a request only when it panics: what it had sent may have been committed.
            Ok(Err(_)) if ticket.give_up() => Err(RequestError::Internal("the shard failed".to_owned())),
            Err(_) if ticket.give_up() => Err(pipeline.blame(RequestError::Deadline)),
            Ok(Err(_)) | Err(_) => Err(RequestError::OutcomeUnknown),
        }
    }
}
