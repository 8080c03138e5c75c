//! Two hosts that write the same streams, and a reader that follows the log meanwhile.

use everfold::model::{Append, AppendOutcome, RecordedEvent, StreamKey};
use everfold::store::{LogQuery, Store, Writer, WriterOptions};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{Log, SOON, all_of, answer, append, host, stream, submit};

const TASKS: usize = 16;
const STREAMS: usize = 6;
const APPENDS: usize = 40;

/// Appends so many times to the streams in turn, each time on the head that it read before; answers its events.
async fn compete(store: Store, writer: Writer, task: usize) -> usize {
    let mut events = 0;
    for n in 0..APPENDS {
        let stream = stream(&format!("{}", (task + n) % STREAMS));
        let new = append(&stream, 1 + (task + n) % 3);
        events += new.events.len();
        append_on_head(&store, &writer, &stream, new).await;
    }
    events
}

/// As a host does it: decided on the head, and decided again where another was faster.
async fn append_on_head(store: &Store, writer: &Writer, stream: &StreamKey, new: Append) {
    for _ in 0..TASKS * APPENDS {
        let head = store.stream_head(stream).await.unwrap();
        let attempt = Append { base: Some(head), ..new.clone() };
        match answer(submit(writer, vec![attempt])).await.remove(0).unwrap() {
            AppendOutcome::Appended { first_version, .. } => {
                assert_eq!(first_version, head.map_or(0, |head| head.version + 1));
                return;
            }
            AppendOutcome::Stale { actual } => assert!(actual > head.map_or(-1, |head| head.version)),
            other => panic!("{other:?}"),
        }
    }
    panic!("{stream} was never free");
}

/// Reads on and on after the last position seen, until `total` events were seen.
async fn follow(store: Store, total: usize) -> Vec<RecordedEvent> {
    let mut seen = Vec::new();
    let mut from = None;
    let deadline = Instant::now() + SOON;
    while seen.len() < total {
        assert!(Instant::now() < deadline, "{} of {total} events seen", seen.len());
        let page = store.read_log(&LogQuery { from, limit: 50, ..all_of("default") }).await.unwrap();
        from = Some(page.next);
        seen.extend(page.events);
        sleep(std::time::Duration::from_millis(1)).await;
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn versions_are_contiguous_positions_dense_and_no_reader_misses_an_event() {
    // Small batches, so that many are under way at once.
    let options = WriterOptions { batch_events: 3, ..WriterOptions::default() };
    let log = Log::with(options.clone()).await;
    let (other_store, other_writer) = host(&log.database.options(), options);
    let total = (0..TASKS * APPENDS).map(|n| 1 + (n / APPENDS + n % APPENDS) % 3).sum();
    let reader = tokio::spawn(follow(log.store.clone(), total));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (store, writer) = if task % 2 == 0 { (&log.store, &log.writer) } else { (&other_store, &other_writer) };
        tasks.spawn(compete(store.clone(), writer.clone(), task));
    }
    let written: usize = tasks.join_all().await.into_iter().sum();
    assert_eq!(written, total);

    let seen = reader.await.unwrap();
    assert!(seen.iter().map(|event| event.position).eq(1..=total as i64), "dense, in order, nothing missed");
    assert!(seen.is_sorted_by_key(|event| event.created_at));
    assert_eq!(seen, log.events_of("default").await, "what was read once never changes");
    for n in 0..STREAMS {
        let stream = stream(&format!("{n}"));
        let versions: Vec<_> = seen.iter().filter(|event| event.stream == stream).map(|event| event.version).collect();
        assert!(versions.iter().copied().eq(0..versions.len() as i64), "{stream}: {versions:?}");
        assert_eq!(log.head(&stream).await.unwrap().version, versions.len() as i64 - 1);
    }
}
