//! Databases for tests: one private cluster for the whole run, and a database of its own for each test.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use everfold::cluster::{self, Cluster};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use tokio::sync::OnceCell;

/// The database that those of the tests are copies of.
const TEMPLATE: &str = "everfold_template";

/// The run's cluster, started by the first test that needs it. Statics are never dropped: what ends and removes the
/// cluster is the end of the process.
static SHARED: OnceCell<Shared> = OnceCell::const_new();

struct Shared {
    cluster: Cluster,
    _remover: Child,
}

/// A migrated database that no other test uses.
pub(crate) struct TestDatabase {
    name: String,
    server: PgConnectOptions,
}

impl TestDatabase {
    /// Copies a fresh database from the migrated template.
    pub(crate) async fn new() -> Self {
        Self::create(&format!("TEMPLATE {TEMPLATE}")).await
    }

    /// Makes a database as the clauses of `CREATE DATABASE` say, such as an empty one by none.
    pub(crate) async fn create(clauses: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let shared = SHARED.get_or_init(Shared::start).await;
        let name = format!("t_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let server = shared.server();
        execute(&server, format!("CREATE DATABASE {name} {clauses}")).await;
        Self { name, server }
    }

    /// Options to connect to the database as its owner.
    pub(crate) fn options(&self) -> PgConnectOptions {
        self.server.clone().database(&self.name)
    }

    /// The URL of the database.
    pub(crate) fn url(&self) -> String {
        let shared = SHARED.get().expect("this database came from it");
        shared.cluster.url().replacen("/everfold?", &format!("/{}?", self.name), 1)
    }
}

impl Shared {
    async fn start() -> Self {
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
        remove_stale(parent);
        let dir = parent.join(format!("run-{}", std::process::id()));
        let remover = remove_when_we_end(&dir);
        let mut options = cluster::Options::new(&dir, binaries());
        options.fsync = false;
        let cluster = Cluster::start(options).await.unwrap();
        let shared = Self { cluster, _remover: remover };
        execute(&shared.server(), format!("CREATE DATABASE {TEMPLATE}")).await;
        fill_template(&shared.server().database(TEMPLATE)).await;
        shared
    }

    fn server(&self) -> PgConnectOptions {
        self.cluster.url().parse().unwrap()
    }
}

/// What every test's database holds from the start.
async fn fill_template(options: &PgConnectOptions) {
    everfold::store::migrate(options).await.unwrap();
}

/// The machine's PostgreSQL.
pub(crate) fn binaries() -> cluster::Binaries {
    let setting = std::env::var_os("EVERFOLD_PG_BIN").map(PathBuf::from);
    cluster::locate(setting.as_deref()).unwrap()
}

/// Runs one statement on a connection of its own.
async fn execute(options: &PgConnectOptions, statement: String) {
    let mut connection = options.connect().await.unwrap();
    connection.execute(AssertSqlSafe(statement)).await.unwrap();
    connection.close().await.unwrap();
}

/// Removes the clusters of runs that were ended together with their remover.
fn remove_stale(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("run-")?.parse().ok());
        let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) else { continue };
        if rustix::process::test_kill_process(pid).is_err() {
            // Another run may be removing it too.
            let _: io::Result<()> = fs::remove_dir_all(entry.path());
        }
    }
}

/// Starts a shell that removes `dir` once this process and its cluster have ended, however they end: its input is a pipe
/// that is closed with us.
fn remove_when_we_end(dir: &Path) -> Child {
    let script = r#"read -r _; n=0
        while [ -e "$0/postgres/data/postmaster.pid" ] && [ $n -lt 100 ]; do sleep 0.2; n=$((n+1)); done
        rm -rf "$0""#;
    let mut shell = Command::new("sh");
    // In a group of its own it outlives Ctrl-C; with the run's output it would keep a pipe open after the run.
    shell.arg("-c").arg(script).arg(dir).process_group(0);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}
