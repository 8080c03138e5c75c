//! Snapshots: each one ever stored is the fold of committed events, and a stream's only go forward.

use std::collections::HashMap;

use super::findings::Findings;
use super::index::Index;
use crate::history::{SeenSnapshot, Stream};

pub(super) fn check(index: &Index<'_>, findings: &mut Findings) {
    let mut newest: HashMap<(&Stream, &str), &SeenSnapshot> = HashMap::new();
    for snapshot in &index.history.snapshots {
        let SeenSnapshot { stream, module, version, event_id, state, .. } = snapshot;
        let row = index.row(stream, *version);
        findings.hold("snapshots-of-committed-events", row.is_some_and(|row| row.event_id == *event_id), || {
            let has = row.map(|row| row.event_id);
            format!("a snapshot of {stream} names {event_id} at version {version}, where the log has {has:?}")
        });
        findings.hold("snapshots-are-folds", index.is_state(stream, *version, state), || {
            let folded = index.tell_state(stream, *version);
            format!("a snapshot of {stream} at version {version} by {module} says {state:?}; the log has {folded}")
        });
        let before = newest.insert((stream, module), snapshot).map_or(-1, |before| before.version);
        findings.hold("snapshots-go-forward", before <= *version, || {
            let seen = snapshot.seen;
            format!("{stream} had a snapshot by {module} at version {before}, and at {seen} ns one at {version}")
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::made::{finds, good};
    use super::*;
    use crate::history::History;

    fn of(history: &History) -> Vec<&'static str> {
        finds(history, check)
    }

    #[test]
    fn good_snapshots_pass() {
        assert!(good().snapshots.len() > 1, "there must be some to go forward");
        assert_eq!(of(&good()), [""; 0]);
    }

    #[test]
    fn a_snapshot_of_what_is_not_committed_is_found() {
        let mut history = good();
        history.snapshots[0].event_id = uuid::Uuid::nil();
        assert_eq!(of(&history), ["snapshots-of-committed-events"]);
        let mut history = good();
        history.snapshots[1].version += 1_000;
        assert_eq!(of(&history), ["snapshots-are-folds", "snapshots-of-committed-events"]);
    }

    #[test]
    fn a_snapshot_that_is_no_fold_is_found() {
        let mut history = good();
        history.snapshots[0].state.digest ^= 1;
        assert_eq!(of(&history), ["snapshots-are-folds"]);
    }

    #[test]
    fn a_snapshot_that_goes_back_is_found_and_another_modules_is_fine() {
        let mut history = good();
        history.snapshots.swap(0, 1);
        assert_eq!(of(&history), ["snapshots-go-forward"]);
        history.snapshots[1].module = "another".to_owned();
        assert_eq!(of(&history), [""; 0]);
    }
}
