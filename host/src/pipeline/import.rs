//! History from another store: events keep their ids, versions and times, and get positions in the order they come in.
//!
//! Batches of many streams go to the writer as they are, past the shards: aggregates that are kept folded find out by
//! the check of their head, as they do when another host writes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::raw::check_readable;
use super::route::Room;
use super::{Pipeline, RequestError};
use crate::model::{Append, AppendOutcome, ExpectedVersion, NewEvent, StreamKey};
use crate::store::{AppendError, AppendReply, Place, Standing, StoreError, Submission, Ticket};

/// How often what another writer of the same streams made stale is tried again.
const ROUNDS: usize = 10;

/// Streams with another history that an import remembers; beyond it the import has nothing to do with this log.
const MAX_DIVERGED: usize = 10_000;

/// The pause before a database that is away is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// One event of a history, with its place in it.
#[derive(Debug, Clone)]
pub struct ImportEvent {
    /// The stream.
    pub stream: StreamKey,
    /// The event's version there, from 0.
    pub version: i64,
    /// The event.
    pub event: NewEvent,
}

/// An event that is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Its position.
    pub position: i64,
    /// It was there before.
    pub already_there: bool,
}

/// Why an event wasn't imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The stream doesn't reach up to the event yet.
    #[error("the stream is at version {actual}: events are missing in between")]
    Gap {
        /// The stream's version; -1 for none.
        actual: i64,
    },
    /// Another event is in its place.
    #[error("another event, {event_id}, has that version")]
    Taken {
        /// The other event's id.
        event_id: Uuid,
        /// The stream's version.
        actual: i64,
    },
    /// An earlier event of its stream is another one in the log: what follows it isn't this stream's history.
    #[error("an earlier event of the stream is another one in the log")]
    Diverged {
        /// The stream's version.
        actual: i64,
    },
    /// It can't be imported, or not now.
    #[error(transparent)]
    Failed(#[from] RequestError),
}

/// The streams that an import found to have another history in the log. Nothing more is appended to them: it would be
/// the end of one history behind the begin of another.
#[derive(Debug, Clone, Default)]
pub struct Diverged(Arc<Mutex<HashMap<StreamKey, i64>>>);

impl Diverged {
    /// Takes note of a stream, at this version; false where there are more than can be remembered.
    fn insert(&self, stream: &StreamKey, actual: i64) -> bool {
        let mut streams = self.0.lock().expect("no holder panics");
        if streams.len() >= MAX_DIVERGED && !streams.contains_key(stream) {
            return false;
        }
        streams.insert(stream.clone(), actual);
        true
    }

    fn get(&self, stream: &StreamKey) -> Option<i64> {
        self.0.lock().expect("no holder panics").get(stream).copied()
    }
}

/// Events that were sent to the log, in their order.
pub struct Importing {
    pipeline: Pipeline,
    deadline: Instant,
    diverged: Diverged,
    events: Vec<ImportEvent>,
    results: Vec<Option<Result<Imported, ImportError>>>,
    sent: Vec<Sent>,
    /// All go out in one statement; each event by itself once PostgreSQL refused one of them.
    together: bool,
    _room: Room,
}

/// Appends that the writer has.
struct Sent {
    runs: Vec<Run>,
    tickets: Vec<Arc<Ticket>>,
    answer: oneshot::Receiver<AppendReply>,
}

/// Places of events that follow each other in one stream, and so make one append.
type Run = Vec<usize>;

impl Pipeline {
    /// Sends events of one tenant to the log, all in one batch whose positions follow their order. Waits until there is
    /// room, and then gives them `time`. Of events that are there already nothing is written. Batches of one import
    /// share what they know of streams that have `diverged`, and are sent one after the other.
    pub async fn import(&self, events: Vec<ImportEvent>, time: Duration, diverged: &Diverged) -> Importing {
        let room = self.room_for_line().await;
        let results =
            events.iter().map(|event| self.check_import(event).err().map(|error| Err(error.into()))).collect();
        let mut importing = Importing {
            pipeline: self.clone(),
            deadline: Instant::now() + time,
            diverged: diverged.clone(),
            events,
            results,
            sent: Vec::new(),
            together: true,
            _room: room,
        };
        importing.send().await;
        importing
    }

    /// Where a module has the aggregate type, it must be able to fold the event.
    fn check_import(&self, event: &ImportEvent) -> Result<(), RequestError> {
        self.check_size(&event.event.payload)?;
        self.check_size(&event.event.metadata)?;
        let generation = self.0.modules.current();
        let Some(module) = generation.module_of(&event.stream.aggregate_type) else { return Ok(()) };
        let NewEvent { event_type, schema_version, .. } = &event.event;
        check_readable(module, &event.stream.aggregate_type, event_type, *schema_version)
            .map_err(|message| RequestError::Invalid { message, pointer: "/event_type".to_owned() })
    }
}

impl Importing {
    /// What became of each event, in their order.
    pub async fn outcomes(mut self) -> Vec<Result<Imported, ImportError>> {
        for _ in 1..ROUNDS {
            self.receive().await;
            if self.results.iter().all(Option::is_some) {
                break;
            }
            self.send().await;
        }
        self.receive().await;
        // Others wrote the same streams time after time.
        let open = || Err(RequestError::Overloaded.into());
        self.results.into_iter().map(|result| result.unwrap_or_else(open)).collect()
    }

    /// Sends what is neither there nor refused.
    async fn send(&mut self) {
        if let Err(error) = self.look().await {
            for result in self.results.iter_mut().filter(|result| result.is_none()) {
                *result = Some(Err(error.clone().into()));
            }
        }
        let runs = self.runs();
        let size = if self.together { runs.len().max(1) } else { 1 };
        for runs in runs.chunks(size) {
            let tickets: Vec<_> = runs.iter().map(|_| Arc::new(Ticket::new(self.deadline))).collect();
            let submissions = runs
                .iter()
                .zip(&tickets)
                .map(|(run, ticket)| Submission { append: self.append(run), ticket: ticket.clone() })
                .collect();
            match self.pipeline.0.writer.submit(submissions) {
                Ok(answer) => self.sent.push(Sent { runs: runs.to_vec(), tickets, answer }),
                Err(error) => runs.iter().for_each(|run| self.fail(run, error.clone())),
            }
        }
    }

    /// Finds the events whose places are taken, by themselves or by others.
    async fn look(&mut self) -> Result<(), RequestError> {
        let open: Vec<usize> = (0..self.events.len()).filter(|place| self.results[*place].is_none()).collect();
        let Some(first) = open.first() else { return Ok(()) };
        let tenant = &self.events[*first].stream.tenant;
        let place = |place: &usize| {
            let ImportEvent { stream, version, event } = &self.events[*place];
            Place { stream, version: *version, event_id: event.event_id }
        };
        let places: Vec<_> = open.iter().map(place).collect();
        let standing = loop {
            match timeout_at(self.deadline, self.pipeline.0.store.standing(tenant, &places)).await {
                Ok(Ok(standing)) => break standing,
                Ok(Err(StoreError::Unavailable(_))) if Instant::now() + PAUSE < self.deadline => sleep(PAUSE).await,
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => return Err(self.pipeline.blame(RequestError::Deadline)),
            }
        };
        for (place, standing) in open.into_iter().zip(standing) {
            self.results[place] = standing.map(|standing| match standing {
                Standing::Same { position } => Ok(Imported { position, already_there: true }),
                Standing::Other { event_id, actual } => Err(ImportError::Taken { event_id, actual }),
            });
        }
        self.part_from_diverged()
    }

    /// What comes behind a place that another event has is no part of the stream's history in the log.
    fn part_from_diverged(&mut self) -> Result<(), RequestError> {
        for (event, result) in self.events.iter().zip(&mut self.results) {
            match result {
                Some(Err(ImportError::Taken { actual, .. })) if !self.diverged.insert(&event.stream, *actual) => {
                    let message = format!(
                        "more than {MAX_DIVERGED} streams have another history in the log: this file isn't one of it"
                    );
                    return Err(RequestError::TooLarge { message });
                }
                Some(_) => {}
                None => *result = self.diverged.get(&event.stream).map(|actual| Err(ImportError::Diverged { actual })),
            }
        }
        Ok(())
    }

    /// The open events, cut where the next one isn't of the same stream or doesn't follow; one by one where they go apart.
    fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (place, event) in self.events.iter().enumerate().filter(|(place, _)| self.results[*place].is_none()) {
            let follows = |last: &ImportEvent| last.stream == event.stream && last.version + 1 == event.version;
            match runs.last_mut() {
                Some(run) if self.together && run.last().is_some_and(|last| follows(&self.events[*last])) => {
                    run.push(place);
                }
                _ => runs.push(vec![place]),
            }
        }
        runs
    }

    fn append(&self, run: &Run) -> Append {
        let first = &self.events[run[0]];
        Append {
            stream: first.stream.clone(),
            expected: ExpectedVersion::before(first.version),
            base: None,
            continues: false,
            receipt: None,
            module_digest: None,
            events: run.iter().map(|place| self.events[*place].event.clone()).collect(),
            rejection: None,
        }
    }

    /// Waits for the writer's answers, no longer than there is time.
    async fn receive(&mut self) {
        let mut unsettled = HashSet::new();
        for Sent { runs, tickets, answer } in std::mem::take(&mut self.sent) {
            let given_up =
                |ticket: &Arc<Ticket>| Err(if ticket.give_up() { AppendError::Deadline } else { AppendError::Unknown });
            let reply = match timeout_at(self.deadline, answer).await {
                Ok(Ok(reply)) => reply,
                Ok(Err(_)) | Err(_) => tickets.iter().map(given_up).collect(),
            };
            let alone = runs.len() == 1 && runs[0].len() == 1;
            for (run, outcome) in runs.iter().zip(reply) {
                self.settle(run, outcome, alone, &mut unsettled);
            }
        }
    }

    /// Notes what became of one append. It stays open where another look is needed; its stream is then unsettled.
    fn settle(
        &mut self,
        run: &Run,
        outcome: Result<AppendOutcome, AppendError>,
        alone: bool,
        unsettled: &mut HashSet<StreamKey>,
    ) {
        let first = &self.events[run[0]];
        match outcome {
            Ok(AppendOutcome::Appended { first_position, .. }) => {
                for (place, position) in run.iter().zip(first_position..) {
                    self.results[*place] = Some(Ok(Imported { position, already_there: false }));
                }
            }
            // What should come before it is still to be sent, or wasn't there and never came.
            Ok(AppendOutcome::Conflict { actual }) if actual < first.version => {
                if !unsettled.contains(&first.stream) {
                    run.iter().for_each(|place| self.results[*place] = Some(Err(ImportError::Gap { actual })));
                }
            }
            // Somebody else appended here since the look: perhaps the same events.
            Ok(AppendOutcome::Conflict { .. }) => {
                unsettled.insert(first.stream.clone());
            }
            Err(AppendError::Refused(_)) if !alone => {
                unsettled.insert(first.stream.clone());
                self.together = false;
            }
            Err(error) => self.fail(run, error),
            Ok(other) => {
                let error = RequestError::Internal(format!("an import was answered {other:?}"));
                run.iter().for_each(|place| self.results[*place] = Some(Err(error.clone().into())));
            }
        }
    }

    fn fail(&mut self, run: &Run, error: AppendError) {
        let error = self.pipeline.blame(error.into());
        run.iter().for_each(|place| self.results[*place] = Some(Err(error.clone().into())));
    }
}
