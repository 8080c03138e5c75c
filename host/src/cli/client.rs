//! The command line's client of a running host: where it is, what it answers, and how that is told.

use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// How long a host may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// How long an answer that isn't a stream may take.
const ANSWER: Duration = Duration::from_secs(60);

/// How long a stream may be silent: longer than a host waits before it gives up on its own requests.
const SILENCE: Duration = Duration::from_secs(90);

/// Which host, and whose events there.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Host {
    /// The host's address
    #[arg(long, env = "EVERFOLD_URL", default_value = "http://127.0.0.1:7400")]
    pub(super) url: Url,
    /// Whose events
    #[arg(long, default_value = "default")]
    pub(super) tenant: String,
}

/// A client of one host.
#[derive(Debug, Clone)]
pub(super) struct Client {
    host: Host,
    http: reqwest::Client,
}

/// A problem that the host answered, as RFC 9457 has it.
#[derive(Debug, Clone, Deserialize, thiserror::Error)]
#[error("{code} ({status}): {detail}")]
pub(super) struct Problem {
    pub(super) code: String,
    pub(super) status: u16,
    pub(super) detail: String,
}

impl Problem {
    /// Whether the host, or its database, can't do anything just now, whatever it is asked.
    pub(super) fn is_of_circumstances(&self) -> bool {
        matches!(self.status, 429 | 503 | 504)
    }
}

/// An answer that ended before it was complete.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct BrokenOff(pub(super) &'static str);

/// Whether the same request may go better a moment later: what a host refuses stays refused.
pub(super) fn may_pass(error: &anyhow::Error) -> bool {
    let is_refused = error.downcast_ref::<Problem>().map(|problem| !problem.is_of_circumstances());
    let is_of_the_way = || error.is::<reqwest::Error>() || error.is::<BrokenOff>();
    is_refused.map_or_else(is_of_the_way, |is_refused| !is_refused)
}

/// Runs a verb that talks to a host.
pub(super) fn run<T>(verb: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.context("no runtime")?;
    let done = runtime.block_on(verb);
    // A read of the standard input can't be given up: it isn't waited for.
    runtime.shutdown_background();
    done
}

impl Client {
    /// A client of this host; nothing is sent yet.
    pub(super) fn new(host: &Host) -> anyhow::Result<Self> {
        // An earlier client of this process may have set it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(concat!("everfold/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .build()
            .context("no HTTP client")?;
        Ok(Self { host: host.clone(), http })
    }

    /// Reads JSON at a path, given by its parts, which may hold any text.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<T> {
        let response = self.send(self.request(Method::GET, path, query)?.timeout(ANSWER)).await?;
        let bytes = response.bytes().await.with_context(|| self.broke_off())?;
        serde_json::from_slice(&bytes).with_context(|| self.is_no_host())
    }

    /// Begins to read lines at a path.
    pub(super) async fn get_lines(&self, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<Response> {
        let request = self.request(Method::GET, path, query)?.header("accept", "application/x-ndjson");
        self.send(request).await
    }

    /// Sends lines to a path, and begins to read the lines of the answer.
    pub(super) async fn post_lines(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        lines: Body,
    ) -> anyhow::Result<Response> {
        let request = self.request(Method::POST, path, query)?.header("content-type", "application/x-ndjson");
        self.send(request.body(lines)).await
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<RequestBuilder> {
        let mut url = self.host.url.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => segments.pop_if_empty().extend(path),
            Err(()) => bail!("{} is no address of a host: use one such as http://127.0.0.1:7400", self.host.url),
        };
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(self.http.request(method, url).header("everfold-tenant", &self.host.tenant))
    }

    /// The answer, unless it is a problem.
    async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let response = request.send().await.with_context(|| {
            format!("no answer from {}: is a host there? (--url or EVERFOLD_URL names another)", self.host.url)
        })?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let status = response.status();
        let bytes = response.bytes().await.with_context(|| self.broke_off())?;
        match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => Err(problem.into()),
            Err(_) => bail!("{} answered {status}", self.is_no_host()),
        }
    }

    fn broke_off(&self) -> String {
        format!("the answer of {} broke off", self.host.url)
    }

    fn is_no_host(&self) -> String {
        format!("{} isn't a host of this version, or something stands before it", self.host.url)
    }
}
