//! Reading a stream's committed state.

use std::sync::Arc;

use super::command::{SPOILT, again, verdict};
use super::fold::Kept;
use super::shard::Shard;
use super::{RequestError, StateQuery, StateView};
use crate::model::{Json, StreamKey};
use crate::runtime::{Module, Placement};
use crate::store::Ticket;

impl Shard {
    /// Answers the state, present or past.
    pub(super) async fn state(&self, query: &StateQuery, ticket: &Ticket) -> Result<StateView, RequestError> {
        let module = self.module_of(&query.stream.aggregate_type)?;
        let pass = self.quarantine.admit(&query.stream, &module)?;
        let state = match query.at_version {
            Some(version) => self.past_state(&query.stream, &module, version, ticket).await,
            None => self.present_state(query, &module, ticket).await,
        };
        pass.settle(&verdict(&state));
        state
    }

    async fn past_state(
        &self,
        stream: &StreamKey,
        module: &Arc<Module>,
        version: i64,
        ticket: &Ticket,
    ) -> Result<StateView, RequestError> {
        let (kept, state) = self.fold_and_tell(stream, module, Some(version), ticket).await?;
        self.release(kept);
        Ok(view(module, version, state))
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
            if let Ok(state) = state {
                let view = view(module, kept.version(), state);
                self.keep(stream, kept);
                return Ok(view);
            }
            // The instance is gone, or the guest failed: what follows decides which.
            self.release(kept);
        }
        let (kept, state) = self.fold_and_tell(stream, module, None, ticket).await?;
        let view = view(module, kept.version(), state);
        self.keep(stream, kept);
        Ok(view)
    }

    /// The folded aggregate with its state. A guest that fails is tried once more, alone in a fresh instance, and only
    /// that counts.
    async fn fold_and_tell(
        &self,
        stream: &StreamKey,
        module: &Arc<Module>,
        up_to: Option<i64>,
        ticket: &Ticket,
    ) -> Result<(Kept, Json), RequestError> {
        let mut placement = Placement::Shared;
        for _ in 0..SPOILT {
            let kept = self.fold(stream, module, placement, up_to, ticket).await?;
            if kept.version() < up_to.unwrap_or(0) {
                self.release(kept);
                return Err(self.missing(stream, up_to, ticket).await);
            }
            let told = self.instances().state(&kept.resident);
            match told {
                Ok(state) => return Ok((kept, state)),
                Err(fault) => placement = again(fault, self.release(kept))?,
            }
        }
        Err(RequestError::Overloaded)
    }

    /// What a stream lacks that isn't there, or isn't there yet.
    async fn missing(&self, stream: &StreamKey, up_to: Option<i64>, ticket: &Ticket) -> RequestError {
        let stream = stream.clone();
        let Some(asked) = up_to else { return RequestError::StreamNotFound { stream } };
        match self.head(&stream, ticket).await {
            Ok(head) => {
                let actual = head.map_or(crate::model::NO_STREAM, |head| head.version);
                RequestError::VersionNotFound { stream, asked, actual }
            }
            Err(error) => error,
        }
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

    async fn head(&self, stream: &StreamKey, ticket: &Ticket) -> Result<crate::model::Base, RequestError> {
        let (store, stream) = (self.store.clone(), stream.clone());
        self.read(ticket, async move { store.stream_head(&stream).await }).await
    }
}

fn view(module: &Module, version: i64, state: Json) -> StateView {
    let descriptor = module.descriptor();
    StateView {
        version,
        state,
        module: descriptor.name.clone(),
        module_version: descriptor.version.clone(),
        digest: module.digest(),
    }
}
