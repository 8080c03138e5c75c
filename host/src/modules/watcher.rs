//! The watch over the modules directory: looks at it when it changes and now and then, and publishes what passes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::directory::{self, Seen};
use super::file::{File, Verdict};
use super::handle::{Modules, ModulesOptions, UpdateMode};
use super::registry::ModuleRegistry;
use super::selection::{Candidate, Selection, select};
use super::status::{ModuleState, ModuleStatus};
use super::{metrics, report};
use crate::model::Digest;
use crate::runtime::{ActiveModules, Engine, LoadError, Module};

/// Time between the looks that tell whether a file is complete.
const SETTLE: Duration = Duration::from_millis(100);

/// How long a module's registration in the log may take, before it is tried again later.
const REGISTERING: Duration = Duration::from_secs(30);

/// The task that watches.
pub struct ModulesWatcher {
    options: ModulesOptions,
    engine: Engine,
    active: ActiveModules,
    registry: Arc<dyn ModuleRegistry>,
    handle: Modules,
    changed: Arc<Notify>,
    _events: Option<RecommendedWatcher>,
    files: BTreeMap<String, File>,
}

impl ModulesWatcher {
    pub(super) fn new(
        options: ModulesOptions,
        engine: Engine,
        active: ActiveModules,
        registry: Arc<dyn ModuleRegistry>,
        handle: Modules,
    ) -> Self {
        let changed = Arc::new(Notify::new());
        let _events = watch(&options, Arc::clone(&changed));
        Self { options, engine, active, registry, handle, changed, _events, files: BTreeMap::new() }
    }

    /// Two looks: the second judges what the first saw.
    pub(super) async fn first_looks(&mut self) -> io::Result<()> {
        self.look().await?;
        if !self.files.is_empty() {
            tokio::time::sleep(SETTLE).await;
            self.look().await?;
        }
        Ok(())
    }

    /// Watches until the token is cancelled.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut readable = true;
        loop {
            let unsettled = self.files.values().any(File::is_unsettled);
            let pause = if unsettled { SETTLE.min(self.options.poll_interval) } else { self.options.poll_interval };
            tokio::select! {
                () = shutdown.cancelled() => return,
                // Writing goes on for a while after the first event of it.
                () = self.changed.notified() => tokio::time::sleep(SETTLE).await,
                () = tokio::time::sleep(pause) => {}
            }
            let looked = tokio::select! {
                () = shutdown.cancelled() => return,
                looked = self.look() => looked,
            };
            match looked {
                Ok(()) => readable = true,
                Err(error) if readable => {
                    readable = false;
                    let dir = self.options.dir.display();
                    tracing::warn!(%dir, %error, "the modules directory can't be read; the active modules serve on");
                }
                Err(_) => {}
            }
        }
    }

    /// One look: judges complete files, chooses, publishes.
    async fn look(&mut self) -> io::Result<()> {
        let dir = self.options.dir.clone();
        let seen = spawn_blocking(move || directory::list(&dir)).await.map_err(io::Error::other)??;
        let now = Instant::now();
        self.files.retain(|name, file| seen.iter().any(|seen| seen.name == *name) || !file.missed());
        let mut complete = Vec::new();
        for seen in seen {
            match self.files.get_mut(&seen.name) {
                Some(file) => complete.extend(file.seen_again(&seen, now).then_some(seen)),
                None => drop(self.files.insert(seen.name.clone(), File::new(&seen, now))),
            }
        }
        for seen in complete {
            self.judge(seen).await;
        }
        self.publish();
        Ok(())
    }

    /// Loads and registers the module of a complete file.
    async fn judge(&mut self, seen: Seen) {
        let name = seen.name.clone();
        let judged = match self.load(seen).await {
            Ok(Ok(module)) => self.register(module).await,
            Ok(Err(error)) => Judged::NotLoaded(error),
            Err(error) => Judged::Waits(format!("it can't be read: {error}")),
        };
        let Some(file) = self.files.get_mut(&name) else { return };
        match judged {
            Judged::Accepted(module) => file.accept(module),
            Judged::Refused(reason, module) => file.verdict = Some(Verdict::Refused(reason, Some(module))),
            Judged::NotLoaded(error) => file.refuse_load(&error, Instant::now()),
            Judged::Waits(reason) => file.wait(reason),
        }
    }

    /// Reads and compiles off the asynchronous threads. A module that is known by its digest isn't compiled again.
    async fn load(&self, seen: Seen) -> io::Result<Result<Arc<Module>, LoadError>> {
        let engine = self.engine.clone();
        let accepted = self.files.values().filter_map(|file| file.accepted.as_ref());
        let known: BTreeMap<Digest, Arc<Module>> =
            accepted.map(|(module, _)| (module.digest(), Arc::clone(module))).collect();
        let load = move || {
            let Some(wasm) = directory::read(&seen)? else {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "it changed while it was read"));
            };
            Ok(match known.get(&Engine::digest(&wasm)) {
                Some(module) => Ok(Arc::clone(module)),
                None => {
                    let begun = Instant::now();
                    let loaded = engine.load(&wasm);
                    metrics::LOAD_SECONDS.record(begun.elapsed());
                    loaded
                }
            })
        };
        spawn_blocking(load).await.map_err(io::Error::other)?
    }

    /// Makes a module known to the log.
    async fn register(&self, module: Arc<Module>) -> Judged {
        let descriptor = module.descriptor();
        let registered = match timeout(REGISTERING, self.registry.register(descriptor, module.digest())).await {
            Ok(Ok(registered)) => registered,
            Ok(Err(error)) => return Judged::Waits(format!("it can't be registered in the log: {error}")),
            // A network that has fallen silent must not be the end of all updates.
            Err(_) => {
                return Judged::Waits("it can't be registered in the log: the database doesn't answer".to_owned());
            }
        };
        match (self.options.mode, registered.other_digest) {
            (UpdateMode::Manual, Some(other)) => {
                let (name, version, digest) = (&descriptor.name, &descriptor.version, module.digest());
                let reason = format!(
                    "module {name} {version} is known with digest {other}, and this file has {digest}: give the changed \
                     module a new version"
                );
                Judged::Refused(reason, module)
            }
            _ => Judged::Accepted(module),
        }
    }

    /// Chooses among the accepted modules, publishes the choice if it's another, and updates the status.
    fn publish(&self) {
        let current = self.active.current();
        let candidates = self.files.iter().filter_map(|(file, state)| {
            let (module, modified) = state.accepted.as_ref()?;
            Some(Candidate { file: file.clone(), modified: *modified, module: Arc::clone(module) })
        });
        let selection = select(candidates.collect(), &current);
        let modules = selection.modules();
        if digests(&modules) != digests(current.modules()) {
            let next = self.active.publish(modules);
            report::swap(&current, &next);
        }
        self.update_status(&selection);
    }

    fn update_status(&self, selection: &Selection) {
        let before = self.handle.status();
        let now = OffsetDateTime::now_utc();
        let unchosen = self.files.iter().filter_map(|(name, file)| {
            let (state, module) = match &file.verdict {
                Some(Verdict::Accepted) => return None,
                Some(Verdict::Refused(reason, module)) => {
                    (ModuleState::Refused { reason: reason.clone() }, module.as_deref())
                }
                None => (ModuleState::Pending { reason: file.waits_for().to_owned() }, None),
            };
            Some(ModuleStatus::of_file(name, module, state, now))
        });
        let mut status: Vec<_> = ModuleStatus::of_selection(selection, now).chain(unchosen).collect();
        status.sort_by(|a, b| a.file.cmp(&b.file));
        for file in &mut status {
            if !file.keep_time(&before) {
                report::status(file);
            }
        }
        report::files(&status);
        self.handle.set_status(status);
    }
}

/// What came of judging a file.
enum Judged {
    Accepted(Arc<Module>),
    Refused(String, Arc<Module>),
    NotLoaded(LoadError),
    Waits(String),
}

fn digests(modules: &[Arc<Module>]) -> BTreeSet<Digest> {
    modules.iter().map(|module| module.digest()).collect()
}

/// Wakes the watch when something in the directory was written, moved or removed. Without events the polls remain.
fn watch(options: &ModulesOptions, changed: Arc<Notify>) -> Option<RecommendedWatcher> {
    let wake = move |event: notify::Result<notify::Event>| {
        // Reading a file is an event too, and the watch itself reads.
        let is_change = event.is_ok_and(|event| !matches!(event.kind, EventKind::Access(_)));
        if is_change {
            changed.notify_one();
        }
    };
    let watcher = notify::recommended_watcher(wake).and_then(|mut watcher| {
        watcher.watch(&options.dir, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watcher
        .inspect_err(|error| {
            let dir = options.dir.display();
            let every = options.poll_interval;
            tracing::warn!(%dir, %error, "no events of the modules directory; it's looked at every {every:?} instead");
        })
        .ok()
}
