//! One command: checked, decided on the folded state, applied, appended, answered when that is committed.

use std::sync::Arc;
use std::time::Instant;

use tracing::{Instrument as _, trace_span};
use uuid::Uuid;

use super::fold::{Kept, milliseconds, state_version};
use super::metrics::{self, STAGES};
use super::quarantine::Verdict;
use super::shard::Shard;
use super::{ModuleFault, RequestError, fingerprint};
use crate::model::{
    Append, AppendOutcome, Command, EventRef, Executed, Head, Json, NewEvent, Outcome, ReceiptRequest, Rejection,
    Snapshot, TRACE,
};
use crate::runtime::{
    ApplyError, CommandCheck, DecideContext, DecideError, Decided, Decision, FoldEvent, FoldMode, GuestFault, Module,
    Placement,
};
use crate::store::{AppendError, Submission, Ticket};

/// Decisions that other hosts' appends may overtake before the caller is told to come back. A host that has the stream
/// in memory overtakes one that must fold first, time after time while it is busy with it: tens of attempts do happen.
const CONFLICTS: usize = 500;

/// Calls that other guests of the instance may spoil before the caller is told to come back.
pub(super) const SPOILT: usize = 4;

/// A decision that was applied to the aggregate: what is to be appended.
pub(super) struct Applied {
    pub(super) events: Vec<NewEvent>,
    rejection: Option<Rejection>,
    pub(super) snapshot: Option<Snapshot>,
}

/// Why an attempt to decide gave nothing.
pub(super) enum Undecided {
    /// The command isn't one; the aggregate is as it was.
    Refused(RequestError),
    /// The aggregate is of no further use.
    Spoilt(RequestError),
    /// The guest failed.
    By(GuestFault),
}

impl From<GuestFault> for Undecided {
    fn from(fault: GuestFault) -> Self {
        Self::By(fault)
    }
}

impl Shard {
    /// Carries a command out.
    pub(super) async fn command(
        &self,
        command: &Command,
        placement: Placement,
        ticket: &Arc<Ticket>,
    ) -> Result<Executed, RequestError> {
        let receipt = receipt_of(command);
        match (self.decide_and_append(command, receipt.as_ref(), placement, ticket).await, &receipt) {
            (Err(error), Some(receipt)) if is_decided_before_append(&error) => {
                Box::pin(self.replay_instead(&command.stream, receipt, error, ticket)).await
            }
            (outcome, _) => outcome,
        }
    }

    async fn decide_and_append(
        &self,
        command: &Command,
        receipt: Option<&ReceiptRequest>,
        placement: Placement,
        ticket: &Arc<Ticket>,
    ) -> Result<Executed, RequestError> {
        let mut may_guess = placement == Placement::Shared;
        for _ in 0..CONFLICTS {
            let module = self.module_of(&command.stream.aggregate_type)?;
            check(&module, command)?;
            let pass = self.quarantine.admit(&command.stream, &module)?;
            let decided = self.decide(command, &module, placement, may_guess, ticket).await;
            may_guess = false;
            pass.settle(&verdict(&decided));
            let (kept, decided) = decided?;
            if let Some(executed) = self.append(command, receipt, kept, decided, ticket).await? {
                return Ok(executed);
            }
            // Another host went on in between: fold what it wrote, and decide again.
            metrics::CONFLICTS.increment(1);
            if !ticket.take_back() {
                return Err(RequestError::OutcomeUnknown);
            }
        }
        Err(RequestError::Overloaded)
    }

    /// The stream's aggregate with the decision applied. A guest that fails is tried once more, alone in a fresh
    /// instance, and only that counts.
    async fn decide(
        &self,
        command: &Command,
        module: &Arc<Module>,
        mut placement: Placement,
        may_guess: bool,
        ticket: &Ticket,
    ) -> Result<(Kept, Applied), RequestError> {
        for attempt in 0..SPOILT {
            let kept = self.aggregate_for(command, module, placement, may_guess && attempt == 0, ticket).await?;
            let begun = Instant::now();
            let decided = trace_span!(target: TRACE, "decide").in_scope(|| self.decide_on(command, &kept));
            STAGES.decide.record(begun.elapsed());
            match decided {
                Ok(decided) => return Ok((kept, decided)),
                // Only a decision is checked by its append: whatever else the guest says may be due to the guess.
                Err(undecided) if kept.is_guessed => {
                    let at = self.release(kept);
                    if let Undecided::By(fault) = undecided {
                        placement = again(fault, at).unwrap_or(placement);
                    }
                }
                Err(Undecided::Refused(error)) => {
                    self.keep(&command.stream, kept);
                    return Err(error);
                }
                Err(Undecided::Spoilt(error)) => {
                    self.release(kept);
                    return Err(error);
                }
                Err(Undecided::By(fault)) => {
                    placement = again(fault, self.release(kept))?;
                }
            }
        }
        Err(RequestError::Overloaded)
    }

    /// The stream's aggregate: from memory, or one that the stream would have if it were new, where that may be guessed;
    /// else folded.
    async fn aggregate_for(
        &self,
        command: &Command,
        module: &Arc<Module>,
        placement: Placement,
        may_guess: bool,
        ticket: &Ticket,
    ) -> Result<Kept, RequestError> {
        let stream = &command.stream;
        match self.take(stream) {
            Some(kept) if placement == Placement::Shared && kept.module.digest() == module.digest() => return Ok(kept),
            Some(unfit) => drop(self.release(unfit)),
            None if may_guess => {
                if let Some(guessed) = self.guess_new(stream, command.expected, module) {
                    return Ok(guessed);
                }
            }
            None => {}
        }
        let begun = Instant::now();
        let fold = self.fold(stream, module, placement, None, ticket);
        let folded = Box::pin(fold.instrument(trace_span!(target: TRACE, "fold"))).await;
        STAGES.fold.record(begun.elapsed());
        let kept = folded?;
        self.newcomers.note(&stream.aggregate_type, kept.head.is_none());
        Ok(kept)
    }

    /// Decides and applies, without a wait in between.
    pub(super) fn decide_on(&self, command: &Command, kept: &Kept) -> Result<Applied, Undecided> {
        let origin = &command.origin;
        let context = DecideContext {
            time: milliseconds(origin.received_at),
            command_id: origin.command_id,
            seed: fingerprint::seed(&origin.command_id),
            actor: origin.actor.as_deref(),
            stream_id: command.stream.stream_id.as_str(),
            version: kept.version(),
            correlation_id: origin.correlation_id.as_deref(),
        };
        let mut instances = self.instances();
        let decision = instances.decide(&kept.resident, &command.name, command.payload.as_str(), &context);
        let decided = match decision {
            Ok(Decision::Rejected(rejection)) => {
                return Ok(Applied { events: Vec::new(), rejection: Some(rejection), snapshot: None });
            }
            Ok(Decision::Events(decided)) => decided,
            Err(DecideError::Fault(fault)) => return Err(fault.into()),
            Err(DecideError::UnknownCommand) => {
                let what = format!("it declares command {:?}, and doesn't know it", command.name);
                return Err(Undecided::Refused(ModuleFault::AnswerInvalid(what).into()));
            }
            Err(DecideError::Invalid { message, pointer }) => {
                return Err(Undecided::Refused(RequestError::Invalid { message, pointer }));
            }
        };
        let first = kept.version() + 1;
        let folded: Vec<FoldEvent<'_>> =
            decided.iter().zip(first..).map(|(event, version)| fold_event(event, version, context.time)).collect();
        instances.apply(&kept.resident, &folded, FoldMode::Live).map_err(|error| match error {
            ApplyError::Fault(fault) => Undecided::By(fault),
            ApplyError::Refused(refused) => Undecided::Spoilt(
                ModuleFault::AnswerInvalid(format!("it decided an event that it can't apply: {refused}")).into(),
            ),
        })?;
        drop(instances);

        let metadata = Json::of(origin);
        let events: Vec<NewEvent> = decided
            .into_iter()
            .map(|event| NewEvent {
                event_id: Uuid::now_v7(),
                event_type: event.event_type,
                schema_version: event.schema_version,
                payload: event.payload,
                metadata: metadata.clone(),
                // To the millisecond: guests see the time alike now and when the event is folded again.
                occurred_at: origin.received_at.truncate_to_millisecond(),
            })
            .collect();
        let snapshot = self.due_snapshot(command, kept, &events);
        Ok(Applied { events, rejection: None, snapshot })
    }

    /// The state as it will be when these events are committed, where a snapshot of it is due. A module that can't tell
    /// its state costs the snapshot, never the command.
    fn due_snapshot(&self, command: &Command, kept: &Kept, events: &[NewEvent]) -> Option<Snapshot> {
        let last = events.last()?;
        let aggregate = kept.resident.aggregate().descriptor();
        let version = kept.version() + events.len() as i64;
        let aggregate_type = command.stream.aggregate_type.as_str();
        if !self.strategy.is_due(aggregate_type, aggregate.snapshot_interval, version, kept.snapshot) {
            return None;
        }
        let stream = &command.stream;
        let warn =
            |fault: &GuestFault| tracing::warn!(%stream, %fault, "no snapshot: the module doesn't tell the state");
        let state = self.instances().state(&kept.resident).inspect_err(warn).ok()?;
        Some(Snapshot {
            version,
            event_id: last.event_id,
            state_version: state_version(&kept.module, &command.stream.aggregate_type),
            state: state.as_str().as_bytes().to_vec(),
        })
    }

    /// Appends, and keeps the aggregate where it is what is committed. `None` where another host had gone on, so that
    /// the decision counts for nothing.
    async fn append(
        &self,
        command: &Command,
        receipt: Option<&ReceiptRequest>,
        kept: Kept,
        mut decided: Applied,
        ticket: &Arc<Ticket>,
    ) -> Result<Option<Executed>, RequestError> {
        let snapshot = decided.snapshot.take();
        let (append, promised) = decided.into_append(command, receipt.cloned(), &kept);
        let begun = Instant::now();
        let outcome = self.submit(append, ticket).await;
        STAGES.append.record(begun.elapsed());
        if !matches!(outcome, Ok(AppendOutcome::Appended { .. } | AppendOutcome::Confirmed { .. })) {
            if kept.is_guessed && matches!(outcome, Ok(AppendOutcome::Stale { .. })) {
                self.newcomers.note(&command.stream.aggregate_type, false);
            }
            // Events that were applied are not in the log, or the log isn't where the aggregate is.
            self.release(kept);
            return match outcome? {
                AppendOutcome::Replayed(stored) => {
                    Ok(Some(Box::pin(self.replay(&command.stream, stored, ticket)).await?))
                }
                AppendOutcome::KeyReused => Err(RequestError::KeyReused),
                AppendOutcome::Stale { .. } => Ok(None),
                AppendOutcome::Conflict { actual } => {
                    Err(RequestError::Conflict { stream: command.stream.clone(), expected: command.expected, actual })
                }
                other => Err(RequestError::Internal(format!("an append alone was answered {other:?}"))),
            };
        }
        let outcome = promised.kept(&outcome?);
        self.advance(command, kept, snapshot, &outcome);
        Ok(Some(Executed { outcome, replayed: false }))
    }

    /// What was decided is committed: the aggregate is the stream's state now.
    fn advance(&self, command: &Command, mut kept: Kept, snapshot: Option<Snapshot>, outcome: &Outcome) {
        if std::mem::take(&mut kept.is_guessed) {
            self.newcomers.note(&command.stream.aggregate_type, true);
        }
        if let Outcome::Appended(events) = outcome
            && let Some(last) = events.last()
        {
            kept.head = Some(Head { version: last.version, event_id: last.event_id });
        }
        if let Some(snapshot) = snapshot {
            let version = snapshot.version;
            if self.snapshots.keep(&command.stream, kept.module.digest(), snapshot) {
                kept.snapshot = Some(version);
            }
        }
        self.keep(&command.stream, kept);
    }

    /// Hands one append to the writer and waits for its end.
    pub(super) fn submit(
        &self,
        append: Append,
        ticket: &Arc<Ticket>,
    ) -> impl Future<Output = Result<AppendOutcome, RequestError>> + use<> {
        let answer = self.writer.submit(vec![Submission { append, ticket: ticket.clone() }]);
        let wait = async {
            let reply = answer?.await.map_err(|_| AppendError::Unknown)?;
            Ok(reply.into_iter().next().unwrap_or(Err(AppendError::Unknown))?)
        };
        wait.instrument(trace_span!(target: TRACE, "append"))
    }
}

/// What is to be answered once an append is committed.
pub(super) struct Promised {
    events: Vec<(Uuid, String)>,
    rejection: Option<Rejection>,
}

impl Applied {
    /// The decision as an append on the head that it was made on, and what it promises.
    pub(super) fn into_append(
        self,
        command: &Command,
        receipt: Option<ReceiptRequest>,
        kept: &Kept,
    ) -> (Append, Promised) {
        let events = self.events.iter().map(|event| (event.event_id, event.event_type.clone())).collect();
        let append = Append {
            stream: command.stream.clone(),
            expected: command.expected,
            base: Some(kept.head),
            continues: false,
            module_digest: Some(kept.module.digest()),
            events: self.events,
            // For the receipt: without one it would only be carried to and fro.
            rejection: receipt.as_ref().and_then(|_| self.rejection.clone()),
            receipt,
        };
        (append, Promised { events, rejection: self.rejection })
    }
}

impl Promised {
    /// The outcome, now that the append is committed.
    pub(super) fn kept(self, committed: &AppendOutcome) -> Outcome {
        match (committed, self.rejection) {
            (AppendOutcome::Appended { first_version, first_position }, _) => {
                Outcome::Appended(event_refs(self.events, *first_version, *first_position))
            }
            (AppendOutcome::Confirmed { version }, Some(rejection)) => {
                Outcome::Rejected { rejection, version: *version }
            }
            (AppendOutcome::Confirmed { version }, None) => Outcome::Nothing { version: *version },
            (other, _) => unreachable!("{other:?} is no commit"),
        }
    }
}

/// The receipt that a command asks for by its idempotency key.
pub(super) fn receipt_of(command: &Command) -> Option<ReceiptRequest> {
    let key = command.idempotency_key.clone()?;
    Some(ReceiptRequest { key, fingerprint: fingerprint::of_command(command) })
}

/// Names and places of events that are committed one after the other.
pub(super) fn event_refs(events: Vec<(Uuid, String)>, first_version: i64, first_position: i64) -> Vec<EventRef> {
    events
        .into_iter()
        .zip(0..)
        .map(|((event_id, event_type), place)| EventRef {
            event_id,
            event_type,
            version: first_version + place,
            position: first_position + place,
        })
        .collect()
}

/// Errors that came up before the append could look for a receipt.
pub(super) fn is_decided_before_append(error: &RequestError) -> bool {
    matches!(
        error,
        RequestError::UnknownAggregate { .. }
            | RequestError::UnknownCommand { .. }
            | RequestError::Invalid { .. }
            | RequestError::Module(_)
            | RequestError::Held(_)
            | RequestError::UnfoldableEvent { .. }
    )
}

/// Where a call that failed in one place is tried again, unless it is the guest's last word: what it does in an instance of
/// its own, or a bad answer, which costs nobody else anything.
pub(super) fn again(fault: GuestFault, placement: Placement) -> Result<Placement, RequestError> {
    match fault {
        GuestFault::Gone => Ok(placement),
        GuestFault::AnswerInvalid(_) | GuestFault::NoCapacity(_) => Err(fault.into()),
        fault if placement == Placement::Alone => Err(fault.into()),
        _ => {
            metrics::RETRIES.increment(1);
            Ok(Placement::Alone)
        }
    }
}

/// What a call's outcome says of the guest. A bad answer is no reason to stop asking: it's the command's, and cheap.
pub(super) fn verdict<T>(outcome: &Result<T, RequestError>) -> Verdict {
    match outcome {
        Ok(_) | Err(RequestError::Invalid { .. }) => Verdict::Well,
        Err(RequestError::Module(fault)) if !matches!(fault, ModuleFault::AnswerInvalid(_)) => {
            Verdict::Failed(fault.clone())
        }
        Err(_) => Verdict::Nothing,
    }
}

pub(super) fn check(module: &Module, command: &Command) -> Result<(), RequestError> {
    let aggregate = module.aggregate(&command.stream.aggregate_type);
    match aggregate.map(|aggregate| aggregate.check_command(&command.name, &command.payload)) {
        Some(Ok(())) => Ok(()),
        Some(Err(CommandCheck::Invalid { message, pointer })) => Err(RequestError::Invalid { message, pointer }),
        Some(Err(CommandCheck::Unknown)) | None => Err(unknown_command(module, command)),
    }
}

fn unknown_command(module: &Module, command: &Command) -> RequestError {
    let aggregate_type = command.stream.aggregate_type.clone();
    let known = module.aggregate(&aggregate_type).map_or_else(Vec::new, |aggregate| {
        aggregate.descriptor().commands.iter().map(|command| command.name.clone()).collect()
    });
    RequestError::UnknownCommand { aggregate_type, command: command.name.clone(), known }
}

fn fold_event(event: &Decided, version: i64, occurred_at: i64) -> FoldEvent<'_> {
    FoldEvent {
        event_type: &event.event_type,
        schema_version: event.schema_version,
        version,
        occurred_at,
        payload: event.payload.as_str(),
    }
}
