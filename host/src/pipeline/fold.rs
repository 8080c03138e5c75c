//! Folding a stream: its snapshot and the events after it, page by page, into an aggregate of the active module.

use std::sync::Arc;

use time::OffsetDateTime;

use super::metrics::{self, SNAPSHOT};
use super::shard::Shard;
use super::{ModuleFault, RequestError};
use crate::model::{AggregateType, ExpectedVersion, Head, NO_STREAM, StreamKey};
use crate::runtime::{
    ApplyError, FoldEvent, FoldMode, GuestFault, Module, Placement, RefusedEvent, Resident, RestoreError,
};
use crate::store::{LoadedStream, TailEvent, Ticket};

/// Events of one page: enough to make the round trip small, few enough to stay in milliseconds of guest time.
const PAGE: i64 = 500;

/// Folds that other guests of the instance may spoil before the caller is told to come back.
const ATTEMPTS: usize = 3;

/// A stream's aggregate, folded up to its head.
pub(super) struct Kept {
    /// The aggregate.
    pub(super) resident: Resident,
    /// Where it lives.
    pub(super) placement: Placement,
    /// The module that folded it.
    pub(super) module: Arc<Module>,
    /// The last event that is folded in.
    pub(super) head: Option<Head>,
    /// Version of the newest snapshot that this host knows of.
    pub(super) snapshot: Option<i64>,
    /// Taken for new without a look at the log: the first append tells.
    pub(super) is_guessed: bool,
}

impl Kept {
    /// Version of the last event that is folded in; -1 for none.
    pub(super) fn version(&self) -> i64 {
        self.head.map_or(NO_STREAM, |head| head.version)
    }
}

/// Why one attempt to fold ended.
enum Spoilt {
    /// The request has failed.
    For(RequestError),
    /// The instance failed under another stream's call: fold again.
    Again,
    /// The guest failed under this stream's events.
    By(GuestFault),
}

impl From<RequestError> for Spoilt {
    fn from(error: RequestError) -> Self {
        Self::For(error)
    }
}

impl From<GuestFault> for Spoilt {
    fn from(fault: GuestFault) -> Self {
        match fault {
            GuestFault::Gone => Self::Again,
            fault => Self::By(fault),
        }
    }
}

impl Shard {
    /// Folds a stream, all of it or up to a version. An instance that fails costs one more try, alone in a fresh one.
    pub(super) async fn fold(
        &self,
        stream: &StreamKey,
        module: &Arc<Module>,
        placement: Placement,
        up_to: Option<i64>,
        ticket: &Ticket,
    ) -> Result<Kept, RequestError> {
        let mut placement = placement;
        metrics::FOLDS.increment(1);
        for _ in 0..ATTEMPTS {
            match self.fold_once(stream, module, placement, up_to, ticket).await {
                Ok(kept) => return Ok(kept),
                Err(Spoilt::For(error)) => return Err(error),
                Err(Spoilt::By(GuestFault::AnswerInvalid(what))) => {
                    return Err(GuestFault::AnswerInvalid(what).into());
                }
                Err(Spoilt::By(fault)) if placement == Placement::Alone => return Err(fault.into()),
                Err(Spoilt::Again | Spoilt::By(_)) => placement = Placement::Alone,
            }
        }
        Err(RequestError::Overloaded)
    }

    async fn fold_once(
        &self,
        stream: &StreamKey,
        module: &Arc<Module>,
        placement: Placement,
        up_to: Option<i64>,
        ticket: &Ticket,
    ) -> Result<Kept, Spoilt> {
        let mut page = self.load(stream, module, up_to, ticket).await?;
        let mut kept = match self.begin(stream, module, placement, &page)? {
            Some(kept) => kept,
            None => {
                // The snapshot is of no use to this module: the whole history is.
                page = self.load_after(stream, NO_STREAM, up_to, ticket).await?;
                page.snapshot = None;
                self.begin(stream, module, placement, &page)?.ok_or(Spoilt::Again)?
            }
        };
        loop {
            let folded = self.apply_page(&mut kept, &page.events);
            if let Err(spoilt) = folded {
                self.release(kept);
                return Err(spoilt);
            }
            if !page.more {
                return Ok(kept);
            }
            page = match self.load_after(stream, kept.version(), up_to, ticket).await {
                Ok(page) => page,
                Err(error) => {
                    self.release(kept);
                    return Err(error.into());
                }
            };
        }
    }

    /// The aggregate as the snapshot has it, or before the first event; `None` where the snapshot is unusable.
    fn begin(
        &self,
        stream: &StreamKey,
        module: &Arc<Module>,
        placement: Placement,
        page: &LoadedStream,
    ) -> Result<Option<Kept>, Spoilt> {
        let Some(snapshot) = &page.snapshot else {
            return Ok(Some(self.unfolded(stream, module, placement)?));
        };
        let restored = self.instances().restore(
            module,
            &stream.tenant,
            &stream.aggregate_type,
            placement,
            snapshot.state_version,
            &snapshot.state,
        );
        match restored {
            Ok(resident) => {
                SNAPSHOT.restored.increment(1);
                let head = Some(Head { version: snapshot.version, event_id: snapshot.event_id });
                let (module, snapshot) = (module.clone(), Some(snapshot.version));
                Ok(Some(Kept { resident, placement, module, head, snapshot, is_guessed: false }))
            }
            // Alone it wasn't another stream's fault: the snapshot is what the module fails on.
            Err(RestoreError::Fault(fault)) if placement == Placement::Shared || is_of_host(&fault) => {
                Err(fault.into())
            }
            Err(unusable) => {
                SNAPSHOT.unusable.increment(1);
                tracing::warn!(%stream, reason = %unusable, "a snapshot can't be used: the events are folded instead");
                Ok(None)
            }
        }
    }

    /// An aggregate before its first event.
    fn unfolded(&self, stream: &StreamKey, module: &Arc<Module>, placement: Placement) -> Result<Kept, GuestFault> {
        let resident = self.instances().create(module, &stream.tenant, &stream.aggregate_type, placement)?;
        Ok(Kept { resident, placement, module: module.clone(), head: None, snapshot: None, is_guessed: false })
    }

    /// The aggregate of a stream that isn't in memory and may well be new, where it is worth a guess. A guest that fails
    /// here will fail again where it counts.
    pub(super) fn guess_new(
        &self,
        stream: &StreamKey,
        expected: ExpectedVersion,
        module: &Arc<Module>,
    ) -> Option<Kept> {
        if !self.newcomers.expects(&stream.aggregate_type, expected) {
            return None;
        }
        metrics::GUESSES.increment(1);
        Some(Kept { is_guessed: true, ..self.unfolded(stream, module, Placement::Shared).ok()? })
    }

    fn apply_page(&self, kept: &mut Kept, events: &[TailEvent]) -> Result<(), Spoilt> {
        let folded: Vec<FoldEvent<'_>> = events.iter().map(fold_event).collect();
        self.instances().apply(&kept.resident, &folded, FoldMode::Replay).map_err(|error| match error {
            ApplyError::Fault(fault) => fault.into(),
            ApplyError::Refused(refused) => Spoilt::For(unfoldable(&kept.module, &folded, &refused)),
        })?;
        metrics::FOLDED_EVENTS.increment(events.len() as u64);
        if let Some(last) = events.last() {
            kept.head = Some(Head { version: last.version, event_id: last.event_id });
        }
        Ok(())
    }

    async fn load(
        &self,
        stream: &StreamKey,
        module: &Arc<Module>,
        up_to: Option<i64>,
        ticket: &Ticket,
    ) -> Result<LoadedStream, RequestError> {
        let state_version = state_version(module, &stream.aggregate_type);
        let (store, stream, digest) = (self.store.clone(), stream.clone(), module.digest());
        let load = async move { store.load_stream(&stream, &digest, state_version, up_to, PAGE).await };
        self.read(ticket, load).await
    }

    async fn load_after(
        &self,
        stream: &StreamKey,
        version: i64,
        up_to: Option<i64>,
        ticket: &Ticket,
    ) -> Result<LoadedStream, RequestError> {
        let (store, stream) = (self.store.clone(), stream.clone());
        self.read(ticket, async move { store.load_tail(&stream, version, up_to, PAGE).await }).await
    }
}

/// Whether the host took the instance away, or had none.
fn is_of_host(fault: &GuestFault) -> bool {
    matches!(fault, GuestFault::Gone | GuestFault::NoCapacity(_))
}

/// The module's number for the shape of an aggregate type's state.
pub(super) fn state_version(module: &Module, aggregate_type: &AggregateType) -> u32 {
    module.aggregate(aggregate_type).map_or(0, |aggregate| aggregate.descriptor().state_version)
}

/// A time as guests see it.
pub(super) fn milliseconds(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)
}

fn fold_event(event: &TailEvent) -> FoldEvent<'_> {
    FoldEvent {
        event_type: &event.event_type,
        schema_version: event.schema_version,
        version: event.version,
        occurred_at: milliseconds(event.occurred_at),
        payload: &event.payload,
    }
}

/// History that the module can't take: named event by event, for only its author can mend it.
pub(super) fn unfoldable(module: &Module, events: &[FoldEvent<'_>], refused: &RefusedEvent) -> RequestError {
    let descriptor = module.descriptor();
    let module = format!("{} {}", descriptor.name, descriptor.version);
    match events.get(refused.index) {
        Some(event) => RequestError::UnfoldableEvent {
            event_type: event.event_type.to_owned(),
            schema_version: event.schema_version,
            version: event.version,
            module,
            reason: refused.reason.to_string(),
        },
        None => {
            let (place, count) = (refused.index, events.len());
            ModuleFault::AnswerInvalid(format!("it refused event {place}, counted from 0, of {count}")).into()
        }
    }
}
