//! Raw appends: events as they are, in the same order as the stream's commands.

use std::sync::Arc;

use uuid::Uuid;

use super::command::event_refs;
use super::shard::Shard;
use super::{RawAppend, RawEvent, RequestError, fingerprint};
use crate::model::{AggregateType, Append, AppendOutcome, Executed, Json, NewEvent, Outcome, ReceiptRequest};
use crate::runtime::Module;
use crate::store::Ticket;

impl Shard {
    /// Appends events that no module decided. Where a module has the aggregate type, it must be able to fold them.
    pub(super) async fn raw_append(&self, request: &RawAppend, ticket: &Arc<Ticket>) -> Result<Executed, RequestError> {
        let receipt = request
            .idempotency_key
            .clone()
            .map(|key| ReceiptRequest { key, fingerprint: fingerprint::of_append(request) });
        if let Err(error) = self.check_foldable(request) {
            return match &receipt {
                Some(receipt) => self.replay_instead(&request.stream, receipt, error, ticket).await,
                None => Err(error),
            };
        }
        let events = new_events(request);
        let appended: Vec<(Uuid, String)> =
            events.iter().map(|event| (event.event_id, event.event_type.clone())).collect();
        let append = Append {
            stream: request.stream.clone(),
            expected: request.expected,
            base: None,
            continues: false,
            receipt,
            module_digest: None,
            events,
            rejection: None,
        };
        // The aggregate doesn't have these events: the next request folds the stream again.
        if let Some(kept) = self.take(&request.stream) {
            self.release(kept);
        }
        let outcome = match self.submit(append, ticket).await? {
            AppendOutcome::Appended { first_version, first_position } => {
                Outcome::Appended(event_refs(appended, first_version, first_position))
            }
            AppendOutcome::Confirmed { version } => Outcome::Nothing { version },
            AppendOutcome::Replayed(stored) => return self.replay(&request.stream, stored, ticket).await,
            AppendOutcome::KeyReused => return Err(RequestError::KeyReused),
            AppendOutcome::Conflict { actual } => {
                let stream = request.stream.clone();
                return Err(RequestError::Conflict { stream, expected: request.expected, actual });
            }
            other => return Err(RequestError::Internal(format!("a raw append was answered {other:?}"))),
        };
        Ok(Executed { outcome, replayed: false })
    }

    /// An event that the active module doesn't know would make the stream unusable.
    fn check_foldable(&self, request: &RawAppend) -> Result<(), RequestError> {
        let Ok(module) = self.module_of(&request.stream.aggregate_type) else { return Ok(()) };
        let check = |event: &RawEvent| {
            check_readable(&module, &request.stream.aggregate_type, &event.event_type, event.schema_version)
        };
        let fault = request.events.iter().enumerate().find_map(|(place, event)| Some((place, check(event).err()?)));
        let Some((place, message)) = fault else { return Ok(()) };
        Err(RequestError::Invalid { message, pointer: format!("/events/{place}/event_type") })
    }
}

/// Whether the module can fold such an event; otherwise what is to be said.
pub(super) fn check_readable(
    module: &Module,
    aggregate_type: &AggregateType,
    event_type: &str,
    schema_version: u32,
) -> Result<(), String> {
    if module.aggregate(aggregate_type).is_none_or(|aggregate| aggregate.reads(event_type, schema_version)) {
        return Ok(());
    }
    let descriptor = module.descriptor();
    Err(format!(
        "the active module {} {} knows no event {event_type:?} in schema version {schema_version}",
        descriptor.name, descriptor.version
    ))
}

fn new_events(request: &RawAppend) -> Vec<NewEvent> {
    let origin = Json::of(&request.origin);
    request
        .events
        .iter()
        .map(|event| NewEvent {
            event_id: event.event_id.unwrap_or_else(Uuid::now_v7),
            event_type: event.event_type.clone(),
            schema_version: event.schema_version,
            payload: event.payload.clone(),
            metadata: event.metadata.clone().unwrap_or_else(|| origin.clone()),
            occurred_at: event.occurred_at.unwrap_or(request.origin.received_at),
        })
        .collect()
}
