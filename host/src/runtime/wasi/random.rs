//! The random numbers of a virtual WASI: the same sequence in each call of the host, on every host.

use sha2::{Digest as _, Sha256};

/// What the numbers are made from. They are part of what modules fold, so this never changes, nor how they are made.
const NUMBERS: &[u8] = b"everfold virtual wasi: random numbers";
/// What the seed of hash tables is made from.
const SEED: &[u8] = b"everfold virtual wasi: seed";

/// Where one call stands in the sequence: block n of it is SHA-256 of [`NUMBERS`] and n in eight bytes, lowest first. A
/// generator of a library would be faster, and free to change.
#[derive(Debug, Default)]
pub(in crate::runtime) struct Random {
    next_block: u64,
}

impl Random {
    /// The next bytes; each request begins with a block of its own.
    pub(super) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 32);
        while bytes.len() < length {
            let block = Sha256::new().chain_update(NUMBERS).chain_update(self.next_block.to_le_bytes());
            bytes.extend_from_slice(&block.finalize());
            self.next_block += 1;
        }
        bytes.truncate(length);
        bytes
    }

    /// The next number.
    pub(super) fn next(&mut self) -> u64 {
        number(&self.bytes(8))
    }

    /// The seed of hash tables: the same at any time.
    pub(super) fn seed() -> (u64, u64) {
        let seed = Sha256::digest(SEED);
        (number(&seed[..8]), number(&seed[8..16]))
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_never_changes() {
        let mut random = Random::default();
        assert_eq!(random.next(), 8_604_534_138_922_680_719);
        assert_eq!(random.bytes(33).len(), 33);
        assert_eq!(random.next_block, 3);
        assert_ne!(random.next(), Random::default().next(), "within a call it goes on");
        assert_eq!(Random::seed(), (12_154_389_311_309_897_541, 2_907_907_183_056_688_793));
    }
}
