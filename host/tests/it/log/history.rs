//! History can't be changed: not by the tables' owner, and not by the role that hosts work under.

use everfold::model::Append;
use everfold::store::AppendError;
use sqlx::{Executor, PgConnection, Row};

use super::{Log, append, appended, receipt, stream};

/// The code with which a statement is refused.
async fn refusal(connection: &mut PgConnection, sql: &'static str) -> String {
    let error = connection.execute(sql).await.expect_err(sql);
    error.as_database_error().unwrap_or_else(|| panic!("{error}")).code().unwrap().into_owned()
}

/// A call that appends nothing.
const EMPTY_BATCH: &str = "SELECT FROM everfold.append_batch_v1(
    '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')";

/// The other way in takes a whole that nothing disputes.
const EMPTY_WHOLE: &str = "SELECT FROM everfold.append_all_v1(
    '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', false)";

#[tokio::test]
async fn the_owner_can_not_change_history() {
    let log = Log::new().await;
    log.append(append(&stream("s"), 2)).await;
    let mut owner = log.owner().await;
    for sql in [
        "UPDATE everfold.event_store SET payload = '1'",
        // Not even where it changes nothing.
        "UPDATE everfold.event_store SET payload = '1' WHERE false",
        "DELETE FROM everfold.event_store WHERE position = 1",
        "TRUNCATE everfold.event_store",
        "TRUNCATE everfold.event_store CASCADE",
        "DELETE FROM everfold.log_head",
        "TRUNCATE everfold.log_head",
        "UPDATE everfold.receipts SET event_count = 9",
        "TRUNCATE everfold.receipts",
        "UPDATE everfold.event_kinds SET first_position = 9",
        "DELETE FROM everfold.event_kinds",
        "TRUNCATE everfold.event_kinds",
    ] {
        assert_eq!(refusal(&mut owner, sql).await, "23001", "{sql}");
    }
    assert_eq!(refusal(&mut owner, "INSERT INTO everfold.log_head (epoch) VALUES (1)").await, "23505");
    assert_eq!(log.events_of("default").await.len(), 2);
}

#[tokio::test]
async fn the_owner_can_not_write_around_the_function() {
    let log = Log::new().await;
    log.append(Append { receipt: receipt("key", 1), ..append(&stream("s"), 2) }).await;
    let mut owner = log.owner().await;
    let around = [
        "INSERT INTO everfold.event_store SELECT * FROM everfold.event_store ON CONFLICT (position) DO UPDATE SET version = 9",
        "INSERT INTO everfold.event_store SELECT * FROM everfold.event_store WHERE false",
        "INSERT INTO everfold.receipts SELECT * FROM everfold.receipts",
        "INSERT INTO everfold.event_kinds SELECT 'a', 'b', 1, 1",
        "MERGE INTO everfold.event_kinds k USING (VALUES (1)) one ON false WHEN NOT MATCHED THEN INSERT VALUES ('a', 'b', 1, 1)",
        "COPY everfold.event_store FROM '/dev/null'",
        "COPY everfold.receipts FROM '/dev/null'",
    ];
    for sql in around {
        assert_eq!(refusal(&mut owner, sql).await, "55000", "{sql}");
    }
    // Nor with one of the settings that the function is known by, in a transaction that has appended before.
    owner.execute("SET search_path = everfold, pg_temp; BEGIN").await.unwrap();
    owner.execute(EMPTY_BATCH).await.unwrap();
    owner.execute(EMPTY_WHOLE).await.unwrap();
    assert_eq!(refusal(&mut owner, around[0]).await, "55000");
    owner.execute("ROLLBACK").await.unwrap();
    assert_eq!(log.append(append(&stream("s"), 1)).await, appended(2, 3));
}

#[tokio::test]
async fn the_runtime_role_writes_the_log_by_the_function_alone() {
    let log = Log::new().await;
    log.append(append(&stream("s"), 1)).await;
    let mut runtime = log.owner().await;
    runtime.execute("SET ROLE everfold_runtime_postgres").await.unwrap();
    for sql in [
        "INSERT INTO everfold.event_store SELECT * FROM everfold.event_store",
        "COPY everfold.event_store FROM STDIN",
        "UPDATE everfold.event_store SET version = 9",
        "DELETE FROM everfold.event_store",
        "TRUNCATE everfold.event_store",
        "SELECT FROM everfold.log_head FOR UPDATE",
        "UPDATE everfold.log_head SET floor = 9",
        "INSERT INTO everfold.receipts SELECT * FROM everfold.receipts",
        "UPDATE everfold.receipts SET event_count = 9",
        "TRUNCATE everfold.receipts",
        "INSERT INTO everfold.event_kinds SELECT * FROM everfold.event_kinds",
        "UPDATE everfold.event_kinds SET first_position = 9",
        "DELETE FROM everfold.event_kinds",
        "TRUNCATE everfold.event_kinds",
        "DELETE FROM everfold.log_head",
        "INSERT INTO everfold.log_head (epoch) VALUES (1)",
        "UPDATE everfold.modules SET name = 'other'",
        "DELETE FROM everfold.migrations",
        "CREATE TABLE everfold.other ()",
    ] {
        assert_eq!(refusal(&mut runtime, sql).await, "42501", "{sql}");
    }
    runtime.execute(EMPTY_BATCH).await.unwrap();
    runtime.execute(EMPTY_WHOLE).await.unwrap();
    runtime.execute("CREATE TEMPORARY TABLE event_store (position bigint, created_at timestamptz)").await.unwrap();
    runtime.execute("CREATE TEMPORARY TABLE log_head (floor bigint)").await.unwrap();
    for way_in in [EMPTY_BATCH, EMPTY_WHOLE] {
        runtime.execute(way_in).await.expect("tables of the caller's aren't taken for the log's");
    }
}

#[tokio::test]
async fn hosts_work_under_the_runtime_role() {
    let log = Log::new().await;
    let mut owner = log.owner().await;
    owner.execute("REVOKE EXECUTE ON FUNCTION everfold.append_all_v1 FROM everfold_runtime_postgres").await.unwrap();
    let outcome = log.singles(vec![append(&stream("s"), 1)]).await.remove(0);
    let Err(AppendError::Unavailable(error)) = outcome else { panic!("the owner's right was used: {outcome:?}") };
    assert!(error.contains("permission denied"), "{error}");
    owner.execute("GRANT EXECUTE ON FUNCTION everfold.append_all_v1 TO everfold_runtime_postgres").await.unwrap();
    assert_eq!(log.append(append(&stream("s"), 1)).await, appended(0, 1));
}

#[tokio::test]
async fn others_may_not_append() {
    let log = Log::new().await;
    let mut stranger = log.owner().await;
    stranger.execute("SET ROLE pg_read_all_data").await.unwrap();
    assert_eq!(refusal(&mut stranger, EMPTY_BATCH).await, "42501");
}

#[tokio::test]
async fn a_batch_needs_read_committed() {
    let log = Log::new().await;
    let mut owner = log.owner().await;
    for begin in ["BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN ISOLATION LEVEL SERIALIZABLE"] {
        owner.execute(begin).await.unwrap();
        let error = owner.execute(EMPTY_BATCH).await.unwrap_err().to_string();
        assert!(error.contains("needs READ COMMITTED"), "{error}");
        owner.execute("ROLLBACK").await.unwrap();
    }
    owner.execute(EMPTY_BATCH).await.unwrap();
}

#[tokio::test]
async fn a_default_isolation_does_not_stop_a_host() {
    let log = Log::new().await;
    let mut owner = log.owner().await;
    let name: String = owner.fetch_one("SELECT current_database()").await.unwrap().get(0);
    let sql = format!("ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'");
    owner.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    assert_eq!(log.append(append(&stream("s"), 1)).await, appended(0, 1));
}
