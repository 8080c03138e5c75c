//! A whole host for a test: a database, modules, and the HTTP API on a port of its own.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use everfold::http::{Api, HttpOptions, router, serve};
use everfold::model::EveryN;
use everfold::modules::{Modules, ModulesOptions, UpdateMode};
use everfold::pipeline::{Pipeline, PipelineOptions};
use everfold::runtime::ActiveModules;
use everfold::store::{Store, StoreOptions, Writer, WriterOptions};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::guests::{engine, wasm};
use super::postgres::TestDatabase;

/// A host that ends with the test.
pub(crate) struct TestHost {
    url: String,
    client: reqwest::Client,
    _shutdown: DropGuard,
    _modules: TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) etag: Option<String>,
    pub(crate) content_type: String,
    pub(crate) text: String,
}

impl TestHost {
    /// Starts a host on the database with these guests as its modules.
    pub(crate) async fn start(database: &TestDatabase, guests: &[&str]) -> Self {
        Self::with_options(database, guests, HttpOptions::default()).await
    }

    /// Starts a host with other limits and times.
    pub(crate) async fn with_options(database: &TestDatabase, guests: &[&str], options: HttpOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in guests {
            std::fs::write(dir.path().join(format!("{name}.wasm")), wasm(name)).unwrap();
        }
        let (engine, active, shutdown) = (engine(), ActiveModules::new(), CancellationToken::new());
        let store = Store::new(&StoreOptions { read_connections: 4, ..StoreOptions::new(database.options()) });
        let (writer, _) = Writer::start(store.clone(), WriterOptions::default());
        let registry = Arc::new(store.clone());
        let watched = Modules::start(modules_options(dir.path()), engine.clone(), active.clone(), registry);
        let (modules, watcher) = watched.await.unwrap();
        tokio::spawn(watcher.run(shutdown.clone()));
        let (pipeline, _) = Pipeline::start(&pipeline_options(), &store, &writer, &engine, &active).unwrap();
        let options = Arc::new(options);
        let api = Api { pipeline, store, modules, options: options.clone() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let token = shutdown.clone();
        tokio::spawn(async move { serve(listener, router(api), &options, token).await });
        Self { url, client: reqwest::Client::new(), _shutdown: shutdown.drop_guard(), _modules: dir }
    }

    /// A request to a path of this host.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).timeout(Duration::from_secs(60))
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
        let request =
            headers.iter().fold(self.request(method, path), |request, (name, value)| request.header(*name, *value));
        Answer::of(request.body(body.to_owned()).send().await.unwrap()).await
    }
}

impl Answer {
    async fn of(response: Response) -> Self {
        let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        Self {
            status: response.status().as_u16(),
            etag: header("etag"),
            content_type: header("content-type").unwrap_or_default(),
            text: response.text().await.unwrap(),
        }
    }

    /// The body of a request that went well.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        serde_json::from_str(&self.text).unwrap()
    }

    /// The problem, which must have this status and code.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.content_type, "application/problem+json", "{}", self.text);
        let problem: Value = serde_json::from_str(&self.text).unwrap();
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
        snapshots: Arc::new(EveryN::default()),
    }
}

fn modules_options(dir: &Path) -> ModulesOptions {
    ModulesOptions { dir: dir.to_owned(), poll_interval: Duration::from_millis(200), mode: UpdateMode::Auto }
}
