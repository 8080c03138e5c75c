//! Appends that go out together, and what is known of each.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{AppendError, Ticket, metrics};
use crate::model::metric::Held;
use crate::model::{Append, AppendOutcome};

/// An append with its caller's claim on it.
#[derive(Debug, Clone)]
pub struct Submission {
    /// What to append.
    pub append: Append,
    /// Whether it may still be sent.
    pub ticket: Arc<Ticket>,
}

/// An outcome or error for each append of a chain, in order.
pub type AppendReply = Vec<Result<AppendOutcome, AppendError>>;

/// Appends that go out together, and what is known of each: those of one stream, each going on from the one before, or
/// those of an import, in the order that their positions are to have.
pub(super) struct Chain {
    pub(super) submissions: Vec<Submission>,
    pub(super) results: Vec<Option<Result<AppendOutcome, AppendError>>>,
    reply: oneshot::Sender<AppendReply>,
    _waiting: Held,
}

impl Chain {
    pub(super) fn new(submissions: Vec<Submission>, reply: oneshot::Sender<AppendReply>) -> Self {
        let results = submissions.iter().map(|_| None).collect();
        Self { submissions, results, reply, _waiting: Held::new(&metrics::WAITING) }
    }

    /// The appends that still have to go out.
    pub(super) fn open(&self) -> impl Iterator<Item = &Append> {
        self.submissions.iter().zip(&self.results).filter(|(_, result)| result.is_none()).map(|(s, _)| &s.append)
    }

    pub(super) fn events(&self) -> usize {
        self.open().map(|append| append.events.len().max(1)).sum()
    }

    pub(super) fn bytes(&self) -> usize {
        let size = |append: &Append| -> usize {
            append.events.iter().map(|event| event.payload.as_str().len() + event.metadata.as_str().len()).sum()
        };
        self.open().map(size).sum()
    }

    /// Claims every open append from its caller; one that can't be claimed takes those after it down.
    pub(super) fn claim(&mut self) {
        let mut broken = false;
        for (submission, result) in self.submissions.iter().zip(&mut self.results) {
            if result.is_some() {
                continue;
            }
            if broken && submission.append.continues {
                *result = Some(Ok(AppendOutcome::PredecessorFailed));
            } else if !submission.ticket.send() {
                *result = Some(Err(AppendError::Deadline));
                broken = true;
            }
        }
    }

    /// Gives every open append the next of the outcomes.
    pub(super) fn fill(&mut self, outcomes: &mut impl Iterator<Item = Result<AppendOutcome, AppendError>>) {
        for result in self.results.iter_mut().filter(|result| result.is_none()) {
            *result = outcomes.next();
        }
    }

    pub(super) fn fail(&mut self, error: &AppendError) {
        self.fill(&mut std::iter::repeat(Err(error.clone())));
    }

    pub(super) fn answer(self) {
        // A caller that is gone misses nothing: what was committed is in the log.
        let _ = self.reply.send(self.results.into_iter().map(|r| r.unwrap_or(Err(AppendError::Unknown))).collect());
    }
}
