//! Live readers: each got exactly what the log has for it, in order.

use super::findings::Findings;
use super::index::Index;
use crate::history::{LogRow, Tail, TailedEvent};

pub(super) fn check(index: &Index<'_>, findings: &mut Findings) {
    for tail in &index.history.tails {
        check_tail(index, tail, findings);
    }
    check_every_tenant(index, findings);
    check_raw_tail(index, findings);
}

fn check_tail(index: &Index<'_>, tail: &Tail, findings: &mut Findings) {
    let of = &tail.tenant;
    let mut rows = index.rows.iter().filter(|row| row.stream.tenant == *of).peekable();
    let mut last = 0;
    for event in &tail.events {
        let position = event.position;
        findings.hold("tails-in-order-once", position > last, || {
            format!("the tail of {of} got position {position} after position {last}")
        });
        findings.hold("tails-own-tenant-only", event.stream.tenant == *of, || {
            format!("the tail of {of} got position {position}, of {}", event.stream)
        });
        let is_true = index.row_at(position).is_some_and(|row| is_of(event, row));
        findings.hold("tails-tell-the-log", is_true, || {
            format!("the tail of {of} got {event:?}; the log has {:?}", index.row_at(position))
        });
        while let Some(missed) = rows.next_if(|row| row.position < position) {
            add_missed(of, missed, findings);
        }
        rows.next_if(|row| row.position == position);
        last = last.max(position);
    }
    rows.for_each(|missed| add_missed(of, missed, findings));
}

fn add_missed(of: &str, missed: &LogRow, findings: &mut Findings) {
    findings.add("tails-miss-nothing", || {
        format!("the tail of {of} never got position {} ({})", missed.position, missed.token)
    });
}

fn is_of(event: &TailedEvent, row: &LogRow) -> bool {
    (event.event_id, &event.stream, event.version) == (row.event_id, &row.stream, row.version)
}

/// A tenant without a tail would have nothing checked.
fn check_every_tenant(index: &Index<'_>, findings: &mut Findings) {
    let tails = &index.history.tails;
    let untold = index.rows.iter().find(|row| tails.iter().all(|tail| tail.tenant != row.stream.tenant));
    if let Some(row) = untold {
        findings.add("tails-miss-nothing", || format!("{} had no tail", row.stream.tenant));
    }
}

/// The reader with `position > last` got the whole log.
fn check_raw_tail(index: &Index<'_>, findings: &mut Findings) {
    let raw = &index.history.raw_tail;
    let same = |(got, row): (&(i64, uuid::Uuid), &&LogRow)| *got == (row.position, row.event_id);
    let alike = raw.iter().zip(&index.rows).take_while(|pair| same(*pair)).count();
    findings.hold("raw-tail-is-the-log", alike == raw.len() && alike == index.rows.len(), || {
        let (got, has) = (raw.get(alike), index.rows.get(alike).map(|row| (row.position, row.event_id)));
        format!("after {alike} alike the reader with `position > last` got {got:?}, and the log has {has:?}")
    });
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
    fn good_tails_pass() {
        assert_eq!(of(&good()), [""; 0]);
    }

    #[test]
    fn a_gap_is_found_in_the_middle_and_at_the_end() {
        for at_end in [false, true] {
            let mut history = good();
            let last = history.tails[0].events.len() - 1;
            history.tails[0].events.remove(if at_end { last } else { 1 });
            assert_eq!(of(&history), ["tails-miss-nothing"]);
        }
        let mut history = good();
        history.tails.pop();
        assert_eq!(of(&history), ["tails-miss-nothing"]);
    }

    #[test]
    fn an_event_got_twice_or_out_of_order_is_found() {
        let mut history = good();
        let again = history.tails[0].events[1].clone();
        history.tails[0].events.insert(2, again);
        assert_eq!(of(&history), ["tails-in-order-once"]);
        let mut history = good();
        history.tails[0].events.swap(1, 2);
        assert_eq!(of(&history), ["tails-in-order-once", "tails-miss-nothing"]);
    }

    #[test]
    fn another_tenants_event_is_found() {
        let mut history = good();
        let foreign = history.tails[1].events.last().expect("some").clone();
        history.tails[0].events.push(foreign);
        assert_eq!(of(&history), ["tails-own-tenant-only"]);
    }

    #[test]
    fn an_event_that_the_log_does_not_have_so_is_found() {
        let changes: [fn(&mut TailedEvent); 3] =
            [|event| event.version += 1, |event| event.event_id = uuid::Uuid::nil(), |event| event.stream.id.push('0')];
        for change in changes {
            let mut history = good();
            change(&mut history.tails[0].events[0]);
            assert_eq!(of(&history), ["tails-tell-the-log"]);
        }
        let mut history = good();
        let mut invented = history.tails[0].events[0].clone();
        invented.position = 1_000;
        history.tails[0].events.push(invented);
        assert_eq!(of(&history), ["tails-tell-the-log"]);
    }

    #[test]
    fn a_raw_reader_that_missed_something_is_found() {
        let changes: [fn(&mut History); 4] = [
            |history| drop(history.raw_tail.drain(1..2)),
            |history| history.raw_tail.truncate(3),
            |history| history.raw_tail.swap(0, 1),
            |history| history.raw_tail.push((1_000, uuid::Uuid::nil())),
        ];
        for change in changes {
            let mut history = good();
            change(&mut history);
            assert_eq!(of(&history), ["raw-tail-is-the-log"]);
        }
    }
}
