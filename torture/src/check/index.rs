//! The history put in order once, so that no check has to search: by position, by stream and version, by operation.

use std::collections::HashMap;

use crate::history::{Answer, History, LogRow, Operation, Stream, VaultState};
use crate::vault::Moved;

/// Ways into a history.
pub(super) struct Index<'a> {
    pub(super) history: &'a History,
    /// The log in the order of positions.
    pub(super) rows: Vec<&'a LogRow>,
    operations: HashMap<u64, &'a Operation>,
    late: HashMap<u64, Vec<&'a Answer>>,
    events: HashMap<u64, Vec<&'a LogRow>>,
    streams: HashMap<&'a Stream, StreamLog<'a>>,
}

/// A stream as the log has it.
#[derive(Default)]
pub(super) struct StreamLog<'a> {
    /// Its rows in the order of versions.
    pub(super) rows: Vec<&'a LogRow>,
    /// Balance and digest after each row. The rest of a state can be told from the row.
    folds: Vec<(i64, u64)>,
}

impl<'a> Index<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let mut rows: Vec<&LogRow> = history.log.iter().collect();
        rows.sort_by_key(|row| row.position);
        let operations = history.operations.iter().map(|operation| (operation.id, operation)).collect();
        let mut late: HashMap<u64, Vec<&Answer>> = HashMap::new();
        for (id, answer) in &history.late_retries {
            late.entry(*id).or_default().push(answer);
        }
        let mut index = Self { history, rows, operations, late, events: HashMap::new(), streams: HashMap::new() };
        for row in &index.rows {
            index.streams.entry(&row.stream).or_default().rows.push(row);
            if let Some(operation) = index.operation_of(&row.token) {
                index.events.entry(operation.id).or_default().push(row);
            }
        }
        index.streams.values_mut().for_each(StreamLog::fold);
        index
    }

    /// The operation that a token names.
    pub(super) fn operation_of(&self, token: &str) -> Option<&'a Operation> {
        let (tenant, id) = token.rsplit_once("/op-")?;
        let operation = self.operations.get(&id.parse().ok()?)?;
        (operation.stream.tenant == tenant).then_some(*operation)
    }

    /// The events in the log that carry the operation's token, in the order of positions.
    pub(super) fn events_of(&self, operation: &Operation) -> &[&'a LogRow] {
        self.events.get(&operation.id).map_or(&[], Vec::as_slice)
    }

    /// What was heard of the operation, from its attempts and from the retries after everything was over.
    pub(super) fn answers_to(&self, operation: &'a Operation) -> impl Iterator<Item = &'a Answer> + Clone {
        let attempts = operation.attempts.iter().map(|attempt| &attempt.answer);
        attempts.chain(self.late_answers_to(operation).to_vec())
    }

    /// What was heard of the operation after everything was over.
    pub(super) fn late_answers_to(&self, operation: &Operation) -> &[&'a Answer] {
        self.late.get(&operation.id).map_or(&[], Vec::as_slice)
    }

    /// The stream, where the log has any of it.
    pub(super) fn stream(&self, stream: &Stream) -> Option<&StreamLog<'a>> {
        self.streams.get(stream)
    }

    /// Every stream that the log has any of, in no order.
    pub(super) fn streams(&self) -> impl Iterator<Item = (&'a Stream, &StreamLog<'a>)> {
        self.streams.iter().map(|(stream, log)| (*stream, log))
    }

    /// The event of a stream at a version.
    pub(super) fn row(&self, stream: &Stream, version: i64) -> Option<&'a LogRow> {
        self.stream(stream)?.row(version)
    }

    /// The event at a position.
    pub(super) fn row_at(&self, position: i64) -> Option<&'a LogRow> {
        let place = self.rows.binary_search_by_key(&position, |row| row.position).ok()?;
        Some(self.rows[place])
    }

    /// The version of the stream's last event; -1 for none.
    pub(super) fn head(&self, stream: &Stream) -> i64 {
        self.stream(stream).and_then(|log| log.rows.last()).map_or(-1, |row| row.version)
    }

    /// The balance of the stream at a version, 0 before its first event. `None` where the log doesn't have the version.
    pub(super) fn balance(&self, stream: &Stream, version: i64) -> Option<i64> {
        if version < 0 {
            return Some(0);
        }
        self.stream(stream)?.fold_at(version).map(|(balance, _)| balance)
    }

    /// Whether this is the state of the stream at the version, folded from the log.
    pub(super) fn is_state(&self, stream: &Stream, version: i64, state: &VaultState) -> bool {
        self.stream(stream).and_then(|log| log.state(version)).is_some_and(|folded| folded == *state)
    }

    /// The state of the stream at the version in words.
    pub(super) fn tell_state(&self, stream: &Stream, version: i64) -> String {
        let state = self.stream(stream).and_then(|log| log.state(version));
        state.map_or_else(|| "nothing".to_owned(), |state| format!("{state:?}"))
    }
}

impl<'a> StreamLog<'a> {
    fn fold(&mut self) {
        self.rows.sort_by_key(|row| (row.version, row.position));
        let mut state = VaultState::default();
        self.folds.reserve_exact(self.rows.len());
        for row in &self.rows {
            state.apply(&Moved { token: &row.token, amount: row.amount });
            self.folds.push((state.balance, state.digest));
        }
    }

    /// Where a version's row stands. Versions that aren't contiguous are a violation already, and not found.
    fn place(&self, version: i64) -> Option<usize> {
        let place = usize::try_from(version).ok()?;
        (self.rows.get(place)?.version == version).then_some(place)
    }

    fn row(&self, version: i64) -> Option<&'a LogRow> {
        self.place(version).map(|place| self.rows[place])
    }

    fn fold_at(&self, version: i64) -> Option<(i64, u64)> {
        self.place(version).map(|place| self.folds[place])
    }

    fn state(&self, version: i64) -> Option<VaultState> {
        let (balance, digest) = self.fold_at(version)?;
        let last = self.row(version)?.token.clone();
        Some(VaultState { balance, entries: version.unsigned_abs() + 1, digest, last })
    }
}
