//! Events in their newest form, for readers that ask for it: the active modules know it, and are asked on their shards.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fold::{milliseconds, unfoldable};
use super::route::Pipeline;
use super::shard::Shard;
use super::{RequestError, request::Work};
use crate::model::{AggregateType, Digest, RecordedEvent, Tenant};
use crate::runtime::{ApplyError, FoldEvent, GuestFault, Module, UpcastEvent};
use crate::store::Ticket;
use tokio::time::Instant;

/// Events between two looks at what else the shard has to do.
const BATCH: usize = 100;

/// An event as a reader is shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewestEvent {
    /// The event. Its place, id and times are those of the stored one.
    pub event: RecordedEvent,
    /// What became of it.
    pub form: Form,
}

/// What became of a stored event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// It is shown as it is stored, which is its newest form.
    Newest,
    /// It was brought into its newest form.
    Upcast {
        /// The stored event's type.
        event_type: String,
        /// The stored event's schema version.
        schema_version: u32,
        /// The place of this one among those that the stored one stands for, from 0.
        index: usize,
        /// How many it stands for.
        count: usize,
    },
    /// It is shown as it is stored: no active module reads it.
    Unknown,
}

/// Events in their newest form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewestEvents {
    /// For each stored event in turn those that it stands for: mostly one, several, or none.
    pub events: Vec<NewestEvent>,
    /// The modules that say so, by aggregate type: the same modules give the same answer.
    pub modules: Vec<(AggregateType, Option<Digest>)>,
}

/// Events of one tenant and aggregate type on their way to a shard.
#[derive(Debug)]
pub(super) struct UpcastRequest {
    pub(super) tenant: Tenant,
    pub(super) aggregate_type: AggregateType,
    pub(super) events: Vec<RecordedEvent>,
}

/// The same events, each as those that it now stands for.
pub(super) struct Upcast {
    pub(super) events: Vec<Vec<NewestEvent>>,
    pub(super) digest: Option<Digest>,
}

impl Pipeline {
    /// Brings a page of events into the newest form that the active modules know. Events that no active module reads
    /// stay as they are, and say so.
    ///
    /// # Errors
    /// [`RequestError`]; a module that refuses an event it says it reads, or fails, gives no answer for the page.
    pub async fn upcast(&self, events: Vec<RecordedEvent>, deadline: Instant) -> Result<NewestEvents, RequestError> {
        let mut shown: Vec<Vec<NewestEvent>> = events.iter().map(|_| Vec::new()).collect();
        let mut groups: BTreeMap<(Tenant, AggregateType), (Vec<usize>, Vec<RecordedEvent>)> = BTreeMap::new();
        for (place, event) in events.into_iter().enumerate() {
            let key = (event.stream.tenant.clone(), event.stream.aggregate_type.clone());
            let (places, events) = groups.entry(key).or_default();
            places.push(place);
            events.push(event);
        }
        let mut modules = Vec::with_capacity(groups.len());
        for ((tenant, aggregate_type), (places, events)) in groups {
            let request = UpcastRequest { tenant, aggregate_type: aggregate_type.clone(), events };
            let upcast = self.ask(deadline, |reply| Work::Upcast(Box::new(request), reply)).await?;
            for (place, events) in places.into_iter().zip(upcast.events) {
                shown[place] = events;
            }
            modules.push((aggregate_type, upcast.digest));
        }
        Ok(NewestEvents { events: shown.into_iter().flatten().collect(), modules })
    }
}

impl Shard {
    /// Brings events of one aggregate type into their newest form, with a look at the shard's other work in between.
    pub(super) async fn upcast(&self, request: UpcastRequest, ticket: &Ticket) -> Result<Upcast, RequestError> {
        let UpcastRequest { tenant, aggregate_type, events } = request;
        let Ok(module) = self.module_of(&aggregate_type) else {
            let unknown = |event| vec![NewestEvent { event, form: Form::Unknown }];
            return Ok(Upcast { events: events.into_iter().map(unknown).collect(), digest: None });
        };
        let mut shown = Vec::with_capacity(events.len());
        let mut rest = events.into_iter().peekable();
        while rest.peek().is_some() {
            if ticket.is_over() {
                return Err(RequestError::Deadline);
            }
            let batch: Vec<RecordedEvent> = rest.by_ref().take(BATCH).collect();
            shown.extend(self.upcast_batch(&module, &tenant, &aggregate_type, batch)?);
            tokio::task::yield_now().await;
        }
        Ok(Upcast { events: shown, digest: Some(module.digest()) })
    }

    /// Asks the module for those that it declares in another form, and for no others.
    fn upcast_batch(
        &self,
        module: &Arc<Module>,
        tenant: &Tenant,
        aggregate_type: &AggregateType,
        events: Vec<RecordedEvent>,
    ) -> Result<Vec<Vec<NewestEvent>>, RequestError> {
        let Some(aggregate) = module.aggregate(aggregate_type) else { return Ok(Vec::new()) };
        let is_newest = |event: &RecordedEvent| aggregate.declares(&event.event_type, event.schema_version);
        let is_old =
            |event: &RecordedEvent| !is_newest(event) && aggregate.reads(&event.event_type, event.schema_version);
        let old: Vec<&RecordedEvent> = events.iter().filter(|event| is_old(event)).collect();
        let mut upcast = self.upcast_old(module, tenant, aggregate_type, &old)?.into_iter();
        let show = |event: RecordedEvent| match (is_newest(&event), is_old(&event)) {
            (true, _) => vec![NewestEvent { event, form: Form::Newest }],
            (_, true) => newest_forms(&event, upcast.next().unwrap_or_default()),
            (false, false) => vec![NewestEvent { event, form: Form::Unknown }],
        };
        Ok(events.into_iter().map(show).collect())
    }

    /// One guest call. A guest that fails is tried once more, in the fresh instance that the failure leads to.
    fn upcast_old(
        &self,
        module: &Arc<Module>,
        tenant: &Tenant,
        aggregate_type: &AggregateType,
        old: &[&RecordedEvent],
    ) -> Result<Vec<Vec<UpcastEvent>>, RequestError> {
        if old.is_empty() {
            return Ok(Vec::new());
        }
        let events: Vec<FoldEvent<'_>> = old.iter().map(|event| fold_event(event)).collect();
        let call = || self.instances().upcast(module, tenant, aggregate_type, &events);
        let upcast = match call() {
            Err(ApplyError::Fault(GuestFault::Trapped(_) | GuestFault::Deadline | GuestFault::Memory(_))) => call(),
            answered => answered,
        };
        upcast.map_err(|error| match error {
            ApplyError::Fault(fault) => fault.into(),
            ApplyError::Refused(refused) => unfoldable(module, &events, &refused),
        })
    }
}

fn newest_forms(stored: &RecordedEvent, newest: Vec<UpcastEvent>) -> Vec<NewestEvent> {
    let count = newest.len();
    let shown = |(index, upcast): (usize, UpcastEvent)| NewestEvent {
        form: Form::Upcast {
            event_type: stored.event_type.clone(),
            schema_version: stored.schema_version,
            index,
            count,
        },
        event: RecordedEvent {
            event_type: upcast.event_type,
            schema_version: upcast.schema_version,
            payload: upcast.payload,
            ..stored.clone()
        },
    };
    newest.into_iter().enumerate().map(shown).collect()
}

fn fold_event(event: &RecordedEvent) -> FoldEvent<'_> {
    FoldEvent {
        event_type: &event.event_type,
        schema_version: event.schema_version,
        version: event.version,
        occurred_at: milliseconds(event.occurred_at),
        payload: event.payload.as_str(),
    }
}
