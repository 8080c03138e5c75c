//! Databases are brought up to date, once, by whoever comes; those that can't be are refused with a reason.

use std::error::Error as _;

use everfold::model::Append;
use everfold::store::{AppendError, MigrateError, Store, StoreError, StoreOptions, WriterOptions, migrate};
use sqlx::migrate::Migrator;
use sqlx::{ConnectOptions, Executor};

use super::{all_of, answer, append, appended, host, number, receipt, stream, submit, until};
use crate::support::postgres::TestDatabase;

async fn is_current(database: &TestDatabase) -> Result<(), StoreError> {
    Store::new(&StoreOptions::new(database.options())).ping().await
}

#[tokio::test]
async fn a_migrated_database_has_nothing_left_to_do() {
    let database = TestDatabase::create("").await;
    let steps = migrate(&database.options()).await.unwrap();
    assert!(steps >= 5, "{steps}");
    is_current(&database).await.unwrap();
    assert_eq!(migrate(&database.options()).await.unwrap(), 0);
    is_current(&database).await.unwrap();
}

#[tokio::test]
async fn hosts_that_start_together_migrate_once() {
    let database = TestDatabase::create("").await;
    let options = database.options();
    let (one, other, third) = tokio::join!(migrate(&options), migrate(&options), migrate(&options));
    let steps = [one.unwrap(), other.unwrap(), third.unwrap()];
    let mut owner = options.connect().await.unwrap();
    let applied = number(&mut owner, "SELECT count(*) FROM everfold.migrations").await;
    assert_eq!(steps.iter().sum::<usize>() as i64, applied, "each counts its own: {steps:?}");
    is_current(&database).await.unwrap();
}

#[tokio::test]
async fn an_encoding_that_can_not_hold_every_text_is_refused() {
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let clauses = format!("ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
        let database = TestDatabase::create(&clauses).await;
        let error = migrate(&database.options()).await.unwrap_err();
        assert!(matches!(&error, MigrateError::Encoding(found) if found == encoding), "{error:?}");
        assert!(error.to_string().contains(encoding) && error.to_string().contains("UTF8"), "{error}");
        let mut owner = database.options().connect().await.unwrap();
        assert_eq!(number(&mut owner, "SELECT count(*) FROM pg_namespace WHERE nspname = 'everfold'").await, 0);
    }
}

#[tokio::test]
async fn a_database_that_is_not_migrated_says_what_to_do() {
    let empty = TestDatabase::create("").await;
    let error = is_current(&empty).await.unwrap_err().to_string();
    assert!(error.contains("everfold migrate"), "{error}");

    let older = TestDatabase::new().await;
    let mut owner = older.options().connect().await.unwrap();
    let forget = "DELETE FROM everfold.migrations WHERE version = (SELECT max(version) FROM everfold.migrations)";
    owner.execute(forget).await.unwrap();
    let error = is_current(&older).await.unwrap_err().to_string();
    assert!(error.contains("everfold migrate"), "{error}");
}

#[tokio::test]
async fn steps_of_a_newer_host_are_left_alone() {
    let database = TestDatabase::new().await;
    let mut owner = database.options().connect().await.unwrap();
    let newer = "INSERT INTO everfold.migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'of a newer host', true, '\\x00', 0)";
    owner.execute(newer).await.unwrap();
    assert_eq!(migrate(&database.options()).await.unwrap(), 0);
    is_current(&database).await.unwrap();
}

/// Applies the steps up to this one, as a host of that release did.
async fn migrate_to(database: &TestDatabase, last: i64) {
    let known = sqlx::migrate!("../migrations");
    let steps = known.iter().filter(|step| step.version <= last).cloned().collect();
    let mut migrator = Migrator::with_migrations(steps);
    migrator.create_schema("everfold");
    migrator.dangerous_set_table_name("everfold.migrations");
    migrator.run(&mut database.options().connect().await.unwrap()).await.unwrap();
}

/// An append that goes the way that older hosts know: with another of its stream.
fn as_before(append: Append) -> Vec<Append> {
    let check = super::append(&append.stream, 0);
    vec![append, check]
}

#[tokio::test]
async fn a_log_in_use_gets_its_guards_without_standing_still() {
    let database = TestDatabase::create("").await;
    migrate_to(&database, 5).await;
    let (store, writer) = host(&database.options(), WriterOptions::default());
    let keyed = || Append { receipt: receipt("key", 1), ..append(&stream("s"), 1) };
    assert_eq!(answer(submit(&writer, as_before(keyed()))).await[0], Ok(appended(0, 1)));
    assert_eq!(store.read_log(&all_of("default")).await.unwrap().events.len(), 1, "without the reader's role");

    // A backup reads for as long as it takes.
    let mut backup = database.options().connect().await.unwrap();
    backup.execute("BEGIN; SELECT FROM everfold.event_store").await.unwrap();
    let mut owner = database.options().connect().await.unwrap();
    let waits = "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database()
                 AND application_name = 'everfold-migrate' AND wait_event = 'relation'";
    let meanwhile = async {
        until(&mut owner, "a step that waits for its locks", waits).await;
        assert_eq!(answer(submit(&writer, as_before(append(&stream("s"), 1)))).await[0], Ok(appended(1, 2)));
        assert_eq!(store.read_log(&all_of("default")).await.unwrap().events.len(), 2);
        assert_eq!(
            number(&mut owner, "SELECT max(version) FROM everfold.migrations").await,
            5,
            "the backup still reads"
        );
        backup.execute("COMMIT").await.unwrap();
    };
    let options = database.options();
    let (steps, ()) = tokio::join!(migrate(&options), meanwhile);
    assert!(steps.unwrap() >= 2);

    // The sessions from before go on beside those that take the new role.
    assert_eq!(answer(submit(&writer, as_before(keyed()))).await.len(), 2);
    assert_eq!(answer(submit(&writer, as_before(append(&stream("s"), 1)))).await[0], Ok(appended(2, 3)));
    let fresh = Store::new(&StoreOptions::new(database.options()));
    for store in [&store, &fresh] {
        assert_eq!(store.read_log(&all_of("default")).await.unwrap().events.len(), 3);
        assert!(store.read_log(&all_of("another")).await.unwrap().events.is_empty());
    }
}

#[tokio::test]
async fn a_step_that_was_changed_is_refused() {
    let database = TestDatabase::new().await;
    let mut owner = database.options().connect().await.unwrap();
    owner.execute("UPDATE everfold.migrations SET checksum = '\\x00' WHERE version = 1").await.unwrap();
    let error = migrate(&database.options()).await.unwrap_err();
    assert!(matches!(error, MigrateError::Step(_)), "{error:?}");
    assert!(error.source().unwrap().to_string().contains('1'), "it names the step");
}

#[tokio::test]
async fn a_login_without_rights_beyond_its_database_is_enough() {
    let database = TestDatabase::create("").await;
    let mut superuser = database.options().connect().await.unwrap();
    let login = "CREATE ROLE plain LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB";
    superuser.execute(login).await.unwrap();
    let own = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO plain', current_database()); END $$";
    superuser.execute(own).await.unwrap();

    let options = database.options().username("plain");
    migrate(&options).await.unwrap();
    let (store, writer) = host(&options, WriterOptions::default());
    store.ping().await.unwrap();
    let keyed = everfold::model::Append { receipt: receipt("key", 1), ..append(&stream("s"), 2) };
    assert_eq!(answer(submit(&writer, vec![keyed])).await, [Ok(appended(0, 1))]);
    assert_eq!(store.head().await.unwrap().position, 2);

    // It may end its own sessions: a lost batch can be settled, a stuck holder ended.
    let mut stuck = options.clone().application_name("everfold-writer").connect().await.unwrap();
    stuck.execute("BEGIN").await.unwrap();
    stuck.execute("SELECT FROM everfold.log_head FOR UPDATE").await.unwrap();
    assert_eq!(answer(submit(&writer, vec![append(&stream("s"), 1)])).await, [Ok(appended(2, 3))]);
    // It lets go of its locks before it leaves the list of sessions.
    let left = "SELECT count(*) = 1 FROM pg_stat_activity
                WHERE application_name = 'everfold-writer' AND datname = current_database()";
    until(&mut superuser, "the stuck session is gone", left).await;
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE application_name = 'everfold-writer' AND datname = current_database()";
    assert_eq!(number(&mut superuser, kill).await, 1);
    assert_eq!(answer(submit(&writer, vec![append(&stream("s"), 1)])).await, [Ok(appended(3, 4))]);

    let refused = owner_refusal(&options).await;
    assert_eq!(refused, "23001", "the log is append-only for its owner too");
    drop(writer);
    store.close().await;
}

/// The code with which the tables' owner is refused to change history.
async fn owner_refusal(options: &sqlx::postgres::PgConnectOptions) -> String {
    let mut owner = options.connect().await.unwrap();
    let error = owner.execute("DELETE FROM everfold.event_store").await.unwrap_err();
    error.as_database_error().unwrap().code().unwrap().into_owned()
}

#[tokio::test]
async fn a_login_that_may_make_roles_gives_its_hosts_the_runtime_role() {
    let database = TestDatabase::create("").await;
    let mut superuser = database.options().connect().await.unwrap();
    superuser.execute("CREATE ROLE maker LOGIN NOSUPERUSER CREATEROLE").await.unwrap();
    let own = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO maker', current_database()); END $$";
    superuser.execute(own).await.unwrap();
    let options = database.options().username("maker");
    migrate(&options).await.unwrap();
    superuser.execute("REVOKE EXECUTE ON FUNCTION everfold.append_all_v1 FROM everfold_runtime_maker").await.unwrap();
    let (_, writer) = host(&options, WriterOptions::default());
    let outcome = answer(submit(&writer, vec![append(&stream("s"), 1)])).await.remove(0);
    assert!(matches!(outcome, Err(AppendError::Unavailable(_))), "the owner's right was used: {outcome:?}");
    superuser.execute("GRANT EXECUTE ON FUNCTION everfold.append_all_v1 TO everfold_runtime_maker").await.unwrap();
    assert_eq!(answer(submit(&writer, vec![append(&stream("s"), 1)])).await, [Ok(appended(0, 1))]);
}
