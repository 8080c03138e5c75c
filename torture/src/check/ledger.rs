//! What the host should be: vaults in memory, one request after the other. Good histories are made with it.

use std::collections::HashMap;

use uuid::Uuid;

use crate::history::{Answer, Call, Expected, LogRow, Operation, Place, Stream, VaultState};
use crate::vault::{Moved, overdrawn};

/// The log, with what follows from it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Every event, in order.
    pub(super) log: Vec<LogRow>,
    /// The states of each stream, one for each version.
    pub(super) states: HashMap<Stream, Vec<VaultState>>,
    receipts: HashMap<String, Answer>,
}

impl Ledger {
    /// Carries one request out at this time.
    pub(super) fn carry_out(&mut self, operation: &Operation, now: u64) -> Answer {
        if let Some(receipt) = operation.key.as_ref().and_then(|key| self.receipts.get(key)) {
            return receipt.clone();
        }
        let answer = self.decide(operation, now);
        if let (Some(key), true) = (&operation.key, answer.is_outcome()) {
            let mut receipt = answer.clone();
            if let Answer::Executed { replayed, .. } | Answer::Rejected { replayed, .. } = &mut receipt {
                *replayed = true;
            }
            self.receipts.insert(key.clone(), receipt);
        }
        answer
    }

    /// The stream's state, as it was `behind` versions ago, or at its first event.
    pub(super) fn read(&self, stream: &Stream, behind: usize) -> Answer {
        let states = self.states.get(stream).map_or(&[][..], Vec::as_slice);
        let Some(version) = states.len().checked_sub(1) else { return Answer::Absent };
        let version = version.saturating_sub(behind);
        Answer::State { version: version as i64, state: states[version].clone() }
    }

    fn decide(&mut self, operation: &Operation, now: u64) -> Answer {
        let states = self.states.get(&operation.stream).map_or(&[][..], Vec::as_slice);
        let head = states.len() as i64 - 1;
        let balance = states.last().map_or(0, |state| state.balance);
        let is_as_expected = match operation.expected {
            Expected::Any => true,
            Expected::NoStream => head == -1,
            Expected::Exists => head >= 0,
            Expected::Exact(version) => head == version,
        };
        match &operation.call {
            Call::Read { .. } => self.read(&operation.stream, 0),
            Call::Trap => Answer::NotExecuted { code: "module-trapped".to_owned() },
            _ if !is_as_expected => Answer::Conflict { actual: head },
            Call::Touch => Answer::Executed { version: head, events: Vec::new(), replayed: false },
            Call::Move { amounts } if overdrawn(balance, amounts) => {
                Answer::Rejected { code: "short".to_owned(), balance, replayed: false }
            }
            Call::Move { amounts } | Call::Append { amounts } => self.append(operation, amounts, now),
        }
    }

    fn append(&mut self, operation: &Operation, amounts: &[i64], now: u64) -> Answer {
        let states = self.states.entry(operation.stream.clone()).or_default();
        let mut events = Vec::new();
        for (nth, amount) in (0..).zip(amounts) {
            let mut state = states.last().cloned().unwrap_or_default();
            state.apply(&Moved { token: &operation.token(), amount: *amount });
            let (version, position) = (states.len() as i64, self.log.len() as i64 + 1);
            let event_id = Uuid::from_u128(position.unsigned_abs().into());
            states.push(state);
            self.log.push(LogRow {
                position,
                stream: operation.stream.clone(),
                version,
                event_id,
                created_at: now as i64,
                token: operation.token(),
                amount: *amount,
                nth,
            });
            events.push(Place { event_id, version, position });
        }
        Answer::Executed { version: states.len() as i64 - 1, events, replayed: false }
    }
}
