//! Answers from receipts: the outcome of an earlier request with the same key.

use super::RequestError;
use super::metrics::REPLAYS;
use super::shard::Shard;
use crate::model::{Executed, IdempotencyKey, Outcome, ReceiptRequest, StoredOutcome, StreamKey};
use crate::store::Ticket;

impl Shard {
    /// A stored outcome as it was answered the first time.
    pub(super) async fn replay(
        &self,
        stream: &StreamKey,
        stored: StoredOutcome,
        ticket: &Ticket,
    ) -> Result<Executed, RequestError> {
        let outcome = match stored {
            StoredOutcome::Events { first_version, first_position, count } => {
                let (store, stream) = (self.store.clone(), stream.clone());
                let read = async move { store.event_refs(&stream, first_version, count).await };
                let events = self.read(ticket, read).await.map_err(|error| {
                    // It was carried out, though that can't be told in full: no answer may say otherwise.
                    tracing::warn!(%error, "the events of a receipt can't be read");
                    RequestError::OutcomeUnknown
                })?;
                if events.first().map(|event| event.position) != Some(first_position) {
                    tracing::error!(first_version, first_position, "a receipt names events that the log doesn't have");
                    return Err(RequestError::OutcomeUnknown);
                }
                Outcome::Appended(events)
            }
            StoredOutcome::Nothing { version } => Outcome::Nothing { version },
            StoredOutcome::Rejected { rejection, version } => Outcome::Rejected { rejection, version },
        };
        REPLAYS.increment(1);
        Ok(Executed { outcome, replayed: true })
    }

    /// What a failed request answers if its key has a receipt: it was carried out before the failure's cause arose,
    /// such as a module that no longer has the command.
    pub(super) async fn replay_instead(
        &self,
        stream: &StreamKey,
        receipt: &ReceiptRequest,
        error: RequestError,
        ticket: &Ticket,
    ) -> Result<Executed, RequestError> {
        match self.stored(stream, &receipt.key, ticket).await {
            Ok(Some((fingerprint, _))) if fingerprint != receipt.fingerprint => Err(RequestError::KeyReused),
            Ok(Some((_, stored))) => self.replay(stream, stored, ticket).await,
            Ok(None) => Err(error),
            // Without a look at the receipt nobody knows that it wasn't carried out earlier.
            Err(_) => Err(RequestError::OutcomeUnknown),
        }
    }

    async fn stored(
        &self,
        stream: &StreamKey,
        key: &IdempotencyKey,
        ticket: &Ticket,
    ) -> Result<Option<(Vec<u8>, StoredOutcome)>, RequestError> {
        let (store, tenant, key) = (self.store.clone(), stream.tenant.clone(), key.clone());
        let receipt = self.read(ticket, async move { store.receipt(&tenant, &key).await }).await?;
        Ok(receipt.map(|receipt| (receipt.fingerprint, receipt.outcome)))
    }
}
