//! Streams that aren't in memory and are taken for new, without a look at the log: the append looks.
//!
//! A decision holds only on the head that it was made on, "no event yet" included. So a stream may be taken for new at no
//! risk: where it isn't, the append is answered stale, and the command is decided again on the folded stream, as after
//! any other overtaken decision. It pays where most streams that aren't in memory are new, which is so where aggregates
//! are opened all the time; there it saves a round trip. Elsewhere it would cost one. So it is done for an
//! aggregate type as long as it lately proved right.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::model::{AggregateType, ExpectedVersion};

/// The most trust that a type can earn, and what it needs to be believed: so many streams in a row that were new.
const MOST: u8 = 16;
const ENOUGH: u8 = 8;

/// How far streams of each aggregate type may be taken for new. One more that is adds to it, one that isn't halves it.
#[derive(Default)]
pub(super) struct Newcomers(RefCell<HashMap<AggregateType, u8>>);

impl Newcomers {
    /// Whether a stream that isn't in memory is taken for new.
    pub(super) fn expects(&self, aggregate_type: &AggregateType, expected: ExpectedVersion) -> bool {
        match expected {
            ExpectedVersion::NoStream => true,
            ExpectedVersion::Exists | ExpectedVersion::Exact(_) => false,
            ExpectedVersion::Any => self.0.borrow().get(aggregate_type).is_some_and(|trust| *trust >= ENOUGH),
        }
    }

    /// Notes what a stream that wasn't in memory turned out to be.
    pub(super) fn note(&self, aggregate_type: &AggregateType, is_new: bool) {
        let mut all = self.0.borrow_mut();
        let after = |trust: u8| if is_new { (trust + 1).min(MOST) } else { trust / 2 };
        match all.get_mut(aggregate_type) {
            Some(trust) => *trust = after(*trust),
            None => drop(all.insert(aggregate_type.clone(), after(0))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> AggregateType {
        "account".to_owned().try_into().expect("a name")
    }

    #[test]
    fn trust_is_earned_slowly_and_lost_fast() {
        let (newcomers, account) = (Newcomers::default(), account());
        let expects = || newcomers.expects(&account, ExpectedVersion::Any);
        let note = |new: usize| (0..new).for_each(|_| newcomers.note(&account, true));
        note(7);
        assert!(!expects());
        note(1);
        assert!(expects());
        newcomers.note(&account, false);
        assert!(!expects());
        note(100);
        newcomers.note(&account, false);
        assert!(expects(), "one among many that were new");
        newcomers.note(&account, false);
        assert!(!expects());
    }

    #[test]
    fn who_says_what_there_is_is_believed() {
        let (newcomers, account) = (Newcomers::default(), account());
        assert!(newcomers.expects(&account, ExpectedVersion::NoStream));
        (0..MOST).for_each(|_| newcomers.note(&account, true));
        for expected in [ExpectedVersion::Exists, ExpectedVersion::Exact(0)] {
            assert!(!newcomers.expects(&account, expected));
        }
    }
}
