//! What the checks have found so far.

use std::collections::BTreeMap;
use std::fmt;

/// Violations of one kind that are told in full: what is systematically wrong shows in the first, and a run has millions
/// of operations.
const TOLD: usize = 20;

/// A promise that the history shows broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Short, stable name of what is promised.
    pub(crate) promise: &'static str,
    /// What was seen instead: tokens, streams, versions, positions.
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.promise, self.what)
    }
}

/// Collects violations.
#[derive(Debug, Default)]
pub(super) struct Findings {
    told: Vec<Violation>,
    counts: BTreeMap<&'static str, usize>,
}

impl Findings {
    /// Adds a violation; `what` is only put in words where it will be told.
    pub(super) fn add(&mut self, promise: &'static str, what: impl FnOnce() -> String) {
        let count = self.counts.entry(promise).or_default();
        *count += 1;
        if *count <= TOLD {
            self.told.push(Violation { promise, what: what() });
        }
    }

    /// Adds a violation where what is promised doesn't hold.
    pub(super) fn hold(&mut self, promise: &'static str, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.add(promise, what);
        }
    }

    /// All that are told, and of every kind how many more there are.
    pub(super) fn into_violations(mut self) -> Vec<Violation> {
        for (promise, count) in self.counts {
            if let Some(more @ 1..) = count.checked_sub(TOLD) {
                self.told.push(Violation { promise, what: format!("and {more} more") });
            }
        }
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_kind_are_told_and_the_rest_counted() {
        let mut findings = Findings::default();
        for number in 0..=TOLD {
            findings.hold("often", false, || format!("number {number}"));
            findings.hold("never", true, || unreachable!("nothing is put in words without need"));
        }
        findings.add("once", || "only".to_owned());
        let violations = findings.into_violations();
        assert_eq!(violations.len(), TOLD + 2);
        assert_eq!(violations.last().map(ToString::to_string).as_deref(), Some("often: and 1 more"));
    }
}
