//! A console session: a folder of its own, a host, and what each command does.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use everfold::runtime::Engine;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::Value;
use tempfile::TempDir;

use super::shell;
use super::text::{Placeholders, lay_out};
use crate::support::process::HostProcess;

/// Where the page says that the host is. The one of the test is elsewhere, where nobody else is.
const ADDRESSES: [&str; 2] = ["localhost:7400", "127.0.0.1:7400"];

pub(super) struct Session {
    /// Stands for a checkout of Everfold in which modules and host have been built.
    home: TempDir,
    host: Option<HostProcess>,
    placeholders: Placeholders,
}

impl Session {
    pub(super) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join("target")).unwrap();
        let guests = super::guests_folder().canonicalize().expect("modules are there: run `cargo xtask guests`");
        std::os::unix::fs::symlink(guests, home.path().join("target/guests")).unwrap();
        Self { home, host: None, placeholders: Placeholders::default() }
    }

    /// Runs a command and answers what the page shows of its output.
    pub(super) async fn run(&mut self, command: &str) -> String {
        let command = self.placeholders.resolve(command);
        assert!(!Placeholders::are_in(&command), "nothing that was said before is meant by a placeholder: {command}");
        let words = shell::split(&command);
        let said = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["everfold", "serve"] => self.serve().await,
            ["curl", ref arguments @ ..] => self.curl(arguments).await,
            _ => self.shell(&command),
        };
        if let ["cp", file, "modules/"] = words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            self.until_active(file).await;
        }
        lay_out(&self.placeholders.put(&said))
    }

    /// Stops the host, as Ctrl-C does.
    pub(super) async fn end(self) {
        self.host.expect("the page starts a host").terminate().await;
    }

    /// Starts the host. Of its log, only where it is is shown.
    async fn serve(&mut self) -> String {
        assert!(self.host.is_none(), "one host is enough");
        self.host = Some(HostProcess::start(self.home.path(), None, &[]).await);
        format!("… ready: http://{}", ADDRESSES[1])
    }

    fn host(&self) -> &HostProcess {
        self.host.as_ref().expect("`everfold serve` comes first")
    }

    /// Does what curl does: a page need not be tested on a machine that has it.
    async fn curl(&self, arguments: &[&str]) -> String {
        let call = shell::Curl::parse(arguments);
        let path = ADDRESSES.iter().find_map(|address| {
            let url = call.url.strip_prefix("http://").unwrap_or(&call.url);
            url.strip_prefix(address)
        });
        let path = path.unwrap_or_else(|| panic!("{} isn't at {}", call.url, ADDRESSES[0]));
        let body = match call.body.strip_prefix('@') {
            Some(file) => std::fs::read(self.home.path().join(file)).unwrap(),
            None => call.body.clone().into_bytes(),
        };
        let method = Method::from_bytes(call.method.as_bytes()).unwrap();
        let mut request = self.host().request(method, path).body(body);
        for (name, value) in &call.headers {
            let (name, value) = (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap());
            request = request.header(name, value);
        }
        let response = request.send().await.unwrap();
        let is_text = response.headers().get(CONTENT_TYPE).is_none_or(|it| !it.to_str().unwrap().contains("image"));
        assert!(is_text, "{} answers no text", call.url);
        response.text().await.unwrap()
    }

    /// Anything else, by the shell.
    fn shell(&self, command: &str) -> String {
        let binary = Path::new(env!("CARGO_BIN_EXE_everfold")).parent().unwrap();
        let path = std::env::join_paths(
            std::iter::once(binary.to_owned()).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(self.home.path()).env("PATH", path.unwrap());
        if let Some(host) = &self.host {
            shell.env("EVERFOLD_URL", host.url());
        }
        let output = shell.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(output.status.success(), "{command}: {}\n{said}", output.status);
        said
    }

    /// What a reader's look at the next line takes: the host has taken up the module.
    async fn until_active(&self, file: &str) {
        let digest = Engine::digest(&std::fs::read(self.home.path().join(file)).unwrap()).to_string();
        let begin = Instant::now();
        loop {
            let modules = self.host().get("/v1/modules").await.ok();
            let is_it = |module: &Value| module["digest"] == digest.as_str() && module["state"] == "active";
            if modules["modules"].as_array().unwrap().iter().any(is_it) {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "{file} isn't active: {modules}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
