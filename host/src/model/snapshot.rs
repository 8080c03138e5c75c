//! Snapshots: a stream's state kept so that it needn't be folded again, and when to take one.

use uuid::Uuid;

use super::NO_STREAM;

/// A stream's state at a committed version, as one module computed it. Disposable: without it the events are folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The version up to which events are folded in.
    pub version: i64,
    /// Id of the event at that version: a snapshot of another history isn't used.
    pub event_id: Uuid,
    /// The module's number for the state's shape.
    pub state_version: u32,
    /// The state, JSON.
    pub state: Vec<u8>,
}

/// Decides when a snapshot is due.
pub trait SnapshotStrategy: Send + Sync {
    /// Whether to keep the state of a stream of `aggregate_type` at `version`, when the last one kept is `last`
    /// (none yet: `None`). `interval` is what the module asks for: none leaves it to the strategy.
    fn is_due(&self, aggregate_type: &str, interval: Option<u32>, version: i64, last: Option<i64>) -> bool;
}

/// A snapshot after every so many events: the module's number for the aggregate type, or the default; 0 is never.
#[derive(Debug, Clone, Copy)]
pub struct EveryN {
    /// Events between snapshots where the module names no number.
    pub default_interval: u32,
}

impl Default for EveryN {
    fn default() -> Self {
        Self { default_interval: 100 }
    }
}

impl SnapshotStrategy for EveryN {
    fn is_due(&self, _aggregate_type: &str, interval: Option<u32>, version: i64, last: Option<i64>) -> bool {
        let interval = i64::from(interval.unwrap_or(self.default_interval));
        interval > 0 && version - last.unwrap_or(NO_STREAM) >= interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_due_after_every_n_events() {
        let strategy = EveryN { default_interval: 100 };
        let due = |interval, version, last| strategy.is_due("account", interval, version, last);
        assert!(!due(None, 98, None));
        assert!(due(None, 99, None), "99 is the hundredth event");
        assert!(!due(None, 198, Some(99)));
        assert!(due(None, 199, Some(99)));
        assert!(due(Some(10), 9, None));
        assert!(!due(Some(0), 1_000_000, None), "0 is never");
    }
}
