//! Reading a stream's committed state.

use std::sync::Arc;

use super::fold::Kept;
use super::shard::Shard;
use super::{RequestError, StateQuery, StateView};
use crate::model::{Base, Head, Json, StreamKey};
use crate::runtime::{Module, Placement};
use crate::store::Ticket;

impl Shard {
    /// Answers the state, present or past.
    pub(super) async fn state(&self, query: &StateQuery, ticket: &Ticket) -> Result<StateView, RequestError> {
        let module = self.module_of(&query.stream.aggregate_type)?;
        match query.at_version {
            Some(version) => self.past_state(&query.stream, &module, version, ticket).await,
            None => self.present_state(query, &module, ticket).await,
        }
    }

    async fn past_state(
        &self,
        stream: &StreamKey,
        module: &Arc<Module>,
        version: i64,
        ticket: &Ticket,
    ) -> Result<StateView, RequestError> {
        let kept = self.fold(stream, module, Placement::Shared, Some(version), ticket).await?;
        let (head, state) = (kept.head, self.instances().state(&kept.resident));
        self.release(kept);
        match head {
            None => Err(RequestError::StreamNotFound { stream: stream.clone() }),
            // All events up to the version are folded in: where they end before it, so does the stream.
            Some(Head { version: actual, .. }) if actual < version => {
                Err(RequestError::VersionNotFound { stream: stream.clone(), asked: version, actual })
            }
            Some(head) => Ok(view(module, head, state?)),
        }
    }

    async fn present_state(
        &self,
        query: &StateQuery,
        module: &Arc<Module>,
        ticket: &Ticket,
    ) -> Result<StateView, RequestError> {
        let stream = &query.stream;
        if let Some(kept) = self.current(stream, module, query.stale, ticket).await? {
            let state = self.instances().state(&kept.resident);
            if let (Some(head), Ok(state)) = (kept.head, state) {
                let view = view(module, head, state);
                self.keep(stream, kept);
                return Ok(view);
            }
            // The instance is gone, or the guest failed: what follows decides which.
            self.release(kept);
        }
        let kept = self.fold(stream, module, Placement::Shared, None, ticket).await?;
        let Some(head) = kept.head else {
            self.release(kept);
            return Err(RequestError::StreamNotFound { stream: stream.clone() });
        };
        let state = self.instances().state(&kept.resident);
        match &state {
            Ok(_) => self.keep(stream, kept),
            Err(_) => self.release(kept),
        }
        Ok(view(module, head, state?))
    }

    /// The kept aggregate, if it is this module's and, unless `stale` is fine, still at the stream's head.
    async fn current(
        &self,
        stream: &StreamKey,
        module: &Arc<Module>,
        stale: bool,
        ticket: &Ticket,
    ) -> Result<Option<Kept>, RequestError> {
        let Some(kept) = self.take(stream) else { return Ok(None) };
        let usable = kept.module.digest() == module.digest() && kept.head.is_some();
        if usable && stale {
            return Ok(Some(kept));
        }
        if usable {
            match self.head(stream, ticket).await {
                Ok(head) if head == kept.head => return Ok(Some(kept)),
                Ok(_) => {}
                Err(error) => {
                    self.keep(stream, kept);
                    return Err(error);
                }
            }
        }
        self.release(kept);
        Ok(None)
    }

    async fn head(&self, stream: &StreamKey, ticket: &Ticket) -> Result<Base, RequestError> {
        let (store, stream) = (self.store.clone(), stream.clone());
        self.read(ticket, async move { store.stream_head(&stream).await }).await
    }
}

fn view(module: &Module, head: Head, state: Json) -> StateView {
    let descriptor = module.descriptor();
    StateView {
        version: head.version,
        event_id: head.event_id,
        state,
        module: descriptor.name.clone(),
        module_version: descriptor.version.clone(),
        digest: module.digest(),
    }
}
