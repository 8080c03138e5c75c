//! The private PostgreSQL cluster: first start, restart, kills of either side, and what refuses to start.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use everfold::cluster::{Cluster, ClusterError, Options, RootMode, State};
use rustix::process::{Pid, Signal, geteuid, kill_process, test_kill_process};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Executor, PgConnection, Row};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::support::postgres::{TestDatabase, binaries};

/// Tells the re-executed test binary where to start its cluster.
const OWNER_DIR: &str = "CLUSTER_OWNER_DIR";
/// How long anything may take that must happen at some time.
const SOON: Duration = Duration::from_secs(90);

fn temp_dir() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

async fn start(dir: &Path) -> Cluster {
    Cluster::start(Options::new(dir, binaries())).await.unwrap()
}

async fn refusal(dir: &Path) -> ClusterError {
    Cluster::start(Options::new(dir, binaries())).await.unwrap_err()
}

async fn connect(url: &str) -> PgConnection {
    url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
}

/// Adds one row to a table that the first call makes.
async fn write_row(url: &str) {
    let mut connection = connect(url).await;
    connection.execute("CREATE TABLE IF NOT EXISTS kept (id int GENERATED ALWAYS AS IDENTITY)").await.unwrap();
    connection.execute("INSERT INTO kept DEFAULT VALUES").await.unwrap();
}

async fn rows(url: &str) -> i64 {
    connect(url).await.fetch_one("SELECT count(*) FROM kept").await.unwrap().get(0)
}

async fn setting(connection: &mut PgConnection, name: &str) -> String {
    sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(connection).await.unwrap()
}

/// The postmaster's process id, once it runs and isn't `other`.
async fn running(cluster: &Cluster, other: Option<u32>) -> u32 {
    let mut state = cluster.state();
    let is_running = |state: &State| matches!(state, State::Running { pid } if Some(*pid) != other);
    let state = *timeout(SOON, state.wait_for(is_running)).await.unwrap().unwrap();
    match state {
        State::Running { pid } => pid,
        other => panic!("{other:?}"),
    }
}

fn process(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

#[tokio::test]
async fn a_restart_keeps_the_data() {
    let dir = temp_dir();
    // What a killed first start leaves behind.
    fs::create_dir_all(dir.path().join("postgres/init-1/base")).unwrap();

    let cluster = start(dir.path()).await;
    let pid = running(&cluster, None).await;
    let mut connection = connect(&cluster.url()).await;
    assert_eq!(setting(&mut connection, "listen_addresses").await, "", "no TCP");
    assert_eq!(setting(&mut connection, "fsync").await, "on");
    assert_eq!(setting(&mut connection, "data_checksums").await, "on");
    assert_eq!(setting(&mut connection, "max_connections").await, "100");
    let sql = "SELECT current_database() || ' ' || datcollate FROM pg_database WHERE datname = current_database()";
    assert_eq!(connection.fetch_one(sql).await.unwrap().get::<String, _>(0), "everfold C");
    assert_eq!(fs::metadata(cluster.socket_dir()).unwrap().mode() & 0o777, 0o700);
    assert!(!dir.path().join("postgres/init-1").exists());
    write_row(&cluster.url()).await;
    // A connection that stays open doesn't hold the shutdown up.
    timeout(SOON, cluster.shutdown()).await.unwrap();
    assert!(test_kill_process(process(pid)).is_err(), "PostgreSQL is gone");
    assert!(!dir.path().join("postgres/data/postmaster.pid").exists(), "it was shut down in order");

    let cluster = start(dir.path()).await;
    assert_eq!(rows(&cluster.url()).await, 1);
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_killed_postgres_is_restarted() {
    let dir = temp_dir();
    let cluster = start(dir.path()).await;
    let mut pid = running(&cluster, None).await;
    for kills in 1..=2 {
        write_row(&cluster.url()).await;
        kill_process(process(pid), Signal::KILL).unwrap();
        pid = running(&cluster, Some(pid)).await;
        assert_eq!(rows(&cluster.url()).await, kills);
    }
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_killed_host_takes_postgres_along() {
    let dir = temp_dir();
    let (mut owner, pid, url) = spawn_owner(dir.path());
    write_row(&url).await;
    let refused = refusal(dir.path()).await;
    assert!(matches!(refused, ClusterError::InUse { .. }), "{refused}");
    assert!(refused.to_string().contains(&format!("(process {})", owner.id())), "{refused}");

    owner.kill().unwrap();
    owner.wait().unwrap();
    // At once, while the old PostgreSQL is still shutting down. If it weren't, it would keep the new one from starting.
    let cluster = start(dir.path()).await;
    assert_ne!(running(&cluster, None).await, pid);
    assert_eq!(rows(&url).await, 1);
    cluster.shutdown().await;
}

/// Starts this binary again as the host of a cluster; answers with its postmaster's process id and its URL.
fn spawn_owner(dir: &Path) -> (Child, u32, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "cluster::owner", "--ignored", "--nocapture"]).env(OWNER_DIR, dir);
    let mut owner = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let ready = lines.map_while(Result::ok).find_map(|line| {
        let (_, ready) = line.split_once("ready: ")?;
        let (pid, url) = ready.split_once(' ')?;
        Some((pid.parse().unwrap(), url.to_owned()))
    });
    let (pid, url) = ready.expect("the owner says that it's ready");
    (owner, pid, url)
}

#[tokio::test]
#[ignore = "the other side of a_killed_host_takes_postgres_along, which runs it"]
async fn owner() {
    let Some(dir) = std::env::var_os(OWNER_DIR) else { return };
    let cluster = start(Path::new(&dir)).await;
    println!("ready: {} {}", running(&cluster, None).await, cluster.url());
    std::io::stdout().flush().unwrap();
    // Until it's killed; bounded, should the test that started it be killed itself.
    tokio::time::sleep(SOON).await;
}

#[tokio::test]
async fn a_second_start_is_refused_until_the_first_is_dropped() {
    let dir = temp_dir();
    let first = start(dir.path()).await;
    let refused = refusal(dir.path()).await;
    assert!(matches!(refused, ClusterError::InUse { .. }), "{refused}");
    let mut state = first.state();
    drop(first);
    timeout(SOON, state.wait_for(|state| *state == State::Stopped)).await.unwrap().unwrap();
    start(dir.path()).await.shutdown().await;
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_works() {
    let dir = temp_dir();
    let long = dir.path().join("d".repeat(120));
    let cluster = start(&long).await;
    let socket_dir = cluster.socket_dir().to_owned();
    assert!(!socket_dir.starts_with(dir.path()), "{}", socket_dir.display());
    assert_eq!(fs::metadata(&socket_dir).unwrap().mode() & 0o777, 0o700);
    write_row(&cluster.url()).await;
    cluster.shutdown().await;
    assert!(!socket_dir.exists());
}

#[tokio::test]
async fn root_can_start_it_either_way_and_others_as_themselves() {
    let dir = temp_dir();
    // As under /root: nobody else gets through.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let data_dir = dir.path().join("data, \"with\" odd name");
    let owner = || fs::metadata(data_dir.join("postgres/data")).unwrap().uid();
    let start_as = async |root_mode: Option<RootMode>| {
        let cluster = Cluster::start(Options { root_mode, ..Options::new(&data_dir, binaries()) }).await?;
        write_row(&cluster.url()).await;
        let rows = rows(&cluster.url()).await;
        cluster.shutdown().await;
        Ok::<_, ClusterError>(rows)
    };
    if !geteuid().is_root() {
        // The ways of root are none of theirs: whatever is set, the files stay their own.
        for (mode, rows) in [Some(RootMode::Namespace), Some(RootMode::Account), None].into_iter().zip(1..) {
            assert_eq!((start_as(mode).await.unwrap(), owner()), (rows, geteuid().as_raw()));
        }
        return;
    }
    match start_as(Some(RootMode::Namespace)).await {
        Ok(rows) => assert_eq!((rows, owner()), (1, 0)),
        // Containers forbid namespaces; what is left must work all the more.
        Err(ClusterError::NoUser { .. }) => assert_eq!(start_as(Some(RootMode::Account)).await.unwrap(), 1),
        Err(error) => panic!("{error}"),
    }
    assert_eq!(start_as(Some(RootMode::Account)).await.unwrap(), 2);
    assert_ne!(owner(), 0, "the files were handed over");
    assert_eq!(start_as(None).await.unwrap(), 3);
}

#[tokio::test]
async fn a_number_taken_by_another_process_is_no_postmaster() {
    let dir = temp_dir();
    start(dir.path()).await.shutdown().await;
    let mut sleeper = Command::new("sleep").arg("600").spawn().unwrap();
    let stale = format!("{}\n/elsewhere\n1795344190\n5432\n\n\n 1 1\nready\n", sleeper.id());
    let pid_file = dir.path().join("postgres/data/postmaster.pid");
    fs::write(&pid_file, stale).unwrap();
    let data = fs::metadata(dir.path().join("postgres/data")).unwrap();
    std::os::unix::fs::chown(&pid_file, Some(data.uid()), Some(data.gid())).unwrap();
    let started = timeout(SOON, Cluster::start(Options::new(dir.path(), binaries()))).await.unwrap();
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    started.unwrap().shutdown().await;
}

#[tokio::test]
async fn another_major_version_is_refused() {
    let dir = temp_dir();
    let data = dir.path().join("postgres/data");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("PG_VERSION"), "12\n").unwrap();
    let refused = refusal(dir.path()).await;
    assert!(matches!(refused, ClusterError::OtherVersion { .. }), "{refused}");
    assert!(refused.to_string().contains("PostgreSQL 12"), "{refused}");
}

#[tokio::test]
async fn a_failed_start_tells_what_the_log_says() {
    let dir = temp_dir();
    start(dir.path()).await.shutdown().await;
    let conf: PathBuf = dir.path().join("postgres/data/postgresql.conf");
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, format!("{text}\nmax_connections = lots\n")).unwrap();
    let failed = refusal(dir.path()).await;
    assert!(matches!(failed, ClusterError::Ended { .. }), "{failed}");
    assert!(failed.to_string().contains("max_connections") && failed.to_string().contains("lots"), "{failed}");
}

#[tokio::test]
async fn each_test_has_a_database_of_its_own() {
    let (one, other) = tokio::join!(TestDatabase::new(), TestDatabase::new());
    write_row(&one.url()).await;
    assert_eq!(rows(&one.url()).await, 1);
    let mut connection = other.options().connect().await.unwrap();
    let kept = connection.fetch_one("SELECT to_regclass('kept') IS NULL").await.unwrap();
    assert!(kept.get::<bool, _>(0));
}
