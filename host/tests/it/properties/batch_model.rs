//! The rules of `append_batch_v1`, as the head of its migration states them, written down a second time: appends one
//! after the other against plain maps.

use std::collections::{BTreeMap, HashMap};

use everfold::model::{
    Append, AppendOutcome, Digest, ExpectedVersion, Head, IdempotencyKey, NewEvent, ReceiptRequest, StoredOutcome,
    StreamKey, Tenant,
};

/// An event that was appended.
pub(super) struct Placed {
    /// Its place in the whole log.
    pub(super) position: i64,
    /// The event.
    pub(super) event: NewEvent,
    /// Who decided it.
    pub(super) module: Option<Digest>,
}

/// What the log holds of one case.
pub(super) struct BatchModel {
    /// The log's head.
    pub(super) head: i64,
    /// The events of each stream, by version.
    pub(super) streams: BTreeMap<StreamKey, Vec<Placed>>,
    /// What was stored under a key, and of which request.
    pub(super) receipts: HashMap<(Tenant, IdempotencyKey), ([u8; 32], StoredOutcome)>,
    /// Whether the last append to each stream in the present batch went well.
    in_batch: HashMap<StreamKey, bool>,
}

impl BatchModel {
    /// An empty part of a log that has this head.
    pub(super) fn new(head: i64) -> Self {
        Self { head, streams: BTreeMap::new(), receipts: HashMap::new(), in_batch: HashMap::new() }
    }

    /// A batch begins: appends of an earlier one are no predecessors.
    pub(super) fn begin(&mut self) {
        self.in_batch.clear();
    }

    /// The stream's version; -1 for none.
    pub(super) fn version(&self, stream: &StreamKey) -> i64 {
        self.streams.get(stream).map_or(0, Vec::len) as i64 - 1
    }

    /// The stream's last event.
    pub(super) fn base(&self, stream: &StreamKey) -> Option<Head> {
        let last = self.streams.get(stream)?.last()?;
        Some(Head { version: self.version(stream), event_id: last.event.event_id })
    }

    /// Carries an append of the present batch out.
    pub(super) fn append(&mut self, append: &Append) -> AppendOutcome {
        let outcome = self.outcome(append);
        let went_well = matches!(outcome, AppendOutcome::Appended { .. } | AppendOutcome::Confirmed { .. });
        self.in_batch.insert(append.stream.clone(), went_well);
        if went_well {
            self.write(append);
        }
        outcome
    }

    /// Receipt first, then the chain, then what the caller demands, then the head that was decided on.
    fn outcome(&self, append: &Append) -> AppendOutcome {
        let actual = self.version(&append.stream);
        if let Some(ReceiptRequest { key, fingerprint }) = &append.receipt
            && let Some((stored_of, stored)) = self.receipts.get(&(append.stream.tenant.clone(), key.clone()))
        {
            let is_same = stored_of == fingerprint;
            return if is_same { AppendOutcome::Replayed(stored.clone()) } else { AppendOutcome::KeyReused };
        }
        if append.continues && self.in_batch.get(&append.stream) != Some(&true) {
            return AppendOutcome::PredecessorFailed;
        }
        let is_there = match append.expected {
            ExpectedVersion::Any => true,
            ExpectedVersion::Exists => actual != -1,
            ExpectedVersion::NoStream => actual == -1,
            ExpectedVersion::Exact(version) => actual == version,
        };
        if !is_there {
            return AppendOutcome::Conflict { actual };
        }
        if append.base.is_some_and(|base| base != self.base(&append.stream)) {
            return AppendOutcome::Stale { actual };
        }
        match append.events.len() {
            0 => AppendOutcome::Confirmed { version: actual },
            _ => AppendOutcome::Appended { first_version: actual + 1, first_position: self.head + 1 },
        }
    }

    fn write(&mut self, append: &Append) {
        let (first_version, first_position) = (self.version(&append.stream) + 1, self.head + 1);
        let module = append.module_digest;
        let places = append.events.iter().cloned().zip(first_position..);
        let placed = places.map(|(event, position)| Placed { position, event, module });
        self.streams.entry(append.stream.clone()).or_default().extend(placed);
        let count = append.events.len() as i64;
        self.head += count;
        let Some(ReceiptRequest { key, fingerprint }) = &append.receipt else { return };
        let stored = match (&append.rejection, count) {
            (Some(rejection), _) => {
                StoredOutcome::Rejected { rejection: rejection.clone(), version: first_version - 1 }
            }
            (None, 0) => StoredOutcome::Nothing { version: first_version - 1 },
            (None, _) => StoredOutcome::Events { first_version, first_position, count },
        };
        self.receipts.insert((append.stream.tenant.clone(), key.clone()), (*fingerprint, stored));
    }
}
