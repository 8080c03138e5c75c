//! Makes a cluster on the first start, whole or not at all, and refuses one of another major version.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::launcher::Launcher;
use super::layout::Layout;
use super::{Binaries, ClusterError, DATABASE, USER};

/// Appended to the `postgresql.conf` of a new cluster. What must hold is given on the command line instead.
const SETTINGS: &str = "
# ----- Everfold's defaults: yours to change. Where the socket is, and that there is no TCP, the host sets itself. -----
max_connections = 100
shared_buffers = 256MB
random_page_cost = 1.1          # flash storage
min_wal_size = 256MB
max_wal_size = 2GB              # fewer checkpoints under load; bounds the work of recovery
wal_compression = on
jit = off                       # every query here is short
timezone = 'UTC'
log_timezone = 'UTC'
log_checkpoints = off
";

/// Sees to it that the layout holds a cluster that this server can run.
pub(super) fn ensure(
    layout: &Layout,
    launcher: &Launcher,
    binaries: &Binaries,
    fsync: bool,
) -> Result<(), ClusterError> {
    if layout.data.exists() {
        return check_version(layout, binaries);
    }
    remove_leftovers(&layout.root)?;
    tracing::info!(dir = %layout.root.display(), version = binaries.major(), "initialising a private PostgreSQL cluster");
    // Renamed when it's complete: a start that is killed here leaves no half cluster behind.
    let fresh = layout.root.join(format!("init-{}", std::process::id()));
    init_database(&fresh, launcher, binaries, fsync)?;
    let sync = |path: &Path| File::open(path).and_then(|dir| dir.sync_all());
    fs::rename(&fresh, &layout.data).map_err(ClusterError::file("rename", &fresh))?;
    sync(&layout.root).map_err(ClusterError::file("sync", &layout.root))
}

/// Compares what is on disk with the server.
fn check_version(layout: &Layout, binaries: &Binaries) -> Result<(), ClusterError> {
    let path = layout.data.join("PG_VERSION");
    let text = fs::read_to_string(&path).map_err(ClusterError::file("read", &path))?;
    if text.trim().parse() == Ok(binaries.major()) {
        return Ok(());
    }
    Err(ClusterError::OtherVersion {
        data: layout.data.clone(),
        found: text.trim().to_owned(),
        bin_dir: binaries.bin_dir().to_owned(),
        server: binaries.major(),
    })
}

/// Removes what earlier, killed starts had begun. The caller holds the lock, so no one else is at it.
fn remove_leftovers(root: &Path) -> Result<(), ClusterError> {
    let entries = fs::read_dir(root).map_err(ClusterError::file("read", root))?;
    for entry in entries.flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(b"init-") {
            fs::remove_dir_all(entry.path()).map_err(ClusterError::file("remove", &entry.path()))?;
        }
    }
    Ok(())
}

/// Makes a cluster in `dir`, with the host's database in it.
fn init_database(dir: &Path, launcher: &Launcher, binaries: &Binaries, fsync: bool) -> Result<(), ClusterError> {
    let mut initdb = launcher.command(&binaries.bin_dir().join("initdb"));
    initdb.arg("--pgdata").arg(dir).args(["--username", USER]);
    // Bytes order text, the same on every machine; checksums find a disk's lies.
    initdb.args(["--no-locale", "--encoding", "UTF8", "--data-checksums"]);
    // Whoever may enter the socket's directory is trusted; over TCP no one is.
    initdb.args(["--auth-local", "trust", "--auth-host", "reject"]);
    if !fsync {
        initdb.arg("--no-sync");
    }
    run("initdb", initdb, "")?;

    let conf = dir.join("postgresql.conf");
    let append = OpenOptions::new().append(true).open(&conf);
    append.and_then(|mut file| file.write_all(SETTINGS.as_bytes())).map_err(ClusterError::file("write", &conf))?;

    // A server for one statement, without a socket. It ends with success whatever its statements do, unless told so.
    let mut single = launcher.command(&binaries.bin_dir().join("postgres"));
    single.args(["--single", "-D"]).arg(dir).args(["-c", "exit_on_error=on"]);
    single.args(["-c", if fsync { "fsync=on" } else { "fsync=off" }]).arg("postgres");
    run("postgres --single", single, &format!("CREATE DATABASE {DATABASE};\n"))
}

/// Runs a program to its end with a short input; its output is in the error.
fn run(program: &'static str, mut command: Command, input: &str) -> Result<(), ClusterError> {
    let failed = |status: String, output: String| ClusterError::Init { program, status, output };
    let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = started.map_err(|error| failed(error.to_string(), String::new()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ended early hasn't read its input; its status says why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string(), String::new()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(failed(output.status.to_string(), String::from_utf8_lossy(&said).trim().to_owned()))
}
