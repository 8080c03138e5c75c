//! A gate that failures shut: one request at a time may pass it now and then, to find out whether they have ended.

use std::time::{Duration, Instant};

/// The longest time between two probes, unless the first pause is longer already.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// A shut gate. What opens it is a probe that goes well, or somebody's word.
#[derive(Debug)]
pub(super) struct Gate {
    shut_at: Instant,
    pause: Duration,
    probe_at: Instant,
    probing: bool,
}

impl Gate {
    /// Shuts a gate; the first probe is due after `pause`.
    pub(super) fn shut(now: Instant, pause: Duration) -> Self {
        Self { shut_at: now, pause, probe_at: now + pause, probing: false }
    }

    /// Since when it is shut.
    pub(super) fn shut_at(&self) -> Instant {
        self.shut_at
    }

    /// When the next probe is let through.
    pub(super) fn probe_at(&self) -> Instant {
        self.probe_at
    }

    /// Whether a request may pass as a probe.
    pub(super) fn admits(&self, now: Instant) -> bool {
        !self.probing && now >= self.probe_at
    }

    /// Whether it has waited long enough for a probe, or one is under way.
    pub(super) fn is_half_open(&self, now: Instant) -> bool {
        self.probing || now >= self.probe_at
    }

    /// Lets a probe through: no other passes until it is settled.
    pub(super) fn probe(&mut self) {
        self.probing = true;
    }

    /// The probe failed: the next one waits twice as long.
    pub(super) fn probe_failed(&mut self, now: Instant) {
        self.probing = false;
        self.pause = self.pause.max((self.pause * 2).min(LONGEST_PAUSE));
        self.probe_at = now + self.pause;
    }

    /// The probe never met the guest, or failed for a reason that is another gate's: the next request is one.
    pub(super) fn probe_told_nothing(&mut self) {
        self.probing = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(10);

    #[test]
    fn one_probe_at_a_time_passes_and_failures_space_them() {
        let start = Instant::now();
        let mut gate = Gate::shut(start, PAUSE);
        assert!(!gate.admits(start) && !gate.is_half_open(start));
        assert!(gate.admits(start + PAUSE));
        gate.probe();
        assert!(!gate.admits(start + PAUSE * 9) && gate.is_half_open(start), "one is under way");
        gate.probe_failed(start + PAUSE);
        assert!(!gate.admits(start + PAUSE * 2));
        assert!(gate.admits(start + PAUSE * 3), "twice the pause");
        gate.probe();
        gate.probe_told_nothing();
        assert!(gate.admits(start + PAUSE * 3), "at once again");
        assert_eq!(gate.shut_at(), start);
    }

    #[test]
    fn pauses_end_growing() {
        let now = Instant::now();
        let mut gate = Gate::shut(now, PAUSE);
        (0..60).for_each(|_| gate.probe_failed(now));
        assert_eq!(gate.probe_at(), now + LONGEST_PAUSE);
        let mut patient = Gate::shut(now, LONGEST_PAUSE * 3);
        patient.probe_failed(now);
        assert_eq!(patient.probe_at(), now + LONGEST_PAUSE * 3, "it never shrinks");
    }
}
