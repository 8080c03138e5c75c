//! Pipelining: commands that wait on one stream are decided each upon the one before it, and commit as one chain.
//!
//! What they are decided on isn't committed yet, so nobody hears of it: a chain's commands are answered after its commit,
//! rejections too. Where one of them fails, those behind it were decided on what never was. The aggregate is dropped, and
//! each of them is carried out alone, on the log, before anyone is answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tracing::{Span, trace_span};

use super::RequestError;
use super::command::{Promised, Undecided, again, check, receipt_of};
use super::fold::Kept;
use super::metrics::{self, STAGES};
use super::quarantine::Verdict;
use super::request::Work;
use super::shard::{Job, Shard};
use crate::model::{
    Append, AppendOutcome, Command, Executed, ExpectedVersion, Head, NO_STREAM, Snapshot, StreamKey, TRACE,
};
use crate::runtime::Placement;
use crate::store::{AppendError, AppendReply, Submission};

/// Most commands of a chain: enough that a commit's wait is shared by many, few enough that it stays short.
const COMMANDS: usize = 128;

/// Events and payload bytes beyond which a chain takes no more commands, so that it is a part of a batch.
const EVENTS: usize = 500;
const BYTES: usize = 1 << 20;

/// After so long a chain takes no more commands: deciding holds the shard's thread, which has other streams. Only a
/// single call of a guest may take longer.
const DECIDING: Duration = Duration::from_millis(2);

/// How many commands a stream's next chain may have. One after a chain that failed, for what failed it may well do so
/// again; then twice as many each time.
pub(super) struct Pace(usize);

impl Default for Pace {
    fn default() -> Self {
        Self(COMMANDS)
    }
}

impl Pace {
    pub(super) fn quicken(&mut self) {
        self.0 = (self.0 * 2).min(COMMANDS);
    }
}

/// A command that was decided on what isn't committed.
struct Link {
    job: Job,
    promised: Promised,
    snapshot: Option<Snapshot>,
    /// The span of the wait for the commit.
    _appending: Span,
}

/// The commands of a chain, and the aggregate that has applied them all.
struct Links {
    links: Vec<Link>,
    appends: Vec<Submission>,
    /// None where the guest has failed since.
    kept: Option<Kept>,
    /// The command that comes next, and can't be decided on what isn't committed; and where it is to be.
    alone: Option<(Job, Placement)>,
}

/// Why a command is no link.
enum NoLink {
    /// It has to be carried out alone; the aggregate is as it was.
    Alone,
    /// The same, and the aggregate is of no further use: it is to be folded there.
    Spoilt(Placement),
}

impl Shard {
    /// Carries out a command, and those that wait behind it, as one chain. Gives back the one that has to be carried out
    /// alone, and where: the first where nothing waits behind it or the stream isn't in memory.
    pub(super) async fn pipeline(&self, stream: &StreamKey, first: Job, pace: &mut Pace) -> Option<(Job, Placement)> {
        match self.beginning(stream, &first, pace) {
            // In a box of its own, as all that few lanes need.
            Some(kept) => Box::pin(self.chain(stream, first, kept, pace)).await,
            None => Some((first, Placement::Shared)),
        }
    }

    /// The aggregate that a chain is decided on, where one may begin.
    fn beginning(&self, stream: &StreamKey, first: &Job, pace: &Pace) -> Option<Kept> {
        if pace.0 == 1 || !matches!(first.work, Work::Command(..)) || !self.has_waiting_command(stream) {
            return None;
        }
        let kept = self.take(stream)?;
        if !self.module_of(&stream.aggregate_type).is_ok_and(|module| module.digest() == kept.module.digest()) {
            self.release(kept);
            return None;
        }
        Some(kept)
    }

    async fn chain(&self, stream: &StreamKey, first: Job, kept: Kept, pace: &mut Pace) -> Option<(Job, Placement)> {
        let Links { links, appends, kept, alone } = self.decide_links(stream, first, kept, pace.0);
        // What makes the guest fail may come again: those before it shouldn't wait for that.
        let is_well = kept.is_some();
        if links.is_empty() {
            match kept {
                Some(kept) => self.keep(stream, kept),
                None => *pace = Pace(1),
            }
            return alone;
        }
        let begun = Instant::now();
        let reply = self.commit(appends).await;
        links.iter().for_each(|_| STAGES.append.record(begun.elapsed()));
        let is_overtaken = is_overtaken(&reply);
        let again = self.conclude(stream, links, reply, kept).await;
        if !is_well || is_overtaken {
            *pace = Pace(1);
        } else {
            pace.quicken();
        }
        if again.is_empty() {
            return alone;
        }
        self.put_back(stream, again.into_iter().chain(alone.map(|(job, _)| job)));
        None
    }

    /// Decides what waits, each command on what the one before it has made of the aggregate.
    fn decide_links(&self, stream: &StreamKey, first: Job, mut kept: Kept, most: usize) -> Links {
        let begun = Instant::now();
        let (mut links, mut appends) = (Vec::new(), Vec::new());
        let (mut events, mut bytes) = (0, 0);
        let mut next = Some(first);
        while let Some(mut job) = next {
            if job.ticket.is_over() {
                answer(job, Err(RequestError::Deadline));
            } else {
                match self.link(&job, &mut kept) {
                    Ok((mut append, promised, snapshot)) => {
                        job.waiting = Span::none();
                        append.continues = !links.is_empty();
                        events += append.events.len();
                        bytes += append.events.iter().map(|event| event.payload.as_str().len()).sum::<usize>();
                        appends.push(Submission { append, ticket: Arc::clone(&job.ticket) });
                        let appending = trace_span!(target: TRACE, parent: &job.span, "append");
                        links.push(Link { job, promised, snapshot, _appending: appending });
                    }
                    Err(NoLink::Alone) => {
                        return Links { links, appends, kept: Some(kept), alone: Some((job, Placement::Shared)) };
                    }
                    Err(NoLink::Spoilt(placement)) => {
                        self.release(kept);
                        return Links { links, appends, kept: None, alone: Some((job, placement)) };
                    }
                }
            }
            let has_room = links.len() < most
                && events < EVENTS.min(self.writer.batch_events())
                && bytes < BYTES.min(self.writer.batch_bytes())
                && begun.elapsed() < DECIDING;
            next = if has_room { self.next_command(stream) } else { None };
        }
        Links { links, appends, kept: Some(kept), alone: None }
    }

    /// Decides one command, and moves the aggregate's head to where it will be.
    fn link(&self, job: &Job, kept: &mut Kept) -> Result<(Append, Promised, Option<Snapshot>), NoLink> {
        let Work::Command(command, _) = &job.work else { return Err(NoLink::Alone) };
        // A failure is answered for what it is by the path of single commands, which looks for a receipt as well.
        if check(&kept.module, command).is_err() || !is_met(command, kept) {
            return Err(NoLink::Alone);
        }
        let pass = self.quarantine.admit(&command.stream, &kept.module).map_err(|_| NoLink::Alone)?;
        STAGES.queue.record(job.queued_at.elapsed());
        let begun = Instant::now();
        let decided =
            job.span.in_scope(|| trace_span!(target: TRACE, "decide").in_scope(|| self.decide_on(command, kept)));
        STAGES.decide.record(begun.elapsed());
        let mut decided = match decided {
            Ok(decided) => decided,
            Err(Undecided::Refused(_)) => return Err(NoLink::Alone),
            Err(Undecided::Spoilt(_)) => return Err(NoLink::Spoilt(Placement::Shared)),
            // That was the first of its two attempts.
            Err(Undecided::By(fault)) => {
                return Err(NoLink::Spoilt(again(fault, kept.placement).unwrap_or(Placement::Shared)));
            }
        };
        pass.settle(&Verdict::Well);
        let snapshot = decided.snapshot.take();
        if let Some(taken) = &snapshot {
            kept.snapshot = Some(taken.version);
        }
        let (append, promised) = decided.into_append(command, receipt_of(command), kept);
        if let Some(last) = append.events.last() {
            let version = kept.version() + append.events.len() as i64;
            kept.head = Some(Head { version, event_id: last.event_id });
        }
        Ok((append, promised, snapshot))
    }

    /// Hands the chain to the writer, and waits for its end.
    async fn commit(&self, appends: Vec<Submission>) -> AppendReply {
        let count = appends.len();
        let failed = |error: AppendError| (0..count).map(|_| Err(error.clone())).collect();
        match self.writer.submit(appends) {
            Ok(reply) => reply.await.unwrap_or_else(|_| failed(AppendError::Unknown)),
            Err(error) => failed(error),
        }
    }

    /// Answers what has its outcome, and gives back what has to be carried out again: it surely wasn't. The aggregate is
    /// kept where all that it has applied is committed.
    async fn conclude(&self, stream: &StreamKey, links: Vec<Link>, reply: AppendReply, kept: Option<Kept>) -> Vec<Job> {
        let (mut again, mut replays, mut newest) = (Vec::new(), Vec::new(), None);
        let mut is_whole = true;
        let is_chain = links.len() > 1;
        for (Link { job, promised, snapshot, .. }, result) in links.into_iter().zip(reply) {
            is_whole &= matches!(result, Ok(AppendOutcome::Appended { .. } | AppendOutcome::Confirmed { .. }));
            let done = match result {
                Ok(committed @ (AppendOutcome::Appended { .. } | AppendOutcome::Confirmed { .. })) => {
                    newest = snapshot.or(newest);
                    Ok(Executed { outcome: promised.kept(&committed), replayed: false })
                }
                Ok(AppendOutcome::Replayed(stored)) => {
                    replays.push((job, stored));
                    continue;
                }
                Ok(AppendOutcome::Stale { .. } | AppendOutcome::PredecessorFailed) if job.ticket.take_back() => {
                    again.push(job);
                    continue;
                }
                // PostgreSQL refuses the data of one of them, and says so of all.
                Err(AppendError::Refused(_)) if is_chain && job.ticket.take_back() => {
                    again.push(job);
                    continue;
                }
                Ok(AppendOutcome::Stale { .. } | AppendOutcome::PredecessorFailed) => Err(RequestError::OutcomeUnknown),
                Ok(AppendOutcome::KeyReused) => Err(RequestError::KeyReused),
                Ok(AppendOutcome::Conflict { actual }) => Err(conflict(&job, actual)),
                Err(error) => Err(error.into()),
            };
            answer(job, done);
        }
        if let Some(kept) = kept {
            self.settle(stream, kept, newest, is_whole);
        }
        // Last, and together: each is a read, and nobody else's answer waits for it.
        let replays = replays.into_iter().map(async |(job, stored)| {
            let replayed = self.replay(stream, stored, &job.ticket).await;
            answer(job, replayed);
        });
        join_all(replays).await;
        again
    }

    /// Keeps what the chain has left, as far as it is committed.
    fn settle(&self, stream: &StreamKey, mut kept: Kept, snapshot: Option<Snapshot>, is_whole: bool) {
        if let Some(snapshot) = snapshot
            && !self.snapshots.keep(stream, kept.module.digest(), snapshot)
        {
            // It is due again with the next event.
            kept.snapshot = None;
        }
        if is_whole {
            self.keep(stream, kept);
        } else {
            self.release(kept);
        }
    }
}

/// Whether what was decided on isn't so, or never will be: a command that only came too late says nothing of the next.
fn is_overtaken(reply: &AppendReply) -> bool {
    let first_failed = reply.iter().find_map(|result| match result {
        Ok(AppendOutcome::Appended { .. } | AppendOutcome::Confirmed { .. }) => None,
        failed => Some(failed),
    });
    if let Some(Ok(AppendOutcome::Stale { .. })) = first_failed {
        metrics::CONFLICTS.increment(1);
    }
    first_failed.is_some_and(|failed| !matches!(failed, Err(AppendError::Deadline)))
}

/// Whether the stream is as the command expects it, as far as is known.
fn is_met(command: &Command, kept: &Kept) -> bool {
    match command.expected {
        ExpectedVersion::Any => true,
        ExpectedVersion::NoStream => kept.version() == NO_STREAM,
        ExpectedVersion::Exists => kept.version() > NO_STREAM,
        ExpectedVersion::Exact(version) => kept.version() == version,
    }
}

fn conflict(job: &Job, actual: i64) -> RequestError {
    match &job.work {
        Work::Command(command, _) => {
            RequestError::Conflict { stream: command.stream.clone(), expected: command.expected, actual }
        }
        _ => RequestError::Internal("a chain has commands alone".to_owned()),
    }
}

/// A caller that is gone misses nothing: what was committed is in the log.
fn answer(job: Job, answer: Result<Executed, RequestError>) {
    if let Work::Command(_, reply) = job.work {
        let _ = reply.send(answer);
    }
}
