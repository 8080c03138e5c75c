//! A whole host for a test: a database, modules, and the HTTP API on a port of its own.

use std::num::NonZeroUsize;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use everfold::http::{HttpOptions, Rooms, router, serve};
use everfold::model::EveryN;
use everfold::modules::{Modules, ModulesOptions, UpdateMode};
use everfold::pipeline::{Pipeline, PipelineOptions, QuarantineOptions};
use everfold::runtime::{ActiveModules, Engine};
use everfold::store::{Store, StoreOptions, Writer, WriterOptions};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::description;
use super::guests::{engine, wasm};
use super::postgres::TestDatabase;

/// Connections to PostgreSQL that a host has beside its writer's.
pub(crate) const READ_CONNECTIONS: u32 = 4;

/// A host that ends with the test.
pub(crate) struct TestHost {
    client: Client,
    _shutdown: DropGuard,
    modules: TempDir,
}

/// What a host reaches, and how it is sized.
pub(crate) struct Setup {
    pub(crate) connect: PgConnectOptions,
    pub(crate) http: HttpOptions,
    pub(crate) writer: WriterOptions,
    pub(crate) pipeline: PipelineOptions,
    pub(crate) engine: Engine,
    /// Positions that one page of a read looks at.
    pub(crate) scan_limit: i64,
}

impl Setup {
    /// A small host with the defaults of its rooms.
    pub(crate) fn new(connect: PgConnectOptions) -> Self {
        let (http, writer) = (HttpOptions::default(), WriterOptions::default());
        let scan_limit = StoreOptions::new(connect.clone()).scan_limit;
        Self { connect, http, writer, pipeline: pipeline_options(), engine: engine(), scan_limit }
    }
}

/// A client of a host's HTTP API, which its host can be used as.
pub(crate) struct Client {
    url: String,
    http: reqwest::Client,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) etag: Option<String>,
    pub(crate) retry_after: Option<String>,
    pub(crate) content_type: String,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl TestHost {
    /// Starts a host on the database with these guests as its modules.
    pub(crate) async fn start(database: &TestDatabase, guests: &[&str]) -> Self {
        Self::with_options(database, guests, HttpOptions::default()).await
    }

    /// Starts a host with other limits and times.
    pub(crate) async fn with_options(database: &TestDatabase, guests: &[&str], options: HttpOptions) -> Self {
        Self::launch(Setup { http: options, ..Setup::new(database.options()) }, guests).await
    }

    /// Starts a host as it is set up.
    pub(crate) async fn launch(setup: Setup, guests: &[&str]) -> Self {
        let modules_dir = tempfile::tempdir().unwrap();
        for name in guests {
            std::fs::write(modules_dir.path().join(format!("{name}.wasm")), wasm(name)).unwrap();
        }
        let (engine, active, shutdown) = (setup.engine, ActiveModules::new(), CancellationToken::new());
        let (read_connections, scan_limit) = (READ_CONNECTIONS, setup.scan_limit);
        let store = Store::new(&StoreOptions { read_connections, scan_limit, ..StoreOptions::new(setup.connect) });
        let (writer, _) = Writer::start(store.clone(), setup.writer);
        let registry = Arc::new(store.clone());
        let watched = Modules::start(modules_options(modules_dir.path()), engine.clone(), active.clone(), registry);
        let (modules, watcher) = watched.await.unwrap();
        tokio::spawn(watcher.run(shutdown.clone()));
        let (pipeline, _) = Pipeline::start(&setup.pipeline, &store, &writer, &engine, &active).unwrap();
        let options = Arc::new(setup.http);
        let metrics = Arc::new(String::new);
        let rooms = Rooms { pipeline, store, modules, metrics, options: options.clone() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let token = shutdown.clone();
        tokio::spawn(async move { serve(listener, router(rooms.into()), &options, token).await });
        Self { client: Client::new(url), _shutdown: shutdown.drop_guard(), modules: modules_dir }
    }

    /// Puts a file into the modules directory in one step, as a careful tool does.
    pub(crate) fn put_module(&self, file: &str, content: &[u8]) {
        let hidden = self.modules.path().join(format!(".{file}.part"));
        std::fs::write(&hidden, content).unwrap();
        std::fs::rename(hidden, self.modules.path().join(file)).unwrap();
    }

    /// Waits until this module serves.
    pub(crate) async fn until_active(&self, wasm: &[u8]) {
        let digest = Value::from(Engine::digest(wasm).to_string());
        self.until_modules("it serves", |modules| {
            modules.iter().any(|module| module["state"] == "active" && module["digest"] == digest)
        })
        .await;
    }

    /// Waits until the list of modules is as it should be.
    pub(crate) async fn until_modules(&self, what: &str, is_so: impl Fn(&[Value]) -> bool) {
        let begin = Instant::now();
        loop {
            let modules = self.get("/v1/modules").await.ok()["modules"].take();
            if is_so(modules.as_array().unwrap()) {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "{what}: {modules:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Removes a file from the modules directory.
    pub(crate) fn remove_module(&self, file: &str) {
        std::fs::remove_file(self.modules.path().join(file)).unwrap();
    }
}

impl Deref for TestHost {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Client {
    /// A client of the host at this URL.
    pub(crate) fn new(url: String) -> Self {
        // Its TLS has no provider of its own; another client may have set it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { url, http: reqwest::Client::new() }
    }

    /// Where the host is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A request to a path of this host.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).timeout(Duration::from_secs(60))
    }

    /// Reads a path.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    /// Sends a command to a stream, given as `type/id`.
    pub(crate) async fn command(&self, stream: &str, name: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(Method::POST, &format!("/v1/aggregates/{stream}/commands/{name}"), headers, body).await
    }

    /// Appends events to a stream, given as `type/id`, as they are.
    pub(crate) async fn append(&self, stream: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(Method::POST, &format!("/v1/streams/{stream}/events"), headers, body).await
    }

    /// Sends any request.
    pub(crate) async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let request = headers
            .iter()
            .fold(self.request(method.clone(), path), |request, (name, value)| request.header(*name, *value));
        let answer = Answer::of(request.body(body.to_owned()).send().await.unwrap()).await;
        description::check(&method, path, &answer);
        answer
    }
}

impl Answer {
    async fn of(response: Response) -> Self {
        let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        Self {
            status: response.status().as_u16(),
            etag: header("etag"),
            retry_after: header("retry-after"),
            content_type: header("content-type").unwrap_or_default(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    /// A header that must be there.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {:?}", self.headers));
        value.to_str().unwrap()
    }

    /// The body, whatever the status is.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The body of a request that went well.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()
    }

    /// The problem, which must have this status and code.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.content_type, "application/problem+json", "{}", self.text);
        let problem = self.json();
        assert_eq!((self.status, &problem["code"]), (status, &code.into()), "{problem}");
        problem
    }
}

fn pipeline_options() -> PipelineOptions {
    PipelineOptions {
        shards: NonZeroUsize::new(2).unwrap(),
        residents: NonZeroUsize::new(64).unwrap(),
        queue: 1000,
        max_events: 1000,
        max_payload_bytes: 1 << 20,
        snapshots: Arc::new(EveryN::default()),
        quarantine: QuarantineOptions::default(),
    }
}

fn modules_options(dir: &Path) -> ModulesOptions {
    ModulesOptions { dir: dir.to_owned(), poll_interval: Duration::from_millis(200), mode: UpdateMode::Auto }
}
