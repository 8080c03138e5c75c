//! Reading a stream's committed state.

use std::sync::Arc;

use super::command::{SPOILT, again, verdict};
use super::fold::Kept;
use super::quarantine::Verdict;
use super::shard::Shard;
use super::{RequestError, StateQuery, StateView};
use crate::model::{Base, Head, Json, StreamKey};
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
        let verdict = match verdict(&state) {
            // A past state says nothing of the events behind it, which may be those that the module fails on.
            Verdict::Well if query.at_version.is_some() => Verdict::Nothing,
            verdict => verdict,
        };
        pass.settle(&verdict);
        state
    }

    async fn past_state(
        &self,
        stream: &StreamKey,
        module: &Arc<Module>,
        version: i64,
        ticket: &Ticket,
    ) -> Result<StateView, RequestError> {
        let (kept, head, state) = self.fold_and_tell(stream, module, Some(version), ticket).await?;
        self.release(kept);
        Ok(view(module, head, state))
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
        let (kept, head, state) = self.fold_and_tell(stream, module, None, ticket).await?;
        self.keep(stream, kept);
        Ok(view(module, head, state))
    }

    /// The folded aggregate with its state, at the version that is asked for. A guest that fails is tried once more,
    /// alone in a fresh instance, and only that counts.
    async fn fold_and_tell(
        &self,
        stream: &StreamKey,
        module: &Arc<Module>,
        up_to: Option<i64>,
        ticket: &Ticket,
    ) -> Result<(Kept, Head, Json), RequestError> {
        let mut placement = Placement::Shared;
        for _ in 0..SPOILT {
            let kept = self.fold(stream, module, placement, up_to, ticket).await?;
            let head = match reached(stream, kept.head, up_to) {
                Ok(head) => head,
                Err(error) => {
                    self.release(kept);
                    return Err(error);
                }
            };
            let told = self.instances().state(&kept.resident);
            match told {
                Ok(state) => return Ok((kept, head, state)),
                Err(fault) => placement = again(fault, self.release(kept))?,
            }
        }
        Err(RequestError::Overloaded)
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

/// The head of what was folded, which is all of the stream up to the asked version: where it ends before, so does the
/// stream.
fn reached(stream: &StreamKey, head: Base, asked: Option<i64>) -> Result<Head, RequestError> {
    match (head, asked) {
        (None, _) => Err(RequestError::StreamNotFound { stream: stream.clone() }),
        (Some(Head { version: actual, .. }), Some(asked)) if actual < asked => {
            Err(RequestError::VersionNotFound { stream: stream.clone(), asked, actual })
        }
        (Some(head), _) => Ok(head),
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
