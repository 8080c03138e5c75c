//! `everfold doctor`: a database as it should be has nothing against it, and each thing that is broken is named.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::guests::wasm;
use crate::support::postgres::TestDatabase;
use crate::support::process::HostProcess;

/// What the doctor said, and its exit code.
struct Diagnosis {
    code: i32,
    findings: Vec<Value>,
}

impl Diagnosis {
    /// Looks with nothing set but these variables.
    async fn of(home: &Path, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_everfold"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("EVERFOLD_") || name == "DATABASE_URL" {
                command.env_remove(name);
            }
        }
        command.args(["doctor", "--json"]).current_dir(home).kill_on_drop(true).stdin(Stdio::null());
        command.envs(variables.iter().copied());
        let output = command.output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let report: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        Self { code: output.status.code().unwrap(), findings: report["findings"].as_array().unwrap().clone() }
    }

    /// Everything said of one check at one level.
    fn said(&self, check: &str, level: &str) -> String {
        let told = self.findings.iter().filter(|finding| finding["check"] == check && finding["level"] == level);
        told.map(|finding| finding["found"].as_str().unwrap()).collect::<Vec<_>>().join("; ")
    }

    #[track_caller]
    fn expect(&self, check: &str, level: &str, words: &str) {
        assert!(self.said(check, level).contains(words), "no {level} of {check} with {words:?}: {:#?}", self.findings);
        if level != "ok" {
            let advised = self.findings.iter().filter(|finding| finding["level"] == level);
            assert!(advised.into_iter().all(|finding| finding["advice"].is_string()), "it says what to do");
        }
    }
}

fn home() -> TempDir {
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::fs::create_dir(home.path().join("modules")).unwrap();
    home
}

async fn look(database: &TestDatabase) -> Diagnosis {
    Diagnosis::of(home().path(), &[("DATABASE_URL", &database.url())]).await
}

async fn sql(database: &TestDatabase, statement: &str) {
    let mut owner = database.options().connect().await.unwrap();
    owner.execute(AssertSqlSafe(statement)).await.unwrap();
}

/// Sets something for every new session in the database.
async fn set(database: &TestDatabase, setting: &str) {
    let set = format!("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET {setting}', current_database()); END $$");
    sql(database, &set).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_host_has_nothing_against_it() {
    // Its own cluster: that of the tests has no fsync.
    let home = home();
    std::fs::write(home.path().join("modules/counter.wasm"), wasm("counter")).unwrap();
    let bin = std::env::var("EVERFOLD_PG_BIN").unwrap_or_default();
    let (dir, modules) = (("EVERFOLD_DATA_DIR", "data"), ("EVERFOLD_MODULES_DIR", "modules"));
    let variables = [dir, modules, ("EVERFOLD_PG_BIN", bin.as_str())];
    let before = Diagnosis::of(home.path(), &variables).await;
    before.expect("database", "ok", "no private cluster yet");
    assert!(!home.path().join("data").exists(), "the doctor changes nothing");

    let host = HostProcess::start(home.path(), None, &["counter"]).await;
    host.command("counter/a", "Add", r#"{"n":1}"#, &[]).await.ok();
    let beside = Diagnosis::of(home.path(), &variables).await;
    host.terminate().await;
    let after = Diagnosis::of(home.path(), &variables).await;
    for diagnosis in [beside, after] {
        for check in [
            "version",
            "encoding",
            "durability",
            "writable",
            "timeouts",
            "pooler",
            "connections",
            "schema",
            "role",
            "reader role",
            "triggers",
        ] {
            diagnosis.expect(check, "ok", "");
            assert_eq!(
                (diagnosis.said(check, "warning"), diagnosis.said(check, "broken")),
                Default::default(),
                "{check}"
            );
        }
        diagnosis.expect("log", "ok", "position 1,");
        diagnosis.expect("modules", "ok", "counter.wasm: counter");
        diagnosis.expect("compiled modules", "ok", "the host's alone");
        let bad: Vec<_> = diagnosis.findings.iter().filter(|finding| finding["level"] == "broken").collect();
        // The machine's own limits may be worth a warning.
        assert!(bad.is_empty() && diagnosis.code <= 1, "{}: {bad:#?}", diagnosis.code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_break_promises_are_named() {
    let database = TestDatabase::new().await;
    let diagnosis = look(&database).await;
    diagnosis.expect("durability", "broken", "fsync is off");
    diagnosis.expect("durability", "broken", "full_page_writes is off");
    diagnosis.expect("durability", "warning", "synchronous_commit is off");
    assert_eq!(diagnosis.code, 2);

    for setting in
        ["statement_timeout = 1500", "session_replication_role = replica", "default_transaction_read_only = on"]
    {
        set(&database, setting).await;
    }
    let diagnosis = look(&database).await;
    diagnosis.expect("timeouts", "warning", "statement_timeout is 1500 ms");
    diagnosis.expect("writable", "broken", "default_transaction_read_only is on");
    diagnosis.expect("triggers", "broken", "session_replication_role is replica");
    let many = [("DATABASE_URL", database.url()), ("EVERFOLD_DATABASE_CONNECTIONS", "5000".to_owned())];
    let many: Vec<_> = many.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Diagnosis::of(home().path(), &many).await.expect("connections", "broken", "5003");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_guards_the_log_is_looked_at() {
    let database = TestDatabase::new().await;
    let sound = look(&database).await;
    sound.expect("triggers", "ok", "");
    sound.expect("role", "ok", "everfold_runtime_postgres");
    sound.expect("reader role", "ok", "everfold_reader_postgres");

    sql(&database, "ALTER TABLE everfold.log_head DISABLE TRIGGER append_only").await;
    sql(&database, "DROP TRIGGER append_only ON everfold.event_store").await;
    sql(&database, "GRANT INSERT, DELETE ON everfold.event_store TO everfold_runtime_postgres").await;
    sql(&database, "REVOKE SELECT ON everfold.receipts FROM everfold_runtime_postgres").await;
    let broken = look(&database).await;
    broken.expect("triggers", "broken", "append_only on event_store, append_only on log_head");
    broken.expect("role", "broken", "INSERT on everfold.event_store, DELETE on everfold.event_store");
    broken.expect("role", "broken", "lacks SELECT on everfold.receipts");
    assert_eq!(broken.code, 2);
    sql(&database, "REVOKE EXECUTE ON FUNCTION everfold.append_all_v1 FROM everfold_runtime_postgres").await;
    look(&database).await.expect("role", "broken", "EXECUTE on everfold.append_all_v1");
    sql(&database, "REVOKE EXECUTE ON FUNCTION everfold.append_batch_v1 FROM everfold_runtime_postgres").await;
    let both = "EXECUTE on everfold.append_batch_v1, EXECUTE on everfold.append_all_v1";
    look(&database).await.expect("role", "broken", both);
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_missing_come_back_by_one_statement() {
    let database = TestDatabase::new().await;
    for role in ["everfold_runtime_postgres", "everfold_reader_postgres"] {
        sql(&database, &format!("REVOKE USAGE ON SCHEMA everfold FROM {role}")).await;
    }
    sql(&database, "REVOKE SELECT ON everfold.modules FROM everfold_reader_postgres").await;
    sql(&database, "DROP POLICY own_tenant ON everfold.event_store").await;
    let broken = look(&database).await;
    broken.expect("role", "broken", "lacks USAGE on schema everfold");
    broken.expect("reader role", "broken", "lacks USAGE on schema everfold, SELECT on everfold.modules");
    broken.expect("reader role", "broken", "every tenant's rows of event_store");
    sql(&database, "SELECT everfold.grant_roles()").await;
    let mended = look(&database).await;
    mended.expect("role", "ok", "");
    mended.expect("reader role", "ok", "");
    sql(&database, "ALTER TABLE everfold.snapshots DISABLE ROW LEVEL SECURITY").await;
    sql(&database, "GRANT SELECT ON everfold.receipts TO everfold_reader_postgres").await;
    let open = look(&database).await;
    open.expect("reader role", "broken", "every tenant's rows of snapshots");
    open.expect("reader role", "warning", "SELECT on everfold.receipts");
}

/// A superuser has made the roles and granted them, without letting their member grant them on.
#[tokio::test(flavor = "multi_thread")]
async fn roles_that_were_there_before_get_their_rights() {
    let database = TestDatabase::create("").await;
    sql(&database, "CREATE ROLE given LOGIN NOSUPERUSER NOCREATEROLE").await;
    for role in ["everfold_runtime_given", "everfold_reader_given"] {
        sql(&database, &format!("CREATE ROLE {role} NOLOGIN; GRANT {role} TO given")).await;
    }
    let own = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO given', current_database()); END $$";
    sql(&database, own).await;
    everfold::store::migrate(&database.options().username("given")).await.unwrap();
    let url = database.url().replacen("postgres://postgres@", "postgres://given@", 1);
    let diagnosis = Diagnosis::of(home().path(), &[("DATABASE_URL", &url)]).await;
    diagnosis.expect("role", "ok", "everfold_runtime_given");
    diagnosis.expect("reader role", "ok", "everfold_reader_given");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_events_is_noticed() {
    let database = TestDatabase::new().await;
    sql(
        &database,
        "SET search_path = everfold, pg_temp; SET plan_cache_mode = force_generic_plan;
         INSERT INTO everfold.event_store (position, version, occurred_at, created_at, event_id, schema_version,
             tenant_id, aggregate_type, stream_id, event_type, payload, metadata)
         SELECT n, n - 1, now(), now() + interval '1 hour', gen_random_uuid(), 1, 'default', 'a', 'b', 'E', '{}', '{}'
         FROM generate_series(1, 20) n",
    )
    .await;
    let dense = look(&database).await;
    dense.expect("log", "warning", "s from now");
    assert_eq!(dense.said("log", "broken"), "");
    sql(&database, "ALTER TABLE everfold.event_store DISABLE TRIGGER append_only").await;
    sql(&database, "DELETE FROM everfold.event_store WHERE position IN (7, 8)").await;
    look(&database).await.expect("log", "broken", "2 of the last positions");
    sql(&database, "UPDATE everfold.log_head SET floor = 8").await;
    assert_eq!(look(&database).await.said("log", "broken"), "", "below the floor positions may be missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_empty_behind_or_away_is_named() {
    let empty = TestDatabase::create("").await;
    look(&empty).await.expect("schema", "broken", "never migrated");
    let behind = TestDatabase::new().await;
    sql(&behind, "DELETE FROM everfold.migrations WHERE version = 3").await;
    look(&behind).await.expect("schema", "broken", "[3]");
    sql(&behind, "DROP TABLE everfold.migrations").await;
    look(&behind).await.expect("schema", "broken", "[1, 2, 3");

    let away = Diagnosis::of(home().path(), &[("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")]).await;
    away.expect("database", "broken", "can't be reached");
    assert_eq!(away.code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_without_the_role_is_told() {
    let database = TestDatabase::create("").await;
    let login = "CREATE ROLE patient LOGIN NOSUPERUSER NOCREATEROLE";
    sql(&database, login).await;
    let own = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO patient', current_database()); END $$";
    sql(&database, own).await;
    everfold::store::migrate(&database.options().username("patient")).await.unwrap();
    let url = database.url().replacen("postgres://postgres@", "postgres://patient@", 1);
    let diagnosis = Diagnosis::of(home().path(), &[("DATABASE_URL", &url)]).await;
    diagnosis.expect("role", "warning", "everfold_runtime_patient doesn't exist");
    diagnosis.expect("reader role", "warning", "everfold_reader_patient doesn't exist");
    diagnosis.expect("login", "ok", "patient");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_module_and_an_open_address_are_named() {
    let home = home();
    std::fs::write(home.path().join("modules/bad.wasm"), b"\0asm\x01\0\0\0").unwrap();
    std::fs::create_dir_all(home.path().join("everfold-data/compiled")).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(home.path().join("everfold-data/compiled"), open).unwrap();
    let diagnosis = Diagnosis::of(home.path(), &[("EVERFOLD_LISTEN", "0.0.0.0:7400")]).await;
    diagnosis.expect("modules", "broken", "bad.wasm");
    diagnosis.expect("address", "warning", "0.0.0.0:7400");
    diagnosis.expect("compiled modules", "broken", "mode 777");
}
