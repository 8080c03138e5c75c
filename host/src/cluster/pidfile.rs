//! Reads PostgreSQL's `postmaster.pid`, and removes one that a dead postmaster left where its number is taken by another.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::layout::Layout;

/// Whether the postmaster with this process id says that it takes connections.
pub(super) fn is_ready(layout: &Layout, pid: u32) -> bool {
    fs::read_to_string(layout.data.join("postmaster.pid")).is_ok_and(|text| says_ready(&text, pid))
}

/// The first line is the process id, the eighth the status. The file of an earlier postmaster has another id.
fn says_ready(text: &str, pid: u32) -> bool {
    let mut lines = text.lines().map(str::trim);
    lines.next().and_then(|line| line.parse().ok()) == Some(pid) && lines.nth(6) == Some("ready")
}

/// Removes a `postmaster.pid` that no server stands behind; answers whether it did.
///
/// PostgreSQL keeps off while a process with the number in that file is alive, whatever that process is. In a container
/// that was killed and restarted, small numbers are given out again at once, and the file would block every start.
/// PostgreSQL's processes all work in the data directory, so where Linux shows that none does, the file is stale.
pub(super) fn remove_stale(layout: &Layout) -> bool {
    match server_works_in(&layout.data) {
        Ok(false) => fs::remove_file(layout.data.join("postmaster.pid")).is_ok(),
        Ok(true) | Err(_) => false,
    }
}

/// Whether one of PostgreSQL's processes may have its working directory in `dir`. An error where there is no `/proc`.
fn server_works_in(dir: &Path) -> io::Result<bool> {
    let owner = fs::metadata(dir)?.uid();
    for process in fs::read_dir("/proc")? {
        let process = process?.path();
        if !fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim_end() == "postgres") {
            continue;
        }
        match fs::read_link(process.join("cwd")) {
            Ok(cwd) if cwd != dir => {}
            Ok(_) => return Ok(true),
            // It has just ended.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // It doesn't tell. PostgreSQL runs as the owner of its data alone, and what is guarded belongs to root.
            Err(_) => {
                let theirs = fs::metadata(&process).map_or(0, |process| process.uid());
                if theirs == owner || theirs == 0 {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Command, Stdio};

    use super::*;

    const FILE: &str =
        "4711\n/data/postgres/data\n1795344190\n5432\n/data/postgres/run\n\n 10035207         9\nready   \n";

    #[test]
    fn ready_is_said_by_our_own_child_alone() {
        assert!(says_ready(FILE, 4711));
        assert!(!says_ready(FILE, 4712));
        assert!(!says_ready(&FILE.replace("ready   ", "starting"), 4711));
        assert!(!says_ready(FILE.trim_end_matches("ready   \n"), 4711), "not written yet");
        assert!(!says_ready("", 4711));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_pid_file_goes_when_no_server_works_there() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(dir.path()).unwrap();
        fs::create_dir(&layout.data).unwrap();
        let file = layout.data.join("postmaster.pid");
        fs::write(&file, FILE).unwrap();

        // A shell that goes by the server's name and waits for input.
        let postgres = dir.path().join("postgres-program/postgres");
        fs::create_dir(postgres.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("/bin/sh", &postgres).unwrap();
        let mut server = Command::new(&postgres)
            .args(["-c", "echo up; read line"])
            .current_dir(&layout.data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        server.stdout.as_mut().unwrap().read_exact(&mut [0; 2]).unwrap();
        assert!(!remove_stale(&layout));
        assert!(file.exists());
        server.kill().unwrap();
        server.wait().unwrap();
        assert!(remove_stale(&layout));
        assert!(!file.exists());
    }
}
