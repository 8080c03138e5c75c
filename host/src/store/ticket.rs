//! Who has the last word on an append: its caller, who may give up waiting, or the writer, who may send it.

use std::sync::atomic::{AtomicU8, Ordering::AcqRel, Ordering::Acquire};

use tokio::time::Instant;

const WAITING: u8 = 0;
const SENT: u8 = 1;
const WITHDRAWN: u8 = 2;
const ABANDONED: u8 = 3;

/// The claim of one request on being executed: exactly one of "surely not" and "perhaps" is true at any moment.
#[derive(Debug)]
pub struct Ticket {
    deadline: Instant,
    phase: AtomicU8,
}

impl Ticket {
    /// A request that may be sent until `deadline`.
    #[must_use]
    pub fn new(deadline: Instant) -> Self {
        Self { deadline, phase: AtomicU8::new(WAITING) }
    }

    /// When the caller stops waiting.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether nobody waits for the outcome any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.phase.load(Acquire) >= WITHDRAWN || self.deadline <= Instant::now()
    }

    /// The writer is about to send it: false where the caller is gone or the time is up.
    pub(super) fn send(&self) -> bool {
        self.deadline > Instant::now() && self.step(WAITING, SENT)
    }

    /// It has turned out that it was surely not executed, or that it was never sent: true where it may be sent, or sent
    /// again.
    pub fn take_back(&self) -> bool {
        self.step(SENT, WAITING) || self.phase.load(Acquire) == WAITING
    }

    /// The caller stops waiting: true where the request is now surely never executed, false where it may have been.
    pub fn give_up(&self) -> bool {
        loop {
            // The writer may send it, or take it back, between the two looks.
            match self.phase.load(Acquire) {
                WAITING if self.step(WAITING, WITHDRAWN) => return true,
                SENT if self.step(SENT, ABANDONED) => return false,
                WAITING | SENT => {}
                last => return last == WITHDRAWN,
            }
        }
    }

    fn step(&self, from: u8, to: u8) -> bool {
        self.phase.compare_exchange(from, to, AcqRel, Acquire).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ticket() -> Ticket {
        Ticket::new(Instant::now() + Duration::from_secs(60))
    }

    #[test]
    fn a_withdrawn_request_is_never_sent() {
        let ticket = ticket();
        assert!(ticket.give_up());
        assert!(!ticket.send());
        assert!(ticket.give_up(), "still surely not");
    }

    #[test]
    fn a_sent_request_can_only_be_abandoned_and_is_not_sent_again() {
        let ticket = ticket();
        assert!(ticket.send());
        assert!(!ticket.give_up());
        assert!(!ticket.take_back(), "its caller was told that the outcome is unknown");
        assert!(!ticket.give_up());
    }

    #[test]
    fn a_request_that_surely_failed_may_be_sent_again() {
        let ticket = ticket();
        assert!(ticket.send() && ticket.take_back() && ticket.send());
    }

    #[test]
    fn a_request_that_was_never_sent_may_be_sent() {
        let ticket = ticket();
        assert!(ticket.take_back() && ticket.send());
    }

    #[test]
    fn after_its_deadline_a_request_is_not_sent() {
        assert!(!Ticket::new(Instant::now()).send());
    }
}
