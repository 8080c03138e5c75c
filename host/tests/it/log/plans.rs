//! Plans that are made on empty tables and stay: none may read a table from end to end once it is full.

use everfold::model::{AggregateType, Append, Tenant};
use everfold::store::{LogQuery, StreamsQuery, WriterOptions};
use sqlx::Row;
use sqlx::{Executor, PgConnection};

use super::{Log, all_of, append, number, receipt, stream, stream_of, until};

/// How often the table was read from end to end, and how often by an index.
async fn scans(connection: &mut PgConnection, table: &str) -> (i64, i64) {
    let sql = format!("SELECT seq_scan, idx_scan FROM pg_stat_user_tables WHERE relid = 'everfold.{table}'::regclass");
    let row = connection.fetch_one(sqlx::AssertSqlSafe(sql)).await.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn appends_never_scan_the_log() {
    const APPENDS: usize = 20_000;
    let log = Log::with(WriterOptions { queue: APPENDS, ..WriterOptions::default() }).await;
    let mut owner = log.owner().await;
    // One session from the empty log on.
    let keyed = |n| Append { receipt: receipt(&format!("{n}"), 1), ..append(&stream(&format!("{}", n % 5_000)), 1) };
    log.append(keyed(0)).await;
    let session = "SELECT pid::bigint FROM pg_stat_activity
                   WHERE application_name = 'everfold-writer' AND datname = current_database()";
    let first_session = number(&mut owner, session).await;
    log.singles((1..APPENDS).map(keyed).collect()).await;
    assert_eq!(number(&mut owner, session).await, first_session);

    // The counts of a session are complete once it has ended.
    let Log { database, store, writer } = log;
    drop(writer);
    let ended = "SELECT sum(n_tup_ins) = 40000 FROM pg_stat_user_tables WHERE relname IN ('event_store', 'receipts')";
    until(&mut owner, "the report of the session's counts", ended).await;
    for table in ["event_store", "receipts"] {
        let (by_table, by_index) = scans(&mut owner, table).await;
        assert!(by_index >= APPENDS as i64, "{table}: every append looks for its key and its stream: {by_index}");
        assert_eq!(by_table, 0, "{table}");
    }
    store.close().await;
    drop(database);
}

#[tokio::test]
async fn a_rare_prefix_is_found_without_a_walk() {
    const STREAMS: usize = 5_000;
    let log = Log::with(WriterOptions { queue: 2 * STREAMS, ..WriterOptions::default() }).await;
    let named = |n: usize| match n % 2 {
        0 => stream_of("default", "account", &format!("a{n:05}")),
        _ => stream_of("default", "order", &format!("b{n:05}")),
    };
    let mut appends: Vec<_> = (0..STREAMS).map(|n| append(&named(n), 2)).collect();
    appends
        .extend([("account", "rare-1"), ("order", "rare-2")].map(|(of, id)| append(&stream_of("default", of, id), 3)));
    log.singles(appends).await;

    let mut owner = log.owner().await;
    let read = "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'event_store_stream_version'";
    let Log { database, store, writer } = log;
    drop(writer);
    until(
        &mut owner,
        "the report of the writer",
        "SELECT n_tup_ins = 10006 FROM pg_stat_user_tables WHERE relname = 'event_store'",
    )
    .await;
    let before = number(&mut owner, read).await;
    let all = || StreamsQuery {
        tenant: Tenant::default_tenant(),
        aggregate_type: None,
        prefix: None,
        after: None,
        limit: 100,
    };
    let rare = StreamsQuery { prefix: Some("rare-".into()), ..all() };
    let only = StreamsQuery { aggregate_type: Some(AggregateType::new("order").unwrap()), ..rare.clone() };
    let none = StreamsQuery { prefix: Some("a0000x".into()), ..all() };
    for (query, count) in [(rare, 2), (only, 1), (none, 0)] {
        assert_eq!(store.list_streams(&query).await.unwrap().len(), count, "{query:?}");
    }
    // The counts of a session are complete once it has ended.
    store.close().await;
    until(&mut owner, "the report of the reader", "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'everfold-pages' AND datname = current_database()").await;
    let entries = number(&mut owner, read).await - before;
    assert!((1..200).contains(&entries), "{entries} index entries were read for three answers");
    let (by_table, _) = scans(&mut owner, "event_store").await;
    assert_eq!(by_table, 0);
    drop(database);
}

#[tokio::test]
async fn a_page_of_the_log_costs_what_it_holds() {
    const EVENTS: usize = 5_000;
    let log = Log::with(WriterOptions { queue: EVENTS, ..WriterOptions::default() }).await;
    let mut owner = log.owner().await;
    owner.execute("ALTER TABLE everfold.event_store SET (autovacuum_enabled = false)").await.unwrap();
    let read = async |from| log.store.read_log(&LogQuery { from, limit: 50, ..all_of("default") }).await.unwrap();
    // Long enough for a plan that stays.
    for n in 0..20 {
        log.append(append(&stream(&format!("{n}")), 1)).await;
        read(None).await;
    }
    log.singles((20..EVENTS).map(|n| append(&stream(&format!("{n}")), 1)).collect()).await;
    let (mut after, mut seen) = (None, 0);
    while seen < EVENTS {
        let page = read(after).await;
        (after, seen) = (Some(page.next), seen + page.events.len());
    }

    // The counts of a session are complete once it has ended.
    let Log { database, store, writer } = log;
    drop(writer);
    store.close().await;
    let ended = "SELECT sum(n_tup_ins) = 5000 FROM pg_stat_user_tables WHERE relname = 'event_store'";
    until(&mut owner, "the report of the sessions' counts", ended).await;
    let entries = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = 'event_store'";
    let entries = number(&mut owner, entries).await;
    assert!(entries < 10 * EVENTS as i64, "{entries} entries of indexes for {EVENTS} events");
    drop(database);
}

#[tokio::test]
async fn the_head_is_locked_and_never_written() {
    let log = Log::new().await;
    for n in 0..20 {
        log.append(append(&stream(&format!("{n}")), 1)).await;
    }
    let mut owner = log.owner().await;
    // A row that is only locked stays where it is, and bears its last locker.
    let locked = "SELECT count(*) FROM everfold.log_head WHERE ctid = '(0,1)' AND xmax <> '0'";
    assert_eq!(number(&mut owner, locked).await, 1);
}
