//! The log by itself: positions, versions and times as promised, and nothing in it that nobody asked for.

use std::collections::HashSet;

use super::findings::Findings;
use super::index::Index;

pub(super) fn check(index: &Index<'_>, findings: &mut Findings) {
    check_positions(index, findings);
    check_versions(index, findings);
    check_ids(index, findings);
    check_owners(index, findings);
}

/// Positions are 1, 2, 3 …, and `created_at` never falls along them.
fn check_positions(index: &Index<'_>, findings: &mut Findings) {
    for (row, expected) in index.rows.iter().zip(1..) {
        if row.position != expected {
            // All that follow are as far off: one gap is told once.
            findings.add("positions-dense", || {
                format!("where position {expected} should be is {} ({} of {})", row.position, row.token, row.stream)
            });
            break;
        }
    }
    for pair in index.rows.windows(2) {
        findings.hold("created-at-monotone", pair[0].created_at <= pair[1].created_at, || {
            let [(before, at), (after, then)] = [0, 1].map(|place| (pair[place].position, pair[place].created_at));
            format!("position {before} was made at {at} µs, and position {after} at {then} µs")
        });
    }
}

/// Versions of a stream are 0, 1, 2 …, and stand in the log in this order.
fn check_versions(index: &Index<'_>, findings: &mut Findings) {
    for (stream, log) in index.streams() {
        let off = log.rows.iter().zip(0..).find(|(row, expected)| row.version != *expected);
        if let Some((row, expected)) = off {
            findings.add("versions-contiguous", || {
                format!("where {stream} should have version {expected} is {} at position {}", row.version, row.position)
            });
        }
        for pair in log.rows.windows(2) {
            findings.hold("versions-in-commit-order", pair[0].position < pair[1].position, || {
                let [(version, position), (after, then)] =
                    [0, 1].map(|place| (pair[place].version, pair[place].position));
                format!("{stream} has version {version} at position {position}, and version {after} at {then}")
            });
        }
    }
}

fn check_ids(index: &Index<'_>, findings: &mut Findings) {
    let mut ids = HashSet::with_capacity(index.rows.len());
    for row in &index.rows {
        findings.hold("event-ids-unique", ids.insert(row.event_id), || {
            format!("{} is at position {} for the second time", row.event_id, row.position)
        });
    }
}

/// Every event was wanted, where it is, by the tenant that it belongs to.
fn check_owners(index: &Index<'_>, findings: &mut Findings) {
    for row in &index.rows {
        let place = || format!("position {}, version {} of {}", row.position, row.version, row.stream);
        let tenant = row.token.rsplit_once("/op-").map(|(tenant, _)| tenant);
        findings.hold("own-tenant-only", tenant == Some(row.stream.tenant.as_str()), || {
            format!("{} is in the log at {}: another tenant's", row.token, place())
        });
        let Some(operation) = index.operation_of(&row.token) else {
            findings.add("nothing-invented", || format!("nobody wanted {}, which is at {}", row.token, place()));
            continue;
        };
        findings.hold("own-stream-only", operation.stream == row.stream, || {
            format!("{} was wanted in {}, and is at {}", row.token, operation.stream, place())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::made::{finds, good};
    use super::*;

    fn of(history: &crate::history::History) -> Vec<&'static str> {
        finds(history, check)
    }

    #[test]
    fn a_good_log_passes() {
        assert_eq!(of(&good()), [""; 0]);
    }

    #[test]
    fn a_missing_event_is_found_by_position_and_by_version() {
        let mut history = good();
        history.log.remove(1);
        assert_eq!(of(&history), ["positions-dense", "versions-contiguous"]);
    }

    #[test]
    fn versions_out_of_commit_order_are_found() {
        let mut history = good();
        let [first, second] = [history.log[0].position, history.log[1].position];
        (history.log[0].position, history.log[1].position) = (second, first);
        assert_eq!(of(&history), ["created-at-monotone", "versions-in-commit-order"]);
    }

    #[test]
    fn time_that_runs_backwards_is_found() {
        let mut history = good();
        history.log[2].created_at = 0;
        assert_eq!(of(&history), ["created-at-monotone"]);
    }

    #[test]
    fn an_id_that_is_there_twice_is_found() {
        let mut history = good();
        history.log[2].event_id = history.log[0].event_id;
        assert_eq!(of(&history), ["event-ids-unique"]);
    }

    #[test]
    fn an_event_of_another_tenant_is_found() {
        let mut history = good();
        history.log[0].stream.tenant = "globex".to_owned();
        assert!(of(&history).contains(&"own-tenant-only"));
        assert!(of(&history).contains(&"own-stream-only"));
    }

    #[test]
    fn an_event_in_another_stream_is_found() {
        let mut history = good();
        history.log[0].stream.id = "other".to_owned();
        assert!(of(&history).contains(&"own-stream-only"));
    }

    #[test]
    fn an_event_that_nobody_wanted_is_found() {
        let mut history = good();
        history.log[0].token = "acme/op-777".to_owned();
        assert_eq!(of(&history), ["nothing-invented"]);
    }
}
