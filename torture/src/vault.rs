//! What a vault is, natively: the fold and the decisions that the guest `vault` makes, said a second time.
//!
//! The harness trusts nothing of the host, so it folds the log by itself and compares.

use crate::history::VaultState;

/// An event of a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved<'a> {
    /// Who moved it.
    pub(crate) token: &'a str,
    /// How much: negative is out.
    pub(crate) amount: i64,
}

impl VaultState {
    /// Folds one event in.
    pub(crate) fn apply(&mut self, event: &Moved<'_>) {
        self.balance += event.amount;
        self.entries += 1;
        self.digest = digest(self.digest, event);
        event.token.clone_into(&mut self.last);
    }
}

/// FNV-1a over what was there, the token and the amount: small, the same everywhere, and different for another order.
fn digest(before: u64, event: &Moved<'_>) -> u64 {
    let bytes = before.to_le_bytes().into_iter().chain(event.token.bytes()).chain(event.amount.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Whether moving these amounts, one after the other, would take the balance below zero on the way.
pub(crate) fn overdrawn(balance: i64, amounts: &[i64]) -> bool {
    let mut left = balance;
    amounts.iter().any(|amount| {
        left += amount;
        left < 0
    })
}
