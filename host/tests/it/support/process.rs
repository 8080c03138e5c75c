//! The real binary as a host, for tests that end it in ways that only a process can be ended in.

use std::ops::Deref;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::guests::wasm;
use super::host::Client;

/// A running `everfold serve`; it is killed with the test.
pub(crate) struct HostProcess {
    child: Child,
    client: Client,
}

impl HostProcess {
    /// Starts a host that keeps all it has in `home`, and waits until it is ready. Without a database it runs its own.
    pub(crate) async fn start(home: &Path, database_url: Option<&str>, guests: &[&str]) -> Self {
        let modules = home.join("modules");
        std::fs::create_dir_all(&modules).unwrap();
        for name in guests {
            std::fs::write(modules.join(format!("{name}.wasm")), wasm(name)).unwrap();
        }
        let mut command = everfold();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir", "data", "--modules-dir", "modules"]);
        command.current_dir(home).kill_on_drop(true).stdin(Stdio::null()).stderr(Stdio::piped());
        if let Some(dir) = std::env::var_os("EVERFOLD_PG_BIN") {
            command.arg("--pg-bin").arg(dir);
        }
        if let Some(url) = database_url {
            command.env("DATABASE_URL", url);
        }
        let mut child = command.spawn().unwrap();
        let client = Client::new(ready(&mut child).await);
        Self { child, client }
    }

    /// The most memory that the host has had, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Ends the host as an operator does, and waits for its end, which must be an orderly one.
    pub(crate) async fn terminate(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let status = self.child.wait().await.unwrap();
        assert!(status.success(), "{status}");
    }

    /// Ends the host as a power cut does.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

impl Deref for HostProcess {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// The real binary, without what is set for the tests.
pub(crate) fn everfold() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everfold"));
    for (name, _) in std::env::vars_os() {
        // What is set for the tests isn't meant for their hosts.
        if name.to_string_lossy().starts_with("EVERFOLD_") || name == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    command.kill_on_drop(true);
    command
}

/// Reads what the host logs until it names its address; the rest is read so that the host never waits for a reader.
async fn ready(child: &mut Child) -> String {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some((_, url)) = line.split_once("ready: ") {
            let url = url.split_whitespace().next().unwrap().to_owned();
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return url;
        }
        said.push(line);
    }
    panic!("the host ended before it was ready: {said:#?}");
}
