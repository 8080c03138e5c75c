//! Streams whose calls failed: how often in a row, and whether they are set aside.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::gate::Gate;
use super::words::{Change, Of, QuarantineOptions};
use crate::model::{Digest, StreamKey};
use crate::pipeline::ModuleFault;

/// Streams that are remembered at most; beyond, the one that failed longest ago is forgotten.
const MOST: usize = 10_000;

/// A streak that isn't continued for so long is forgotten.
const MEMORY: Duration = Duration::from_secs(600);

/// A stream that failed.
#[derive(Debug)]
pub(super) struct StreamRecord {
    /// The module that failed on it.
    pub(super) digest: Digest,
    /// Faults in a row.
    pub(super) faults: u32,
    /// The last of them.
    pub(super) last: ModuleFault,
    last_at: Instant,
    /// Shut while the stream is set aside.
    pub(super) gate: Option<Gate>,
}

/// The streams that failed last.
#[derive(Debug, Default)]
pub(super) struct Streams(pub(super) HashMap<StreamKey, StreamRecord>);

impl Streams {
    /// The record that this module's calls made.
    pub(super) fn of(&mut self, stream: &StreamKey, digest: Digest) -> Option<&mut StreamRecord> {
        if self.0.get(stream).is_some_and(|record| record.digest != digest) {
            // Another module folds the stream now.
            self.0.remove(stream);
        }
        self.0.get_mut(stream)
    }

    /// Forgets a stream; true where it was set aside.
    pub(super) fn forget(&mut self, stream: &StreamKey) -> bool {
        self.0.remove(stream).is_some_and(|record| record.gate.is_some())
    }

    /// Counts a fault; sets the stream aside when there were too many in a row.
    pub(super) fn failed(
        &mut self,
        stream: &StreamKey,
        digest: Digest,
        probe: bool,
        fault: &ModuleFault,
        options: &QuarantineOptions,
        now: Instant,
    ) -> Option<Change> {
        if self.of(stream, digest).is_none() {
            self.make_room(now);
        }
        let fresh = || StreamRecord { digest, faults: 0, last: fault.clone(), last_at: now, gate: None };
        let record = self.0.entry(stream.clone()).or_insert_with(fresh);
        if record.is_forgotten(now) {
            record.faults = 0;
        }
        record.faults = record.faults.saturating_add(1);
        (record.last, record.last_at) = (fault.clone(), now);
        match &mut record.gate {
            Some(gate) if probe => gate.probe_failed(now),
            None if options.stream_faults > 0 && record.faults >= options.stream_faults => {
                record.gate = Some(Gate::shut(now, options.pause));
                return Some(Change::Shut(Of::Stream));
            }
            _ => {}
        }
        None
    }

    fn make_room(&mut self, now: Instant) {
        if self.0.len() < MOST {
            return;
        }
        self.0.retain(|_, record| !record.is_forgotten(now));
        while self.0.len() >= MOST {
            let oldest = self.0.iter().min_by_key(|(_, record)| (record.gate.is_some(), record.last_at));
            let Some(stream) = oldest.map(|(stream, _)| stream.clone()) else { return };
            self.0.remove(&stream);
        }
    }
}

impl StreamRecord {
    fn is_forgotten(&self, now: Instant) -> bool {
        self.gate.is_none() && now >= self.last_at + MEMORY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AggregateType, StreamId, Tenant};

    const DIGEST: Digest = Digest([1; 32]);

    fn stream(id: usize) -> StreamKey {
        StreamKey {
            tenant: Tenant::default_tenant(),
            aggregate_type: AggregateType::new("account").expect("a name"),
            stream_id: StreamId::new(id.to_string()).expect("a name"),
        }
    }

    fn fail(streams: &mut Streams, id: usize, now: Instant) -> Option<Change> {
        let options = QuarantineOptions { stream_faults: 3, ..QuarantineOptions::default() };
        streams.failed(&stream(id), DIGEST, false, &ModuleFault::Deadline, &options, now)
    }

    #[test]
    fn faults_in_a_row_set_a_stream_aside() {
        let (mut streams, now) = (Streams::default(), Instant::now());
        assert_eq!([fail(&mut streams, 1, now), fail(&mut streams, 1, now)], [None, None]);
        assert!(!streams.forget(&stream(1)), "it wasn't set aside, and its faults are forgotten");
        assert_eq!([fail(&mut streams, 1, now), fail(&mut streams, 1, now)], [None, None]);
        assert_eq!(fail(&mut streams, 1, now), Some(Change::Shut(Of::Stream)));
        assert!(streams.forget(&stream(1)));
    }

    #[test]
    fn faults_long_ago_are_no_row() {
        let (mut streams, now) = (Streams::default(), Instant::now());
        (0..9).for_each(|n| assert_eq!(fail(&mut streams, 1, now + MEMORY * n), None));
    }

    #[test]
    fn faults_of_another_module_are_no_row() {
        let (mut streams, now) = (Streams::default(), Instant::now());
        for _ in 0..3 {
            let _ = fail(&mut streams, 1, now);
        }
        assert!(streams.of(&stream(1), DIGEST).is_some_and(|record| record.gate.is_some()));
        assert!(streams.of(&stream(1), Digest([2; 32])).is_none(), "a swap ends it");
        assert!(streams.of(&stream(1), DIGEST).is_none(), "for good");
    }

    #[test]
    fn memory_is_bounded_and_those_set_aside_go_last() {
        let (mut streams, now) = (Streams::default(), Instant::now());
        for _ in 0..3 {
            let _ = fail(&mut streams, 0, now);
        }
        for id in 1..MOST + 10 {
            let _ = fail(&mut streams, id, now + Duration::from_millis(id as u64));
        }
        assert_eq!(streams.0.len(), MOST);
        assert!(streams.0.contains_key(&stream(0)) && !streams.0.contains_key(&stream(1)));
    }
}
