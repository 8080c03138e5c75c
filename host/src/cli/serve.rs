//! `everfold serve`: the rooms started in order, and stopped in the reverse one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use sqlx::postgres::PgConnectOptions;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::cluster::{self, Cluster};
use crate::config::{ModulesMode, Settings};
use crate::http::{self, HttpOptions, Rooms};
use crate::model::EveryN;
use crate::modules::{Modules, ModulesOptions, UpdateMode};
use crate::pipeline::{Pipeline, PipelineOptions, QuarantineOptions};
use crate::runtime::{ActiveModules, Engine, EngineOptions, Limits, WasiPolicy};
use crate::store::{self, Store, StoreOptions, Writer, WriterOptions};

/// How often receipts beyond their time are looked for.
const RECEIPTS_REMOVAL: Duration = Duration::from_secs(3600);

/// How long appends whose callers have their answers may take to be settled when the host ends.
const SETTLE_GRACE: Duration = Duration::from_secs(5);

pub(super) fn run(settings: Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("no runtime")?;
    let served = runtime.block_on(serve(&settings));
    // Without a database there may be threads that would be waited for in vain.
    runtime.shutdown_background();
    served
}

async fn serve(settings: &Settings) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    tokio::spawn(cancel_on_signal(shutdown.clone()));

    let listener = listen(settings).await?;
    let address = listener.local_addr()?;
    let metrics = super::metrics::install()?;
    tokio::spawn(metrics.clone().upkeep());
    let database = Database::open(settings).await?;
    let steps = tokio::select! {
        steps = store::migrate(database.options()) => steps?,
        () = shutdown.cancelled() => {
            tracing::info!("stopped before the schema was looked at");
            database.close().await;
            return Ok(());
        }
    };
    if steps > 0 {
        tracing::info!(steps, "the schema was brought up to date");
    }

    let store = Store::new(&StoreOptions {
        read_connections: settings.database_connections.get(),
        ..StoreOptions::new(database.options().clone())
    });
    let (writer, mut writer_task) = Writer::start(store.clone(), writer_options(settings));
    let engine = Engine::new(engine_options(settings))?;
    let active = ActiveModules::new();
    let registry = Arc::new(store.clone());
    let (modules, watcher) =
        Modules::start(modules_options(settings), engine.clone(), active.clone(), registry).await?;
    let watcher = tokio::spawn(watcher.run(shutdown.clone()));
    let (pipeline, pipeline_tasks) =
        Pipeline::start(&pipeline_options(settings), &store, &writer, &engine, &active).context("no threads")?;
    let receipts = tokio::spawn(remove_receipts(store.clone(), settings.receipts_retention_days.get()));

    let options = Arc::new(http_options(settings));
    tokio::spawn(store.clone().observe());
    let metrics = Arc::new(move || metrics.render());
    let rooms = Rooms { pipeline, store: store.clone(), modules, metrics, options: options.clone() };
    let router = http::router(rooms.into());
    tracing::info!(%address, modules = %settings.modules_dir.display(), "ready: http://{address}");
    tokio::select! {
        () = http::serve(listener, router, &options, shutdown.clone()) => {}
        // It ends by itself only after the last handle is dropped.
        ended = &mut writer_task => bail!("the writer has failed: {ended:?}"),
    }

    // What was accepted is answered by now. The router held the last handle of the pipeline, the shards hold writers.
    tracing::info!("stopping");
    shutdown.cancel();
    receipts.abort();
    let _ = watcher.await;
    let settled = async {
        drop(writer);
        pipeline_tasks.ended().await;
        let _ = writer_task.await;
        store.close().await;
    };
    if timeout(SETTLE_GRACE, settled).await.is_err() {
        tracing::warn!("stopping while the database is away: what was out stays unsettled, its callers know");
    }
    database.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// The database of the log: one that was named, or the host's own.
pub(super) struct Database {
    options: PgConnectOptions,
    cluster: Option<Cluster>,
}

impl Database {
    /// Finds the database, and starts it where it is the host's own.
    pub(super) async fn open(settings: &Settings) -> anyhow::Result<Self> {
        if let Some(url) = &settings.database_url {
            return Self::at(url.expose());
        }
        let binaries = cluster::locate(settings.pg_bin.as_deref())?;
        tracing::info!(data_dir = %settings.data_dir.display(), "no DATABASE_URL: running a private PostgreSQL");
        let cluster = Cluster::start(cluster::Options::new(&settings.data_dir, binaries)).await?;
        let options = cluster.url().parse().context("the cluster's URL can't be read")?;
        Ok(Self { options, cluster: Some(cluster) })
    }

    /// A database that is there already.
    pub(super) fn at(url: &str) -> anyhow::Result<Self> {
        let options = url.parse().context("the database URL can't be read")?;
        Ok(Self { options, cluster: None })
    }

    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    pub(super) async fn close(self) {
        if let Some(cluster) = self.cluster {
            cluster.shutdown().await;
        }
    }
}

/// Takes the address before anything else is started: a second host on it ends here.
async fn listen(settings: &Settings) -> anyhow::Result<TcpListener> {
    let address = settings.listen;
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("can't listen on {address} (setting `listen`)"))?;
    if !address.ip().is_loopback() {
        tracing::warn!(
            %address,
            "LISTENING BEYOND THIS MACHINE: Everfold has no credentials yet, whoever reaches this address reads and \
             writes every tenant; put a proxy that authenticates in front of it"
        );
    }
    Ok(listener)
}

/// The first signal stops the host in order, the second at once.
async fn cancel_on_signal(shutdown: CancellationToken) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::error!("signals can't be caught: the host ends without finishing what it has");
        return;
    };
    let mut next = async || tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} };
    next().await;
    shutdown.cancel();
    next().await;
    tracing::warn!("stopped at once by a second signal");
    std::process::exit(130);
}

async fn remove_receipts(store: Store, days: u32) {
    let retention = Duration::from_secs(u64::from(days) * 24 * 3600);
    let mut turn = tokio::time::interval(RECEIPTS_REMOVAL);
    loop {
        turn.tick().await;
        match store.remove_expired_receipts(retention).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, days, "receipts beyond their time were removed"),
            Err(error) => tracing::warn!(%error, "receipts can't be removed now"),
        }
    }
}

fn writer_options(settings: &Settings) -> WriterOptions {
    WriterOptions {
        queue: settings.writer_queue.get(),
        batch_events: settings.writer_max_events.get(),
        batch_bytes: settings.writer_max_bytes.get(),
        ..WriterOptions::default()
    }
}

pub(super) fn engine_options(settings: &Settings) -> EngineOptions {
    let memory_bytes = settings.guest_memory_limit_bytes.get();
    let limits = Limits {
        memory_bytes,
        // A quarter is left for what one call needs on top.
        high_water_bytes: memory_bytes / 4 * 3,
        decide_deadline: Duration::from_millis(settings.guest_decide_ms.get()),
        apply_deadline: Duration::from_millis(settings.guest_apply_ms.get()),
        decision_events: settings.max_events_per_append.get(),
        payload_bytes: settings.max_payload_bytes.get(),
        ..Limits::default()
    };
    EngineOptions {
        cache_dir: Some(settings.data_dir.join("compiled")),
        limits,
        wasi: WasiPolicy::Modules(settings.wasi_modules.iter().cloned().collect()),
        ..EngineOptions::default()
    }
}

fn modules_options(settings: &Settings) -> ModulesOptions {
    ModulesOptions {
        dir: settings.modules_dir.clone(),
        poll_interval: Duration::from_millis(settings.modules_poll_ms.get()),
        mode: match settings.modules_mode {
            ModulesMode::Auto => UpdateMode::Auto,
            ModulesMode::Manual => UpdateMode::Manual,
        },
    }
}

fn pipeline_options(settings: &Settings) -> PipelineOptions {
    PipelineOptions {
        shards: settings.shards,
        residents: settings.residents,
        queue: settings.writer_queue.get(),
        max_events: settings.max_events_per_append.get(),
        max_payload_bytes: settings.max_payload_bytes.get(),
        snapshots: Arc::new(EveryN {
            default_interval: u32::try_from(settings.snapshot_interval.get()).unwrap_or(u32::MAX),
        }),
        quarantine: QuarantineOptions {
            stream_faults: settings.quarantine_after_faults,
            module_faults: settings.breaker_after_faults,
            pause: Duration::from_millis(settings.quarantine_ms.get()),
        },
    }
}

fn http_options(settings: &Settings) -> HttpOptions {
    HttpOptions {
        max_body_bytes: settings.max_body_bytes.get(),
        max_bodies_bytes: settings.max_bodies_bytes.get(),
        max_connections: settings.max_connections.get(),
        max_page_limit: i64::from(settings.max_page_limit.get()),
        default_timeout: Duration::from_millis(settings.command_timeout_ms.get()),
        max_timeout: Duration::from_millis(settings.command_timeout_max_ms.get()),
        ready_needs_all_modules: settings.ready_needs_all_modules,
        shutdown_grace: Duration::from_secs(settings.shutdown_grace_seconds),
        ..HttpOptions::default()
    }
}
