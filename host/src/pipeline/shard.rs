//! A shard: one thread that handles its streams' requests, each stream's in order, and owns their folded aggregates.
//!
//! Every stream with something to do has a lane, a local task that takes its requests in order. A lane waits for
//! reads and commits; guests are called in between, and a call never spans a wait. While a lane runs, it alone holds
//! the stream's aggregate: a stream with an unanswered append is neither evicted nor folded again.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use lru::LruCache;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::timeout_at;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};

use super::metrics::{self, STAGES};
use super::newcomers::Newcomers;
use super::pipelining::Pace;
use super::quarantine::Quarantine;
use super::request::Work;
use super::route::{PipelineOptions, Room};
use super::snapshots::SnapshotKeeper;
use super::{RequestError, fold::Kept};
use crate::model::metric::Held;
use crate::model::{AggregateType, SnapshotStrategy, StreamKey};
use crate::runtime::{ActiveModules, Engine, Instances, Module, Placement};
use crate::store::{Store, StoreError, Ticket, Writer};

/// A request, its caller's claim on it, and its place in the queue.
pub(super) struct Job {
    pub(super) work: Work,
    pub(super) ticket: Arc<Ticket>,
    pub(super) queued_at: Instant,
    /// The request's span.
    pub(super) span: Span,
    /// The span of its wait for its stream's turn: it ends with this.
    pub(super) waiting: Span,
    pub(super) _room: Room,
    pub(super) _places: [Held; 2],
}

/// What a shard works with. Made where the runtime that does the reads is, moved to the shard's thread.
pub(super) struct Shard {
    pub(super) store: Store,
    pub(super) writer: Writer,
    pub(super) snapshots: SnapshotKeeper,
    pub(super) strategy: Arc<dyn SnapshotStrategy>,
    pub(super) quarantine: Quarantine,
    pub(super) newcomers: Newcomers,
    modules: ActiveModules,
    reads: Handle,
    instances: RefCell<Instances>,
    kept: RefCell<LruCache<StreamKey, Kept>>,
    waiting: RefCell<HashMap<StreamKey, VecDeque<Job>>>,
    generation: Cell<u64>,
}

impl Shard {
    pub(super) fn parts(
        store: &Store,
        writer: &Writer,
        engine: &Engine,
        modules: &ActiveModules,
        snapshots: &SnapshotKeeper,
        quarantine: &Quarantine,
        options: &PipelineOptions,
    ) -> Self {
        let residents = options.residents.get().div_ceil(options.shards.get());
        Self {
            store: store.clone(),
            writer: writer.clone(),
            snapshots: snapshots.clone(),
            strategy: options.snapshots.clone(),
            quarantine: quarantine.clone(),
            newcomers: Newcomers::default(),
            modules: modules.clone(),
            reads: Handle::current(),
            instances: RefCell::new(Instances::new(engine.clone())),
            kept: RefCell::new(LruCache::new(NonZeroUsize::new(residents).unwrap_or(NonZeroUsize::MIN))),
            waiting: RefCell::default(),
            generation: Cell::new(0),
        }
    }

    /// Runs until the queue is closed and every request answered.
    pub(super) fn run(self, mut queue: mpsc::UnboundedReceiver<Job>) {
        // Before it sleeps, the thread lets those go first that have work for it: on a busy machine it then finds several
        // requests at once, and nobody had to wake it; on one that isn't busy this returns at once.
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().on_thread_park(std::thread::yield_now).build();
        let runtime = runtime.expect("a runtime with only a clock needs nothing of the system");
        let shard = Rc::new(self);
        let lanes = TaskTracker::new();
        LocalSet::new().block_on(&runtime, async {
            while let Some(job) = queue.recv().await {
                let Some(stream) = job.work.stream().cloned() else {
                    let shard = Rc::clone(&shard);
                    lanes.spawn_local(async move { shard.handle(job, Placement::Shared).await });
                    continue;
                };
                if let Some(queued) = shard.waiting.borrow_mut().get_mut(&stream) {
                    queued.push_back(job);
                    continue;
                }
                shard.waiting.borrow_mut().insert(stream.clone(), VecDeque::new());
                lanes.spawn_local(Rc::clone(&shard).lane(stream, job));
            }
            lanes.close();
            lanes.wait().await;
        });
    }

    /// Takes a stream's requests until there are none: commands that wait together as chains, the others one by one.
    async fn lane(self: Rc<Self>, stream: StreamKey, first: Job) {
        let lane = Lane { shard: &self, stream: &stream };
        let (mut next, mut pace) = (Some(first), Pace::default());
        while let Some(job) = next {
            if let Some((alone, placement)) = self.pipeline(&stream, job, &mut pace).await {
                self.handle(alone, placement).await;
                pace.quicken();
            }
            next = lane.next();
        }
    }

    /// Carries out one request, on what is committed; a command's aggregate is to be placed so where it has to be folded. What is rare, or waits for a read, lies in a box of its own: a lane is
    /// made for nearly every command, and there are thousands of them at a time.
    pub(super) async fn handle(&self, job: Job, placement: Placement) {
        let (ticket, span) = (&job.ticket, job.span);
        drop(job.waiting);
        // A caller that is gone misses nothing: what was committed is in the log.
        match job.work {
            Work::Command(command, reply) => {
                STAGES.queue.record(job.queued_at.elapsed());
                let _ = reply.send(match in_time(ticket) {
                    Ok(()) => self.command(&command, placement, ticket).instrument(span).await,
                    Err(error) => Err(error),
                });
            }
            Work::Append(append, reply) => {
                let _ = reply.send(match in_time(ticket) {
                    Ok(()) => Box::pin(self.raw_append(&append, ticket).instrument(span)).await,
                    Err(error) => Err(error),
                });
            }
            Work::State(query, reply) => {
                let _ = reply.send(match in_time(ticket) {
                    Ok(()) => Box::pin(self.state(&query, ticket).instrument(span)).await,
                    Err(error) => Err(error),
                });
            }
            Work::Upcast(request, reply) => {
                let _ = reply.send(match in_time(ticket) {
                    Ok(()) => Box::pin(self.upcast(*request, ticket)).await,
                    Err(error) => Err(error),
                });
            }
        }
    }

    /// Whether the stream's next request is a command.
    pub(super) fn has_waiting_command(&self, stream: &StreamKey) -> bool {
        let waiting = self.waiting.borrow();
        let next = waiting.get(stream).and_then(VecDeque::front);
        next.is_some_and(|job| matches!(job.work, Work::Command(..)))
    }

    /// Takes the stream's next request, where that is a command.
    pub(super) fn next_command(&self, stream: &StreamKey) -> Option<Job> {
        let mut waiting = self.waiting.borrow_mut();
        waiting.get_mut(stream)?.pop_front_if(|job| matches!(job.work, Work::Command(..)))
    }

    /// Queues requests of a stream before all that wait there.
    pub(super) fn put_back(&self, stream: &StreamKey, jobs: impl DoubleEndedIterator<Item = Job>) {
        if let Some(waiting) = self.waiting.borrow_mut().get_mut(stream) {
            jobs.rev().for_each(|job| waiting.push_front(job));
        }
    }

    /// The guests' instances. Not to be held across a wait.
    pub(super) fn instances(&self) -> RefMut<'_, Instances> {
        self.instances.borrow_mut()
    }

    /// Takes a stream's aggregate, if it is kept.
    pub(super) fn take(&self, stream: &StreamKey) -> Option<Kept> {
        let kept = self.kept.borrow_mut().pop(stream)?;
        metrics::RESIDENTS.decrement(1.0);
        Some(kept)
    }

    /// Keeps a stream's aggregate for its next request; the least recently used one goes. One that has an instance of
    /// its own goes at once.
    pub(super) fn keep(&self, stream: &StreamKey, kept: Kept) {
        if kept.placement == Placement::Alone {
            self.release(kept);
            return;
        }
        metrics::RESIDENTS.increment(1.0);
        if let Some((_, evicted)) = self.kept.borrow_mut().push(stream.clone(), kept) {
            metrics::RESIDENTS.decrement(1.0);
            metrics::EVICTIONS.increment(1);
            self.release(evicted);
        }
    }

    /// Frees an aggregate; answers where it lived.
    pub(super) fn release(&self, kept: Kept) -> Placement {
        self.instances().release(kept.resident);
        kept.placement
    }

    /// The active module of an aggregate type, as of this moment.
    pub(super) fn module_of(&self, aggregate_type: &AggregateType) -> Result<Arc<Module>, RequestError> {
        let generation = self.modules.current();
        if self.generation.replace(generation.id()) != generation.id() {
            // Instances of modules that are gone would only hold memory.
            self.instances().retain_modules(|digest| generation.holds(digest));
            self.quarantine.retain_modules(|digest| generation.holds(digest));
        }
        generation.module_of(aggregate_type).cloned().ok_or_else(|| {
            let mut known: Vec<String> = generation
                .modules()
                .iter()
                .flat_map(|module| module.aggregate_types())
                .map(ToString::to_string)
                .collect();
            known.sort();
            RequestError::UnknownAggregate { aggregate_type: aggregate_type.clone(), known }
        })
    }

    /// Waits for a read, which the host's main runtime does: a shard that is inside a guest would keep its connection
    /// waiting.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        ticket: &Ticket,
        read: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, RequestError> {
        let mut read = self.reads.spawn(read);
        match timeout_at(ticket.deadline(), &mut read).await {
            Ok(Ok(done)) => Ok(done?),
            Ok(Err(failed)) => Err(RequestError::Internal(format!("a read failed: {failed}"))),
            Err(_) => {
                read.abort();
                Err(RequestError::Deadline)
            }
        }
    }
}

/// A stream's place among those with something to do; left also when a lane panics, so that the stream isn't lost.
struct Lane<'a> {
    shard: &'a Shard,
    stream: &'a StreamKey,
}

impl Lane<'_> {
    fn next(&self) -> Option<Job> {
        self.shard.waiting.borrow_mut().get_mut(self.stream).and_then(VecDeque::pop_front)
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        self.shard.waiting.borrow_mut().remove(self.stream);
    }
}

/// Begins only what its caller still waits for.
fn in_time(ticket: &Ticket) -> Result<(), RequestError> {
    if ticket.is_over() { Err(RequestError::Deadline) } else { Ok(()) }
}
