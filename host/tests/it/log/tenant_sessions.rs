//! The second guard on reads: under the reader's role a statement sees one tenant's rows, whatever it asks for.

use everfold::model::{Append, Snapshot, Tenant};
use everfold::store::{Store, StoreOptions, StreamQuery, StreamsQuery};
use futures_util::TryStreamExt;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row};

use super::{Log, all_of, append, number, receipt, stream_of};

/// Two tenants with a stream of the same name each, snapshots and receipts among them.
async fn two_tenants() -> Log {
    let log = Log::new().await;
    let digest = log.module("bank", 1).await;
    for (tenant, events) in [("a", 2), ("ab", 3)] {
        let stream = stream_of(tenant, "account", "1");
        let append = Append { receipt: receipt("key", 1), ..append(&stream, events) };
        let event_id = append.events[1].event_id;
        log.append(append).await;
        let snapshot = Snapshot { version: 1, event_id, state_version: 1, state: b"{}".to_vec() };
        log.store.save_snapshot(&stream, &digest, &snapshot).await.unwrap();
    }
    log
}

fn tenant(name: &str) -> Tenant {
    Tenant::new(name).unwrap()
}

/// The tenants of the rows that a statement without any condition finds.
async fn seen(connection: &mut PgConnection, table: &str) -> Vec<String> {
    let sql = format!("SELECT tenant_id FROM everfold.{table} ORDER BY tenant_id");
    let rows = connection.fetch_all(AssertSqlSafe(sql)).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// The code with which a statement is refused.
async fn refusal(connection: &mut PgConnection, sql: &str) -> String {
    let error = connection.execute(AssertSqlSafe(sql)).await.unwrap_err();
    error.as_database_error().unwrap().code().unwrap().into_owned()
}

#[tokio::test]
async fn a_statement_without_its_tenant_sees_its_tenant_only() {
    let log = two_tenants().await;
    for (name, events) in [("a", 2), ("ab", 3), ("c", 0)] {
        let mut session = log.store.tenant_session(&tenant(name)).await.unwrap();
        assert_eq!(seen(&mut session, "event_store").await, vec![name; events]);
        assert_eq!(seen(&mut session, "snapshots").await, vec![name; events.min(1)]);
        assert_eq!(number(&mut session, "SELECT count(*) FROM everfold.modules").await, 1, "it belongs to no tenant");
        let other = "SELECT count(*) FROM everfold.event_store WHERE tenant_id <> current_setting('everfold.tenant')";
        assert_eq!(number(&mut session, other).await, 0);
    }
}

#[tokio::test]
async fn what_the_pages_answer_is_guarded() {
    let log = two_tenants().await;
    let mut owner = log.owner().await;
    // Nobody's policies but the reader's let go of a tenant's rows: what still shows them isn't read under its role.
    for table in ["event_store", "snapshots"] {
        let policy = format!("ALTER POLICY own_tenant ON everfold.{table} USING (false)");
        owner.execute(AssertSqlSafe(policy)).await.unwrap();
    }
    let stream = stream_of("a", "account", "1");
    assert!(log.events_of("a").await.is_empty());
    let page = log.store.read_stream(&StreamQuery::all(stream.clone(), 100)).await.unwrap();
    assert!(page.events.is_empty());
    let query = StreamsQuery { tenant: tenant("a"), aggregate_type: None, prefix: None, after: None, limit: 100 };
    assert!(log.store.list_streams(&query).await.unwrap().is_empty());
    assert!(log.store.snapshots(&stream).await.unwrap().is_empty());
    assert_eq!(log.head(&stream).await.unwrap().version, 1, "commands are decided under the runtime role");
    assert_eq!(log.store.load_tail(&stream, -1, None, 100).await.unwrap().events.len(), 2);
}

#[tokio::test]
async fn a_session_does_not_keep_its_last_tenant() {
    let log = two_tenants().await;
    let one = StoreOptions { read_connections: 1, ..StoreOptions::new(log.database.options()) };
    let store = Store::new(&one);
    let process = "SELECT pg_backend_pid()::bigint";
    let mut session = store.tenant_session(&tenant("a")).await.unwrap();
    let first = number(&mut session, process).await;
    drop(session);
    let mut session = store.tenant_session(&tenant("ab")).await.unwrap();
    assert_eq!(number(&mut session, process).await, first, "it is the same session");
    assert_eq!(seen(&mut session, "event_store").await, ["ab"; 3]);
    // It goes back in the middle of an answer.
    let mut rows = session.fetch("SELECT tenant_id FROM everfold.event_store");
    rows.try_next().await.unwrap().unwrap();
    drop(rows);
    drop(session);
    for name in ["a", "ab"] {
        let mut session = store.tenant_session(&tenant(name)).await.unwrap();
        assert!(seen(&mut session, "event_store").await.iter().all(|tenant| tenant == name));
    }
}

#[tokio::test]
async fn a_sql_reader_sees_what_it_has_set_and_changes_nothing() {
    let log = two_tenants().await;
    let mut superuser = log.owner().await;
    superuser.execute("CREATE ROLE analyst LOGIN; GRANT everfold_reader_postgres TO analyst").await.unwrap();
    let mut reader = log.database.options().username("analyst").connect().await.unwrap();
    for table in ["event_store", "snapshots"] {
        assert!(seen(&mut reader, table).await.is_empty(), "nothing is set");
    }
    reader.execute("SET everfold.tenant = 'ab'").await.unwrap();
    assert_eq!(seen(&mut reader, "event_store").await, ["ab"; 3]);
    reader.execute("RESET everfold.tenant").await.unwrap();
    assert!(seen(&mut reader, "event_store").await.is_empty());
    for statement in [
        "SELECT FROM everfold.receipts",
        "DELETE FROM everfold.snapshots",
        "UPDATE everfold.event_store SET version = version",
        "SELECT everfold.grant_roles()",
        "SET ROLE everfold_runtime_postgres",
    ] {
        assert_eq!(refusal(&mut reader, statement).await, "42501", "{statement}");
    }
    // A right that somebody gave to the role doesn't open the other tenants' rows.
    superuser.execute("GRANT SELECT ON everfold.receipts TO everfold_reader_postgres").await.unwrap();
    superuser.execute("GRANT DELETE ON everfold.snapshots TO everfold_reader_postgres").await.unwrap();
    reader.execute("SET everfold.tenant = 'a'").await.unwrap();
    assert_eq!(seen(&mut reader, "receipts").await, ["a"]);
    let deleted = reader.execute("DELETE FROM everfold.snapshots").await.unwrap();
    assert_eq!(deleted.rows_affected(), 1);
    reader.execute("SET row_security = off").await.unwrap();
    assert_eq!(refusal(&mut reader, "SELECT FROM everfold.event_store").await, "42501");
    reader.close().await.unwrap();
    superuser.execute("DROP OWNED BY analyst; DROP ROLE analyst").await.unwrap();
}

#[tokio::test]
async fn roles_with_rights_of_their_own_see_what_they_were_granted() {
    let log = two_tenants().await;
    let mut superuser = log.owner().await;
    superuser.execute("CREATE ROLE auditor LOGIN; GRANT USAGE ON SCHEMA everfold TO auditor").await.unwrap();
    superuser.execute("GRANT SELECT ON everfold.event_store TO auditor").await.unwrap();
    let mut auditor = log.database.options().username("auditor").connect().await.unwrap();
    assert_eq!(seen(&mut auditor, "event_store").await.len(), 5);
    auditor.close().await.unwrap();
    superuser.execute("DROP OWNED BY auditor; DROP ROLE auditor").await.unwrap();
}

#[tokio::test]
async fn without_the_role_pages_are_read_as_before() {
    let log = two_tenants().await;
    let mut owner = log.owner().await;
    owner.execute("REVOKE SELECT ON everfold.event_store FROM everfold_reader_postgres").await.unwrap();
    let store = Store::new(&StoreOptions::new(log.database.options()));
    let page = store.read_log(&all_of("a")).await.unwrap();
    assert_eq!(page.events.len(), 2);
    let mut session = store.tenant_session(&tenant("a")).await.unwrap();
    let role: String = session.fetch_one("SELECT current_user::text").await.unwrap().get(0);
    assert_eq!(role, "everfold_runtime_postgres");
}

#[tokio::test]
async fn a_login_that_would_be_shown_an_empty_log_is_refused() {
    let log = two_tenants().await;
    let mut superuser = log.owner().await;
    superuser.execute("CREATE ROLE held LOGIN; GRANT everfold_reader_postgres TO held").await.unwrap();
    let store = Store::new(&StoreOptions {
        acquire_timeout: std::time::Duration::from_millis(300),
        ..StoreOptions::new(log.database.options().username("held"))
    });
    assert!(store.head().await.is_err(), "it would have answered an empty log");
    superuser.execute("GRANT everfold_runtime_postgres TO held").await.unwrap();
    let store = Store::new(&StoreOptions::new(log.database.options().username("held")));
    assert_eq!(store.head().await.unwrap().position, 5);
    store.close().await;
    superuser.execute("DROP OWNED BY held; DROP ROLE held").await.unwrap();
}

#[tokio::test]
async fn the_reader_of_another_owner_is_held_to_a_tenant_too() {
    let log = two_tenants().await;
    let mut superuser = log.owner().await;
    superuser.execute("CREATE ROLE heir; CREATE ROLE everfold_reader_heir").await.unwrap();
    superuser.execute("ALTER SCHEMA everfold OWNER TO heir").await.unwrap();
    superuser.execute("SELECT everfold.grant_roles()").await.unwrap();
    superuser.execute("SET ROLE everfold_reader_heir").await.unwrap();
    assert!(seen(&mut superuser, "event_store").await.is_empty(), "no tenant is set");
    superuser.execute("RESET ROLE").await.unwrap();
    let held = "SELECT count(*) FROM pg_policies WHERE policyname = 'own_tenant'
                AND roles @> '{everfold_reader_heir, everfold_reader_postgres}'";
    assert_eq!(number(&mut superuser, held).await, 3, "the reader of the one before isn't let go of");
    superuser.execute("ALTER SCHEMA everfold OWNER TO postgres; DROP OWNED BY everfold_reader_heir").await.unwrap();
    superuser.execute("DROP ROLE everfold_reader_heir; DROP ROLE heir").await.unwrap();
}
