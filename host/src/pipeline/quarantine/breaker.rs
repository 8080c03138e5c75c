//! A module's breaker for one tenant: trips when most calls of the last while failed, on several streams.

use std::time::{Duration, Instant};

use super::gate::Gate;
use crate::pipeline::ModuleFault;

/// How long calls are counted together.
pub(super) const WINDOW: Duration = Duration::from_secs(60);

/// Streams whose calls must fail: what one stream does to a module is that stream's quarantine.
const SEVERAL: usize = 3;

/// What a tenant's calls of a module came to.
#[derive(Debug)]
pub(super) struct Breaker {
    /// Shut while the module's calls are refused.
    pub(super) gate: Option<Gate>,
    /// Faults since the module became active.
    pub(super) faults: u64,
    /// The last of them, and when.
    pub(super) last: Option<(ModuleFault, Instant)>,
    window_began: Instant,
    calls: u32,
    failed: u32,
    /// Hashes of streams whose calls failed, as many as matter.
    streams: Vec<u64>,
}

impl Breaker {
    pub(super) fn new(now: Instant) -> Self {
        Self { gate: None, faults: 0, last: None, window_began: now, calls: 0, failed: 0, streams: Vec::new() }
    }

    /// Counts a call that went well.
    pub(super) fn well(&mut self, now: Instant) {
        self.roll(now);
        self.calls = self.calls.saturating_add(1);
    }

    /// Counts a call that failed; true where that is reason to trip: `limit` faults on several streams, and no fewer
    /// than half of the calls.
    pub(super) fn failed(&mut self, stream: u64, fault: &ModuleFault, limit: u32, now: Instant) -> bool {
        self.roll(now);
        self.faults += 1;
        self.last = Some((fault.clone(), now));
        self.calls = self.calls.saturating_add(1);
        self.failed = self.failed.saturating_add(1);
        if self.streams.len() < SEVERAL && !self.streams.contains(&stream) {
            self.streams.push(stream);
        }
        self.gate.is_none()
            && limit > 0
            && self.failed >= limit
            && self.streams.len() >= SEVERAL
            && self.failed >= self.calls / 2
    }

    /// Opens the gate; counting begins anew.
    pub(super) fn close(&mut self, now: Instant) -> bool {
        self.begin(now);
        self.gate.take().is_some()
    }

    /// Whether it has served in the running window without being tripped.
    pub(super) fn is_well(&self, now: Instant) -> bool {
        self.gate.is_none() && self.calls > self.failed && now < self.window_began + WINDOW
    }

    /// Whether there is nothing in it worth keeping.
    pub(super) fn is_forgotten(&self, now: Instant) -> bool {
        self.gate.is_none() && self.faults == 0 && now >= self.window_began + WINDOW
    }

    fn roll(&mut self, now: Instant) {
        if now >= self.window_began + WINDOW {
            self.begin(now);
        }
    }

    fn begin(&mut self, now: Instant) {
        (self.window_began, self.calls, self.failed) = (now, 0, 0);
        self.streams.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trips(breaker: &mut Breaker, streams: impl Iterator<Item = u64>, now: Instant) -> bool {
        streams.map(|stream| breaker.failed(stream, &ModuleFault::Deadline, 10, now)).last().unwrap_or(false)
    }

    #[test]
    fn it_trips_when_several_streams_fail_often_enough() {
        let now = Instant::now();
        assert!(!trips(&mut Breaker::new(now), 0..9, now), "nine of ten");
        assert!(trips(&mut Breaker::new(now), 0..10, now));
        assert!(!trips(&mut Breaker::new(now), (0..100).map(|n| n % 2), now), "two streams");
        assert!(!Breaker::new(now).failed(1, &ModuleFault::Deadline, 0, now), "0 is never");
    }

    #[test]
    fn it_does_not_trip_while_most_calls_go_well() {
        let now = Instant::now();
        let mut breaker = Breaker::new(now);
        (0..40).for_each(|_| breaker.well(now));
        assert!(!trips(&mut breaker, 0..20, now), "20 of 60");
        assert!(trips(&mut breaker, 0..20, now), "40 of 80");
    }

    #[test]
    fn what_is_long_ago_counts_no_more() {
        let now = Instant::now();
        let mut breaker = Breaker::new(now);
        assert!(!trips(&mut breaker, 0..9, now));
        assert!(!trips(&mut breaker, 0..1, now + WINDOW));
        assert_eq!(breaker.faults, 10, "the sum is kept");
        assert!(!breaker.is_forgotten(now + WINDOW * 9), "as long as there is one");
        assert!(Breaker::new(now).is_forgotten(now + WINDOW));
    }
}
