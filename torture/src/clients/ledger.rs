//! Where every client writes down what it did, and what there is still to find out.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::history::{Answer, Operation};

/// The operations of all clients.
#[derive(Default)]
pub(crate) struct Ledger {
    next: AtomicU64,
    acknowledged: AtomicU64,
    done: Mutex<Vec<Operation>>,
}

impl Ledger {
    /// A number that no other operation has.
    pub(crate) fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Writes an operation down whose client asks no more for now.
    pub(crate) fn put(&self, operation: Operation) {
        if matches!(operation.settled(), Some(attempt) if matches!(attempt.answer, Answer::Executed { .. })) {
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        self.done.lock().expect("no holder panics").push(operation);
    }

    /// How many commands and appends were answered as carried out so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Takes everything out.
    pub(crate) fn take(&self) -> Vec<Operation> {
        std::mem::take(&mut *self.done.lock().expect("no holder panics"))
    }
}
