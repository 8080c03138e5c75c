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

#[cfg(test)]
mod tests {
    use super::*;

    /// The same figures stand in the host's tests, for the module: `host/tests/it/guarantees/vault.rs`.
    #[test]
    fn a_known_history_has_a_known_state() {
        let mut vault = VaultState::default();
        vault.apply(&Moved { token: "t/op-1", amount: 7 });
        vault.apply(&Moved { token: "t/op-1", amount: -5 });
        assert_eq!((vault.balance, vault.entries, vault.digest), (2, 2, 14_856_086_265_825_054_515));
        vault.apply(&Moved { token: "t/op-2", amount: 9 });
        vault.apply(&Moved { token: "t/op-3", amount: -1 });
        assert_eq!((vault.balance, vault.entries, vault.digest), (10, 4, 7_961_818_667_712_535_074));
        assert_eq!(vault.last, "t/op-3");
    }

    #[test]
    fn it_is_the_way_that_counts() {
        assert!(overdrawn(10, &[-9, -2, 5]));
        assert!(!overdrawn(10, &[-9, 2, -3]));
    }
}
