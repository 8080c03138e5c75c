//! The modules directory: updates are taken, bad files are not, and what serves serves on.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use everfold::model::{AggregateType, Digest, ModuleDescriptor};
use everfold::modules::{
    ModuleRegistry, ModuleState, ModuleStatus, Modules, ModulesOptions, ModulesWatcher, UpdateMode,
};
use everfold::runtime::{ActiveModules, Engine};
use everfold::store::{Registered, StoreError};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::guests;

/// A registry in memory, which can be out of order.
#[derive(Default)]
struct Registry {
    known: Mutex<Vec<(String, String, Digest)>>,
    down: Mutex<bool>,
}

impl ModuleRegistry for Registry {
    fn register<'a>(
        &'a self,
        module: &'a ModuleDescriptor,
        digest: Digest,
    ) -> BoxFuture<'a, Result<Registered, StoreError>> {
        async move {
            if *self.down.lock().unwrap() {
                return Err(StoreError::Corrupt("out of order".to_owned()));
            }
            let mut known = self.known.lock().unwrap();
            let first = known.iter().find(|(name, version, _)| *name == module.name && *version == module.version);
            let other_digest = first.map(|known| known.2).filter(|other| *other != digest);
            known.push((module.name.clone(), module.version.clone(), digest));
            Ok(Registered { other_digest })
        }
        .boxed()
    }
}

/// A host's modules directory.
struct Host {
    dir: TempDir,
    active: ActiveModules,
    registry: Arc<Registry>,
    modules: Modules,
    shutdown: CancellationToken,
    watch: JoinHandle<()>,
}

impl Host {
    async fn start(mode: UpdateMode, files: &[(&str, &[u8])]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            put(dir.path(), name, content);
        }
        let (active, registry) = (ActiveModules::new(), Arc::new(Registry::default()));
        let options = ModulesOptions { dir: dir.path().to_owned(), poll_interval: Duration::from_millis(200), mode };
        let registry_of_host: Arc<dyn ModuleRegistry> = registry.clone();
        let (modules, watcher): (Modules, ModulesWatcher) =
            Modules::start(options, guests::engine(), active.clone(), registry_of_host).await.unwrap();
        let shutdown = CancellationToken::new();
        let watch = tokio::spawn(watcher.run(shutdown.clone()));
        Self { dir, active, registry, modules, shutdown, watch }
    }

    fn put(&self, name: &str, content: &[u8]) {
        put(self.dir.path(), name, content);
    }

    fn digest_serving(&self, aggregate_type: &str) -> Option<Digest> {
        let aggregate_type = AggregateType::new(aggregate_type).unwrap();
        self.active.current().module_of(&aggregate_type).map(|module| module.digest())
    }

    fn status_of(&self, file: &str) -> Vec<ModuleStatus> {
        self.modules.status().iter().filter(|status| status.file == file).cloned().collect()
    }

    fn is_active(&self, file: &str) -> bool {
        self.status_of(file).iter().any(|status| status.state == ModuleState::Active)
    }

    fn refusal_of(&self, file: &str) -> Option<String> {
        self.status_of(file).into_iter().find_map(|status| match status.state {
            ModuleState::Refused { reason } => Some(reason),
            _ => None,
        })
    }

    async fn until<T>(&self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "{what}: {:#?}", self.modules.status());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(60), self.watch).await.unwrap().unwrap();
    }
}

/// Puts a file in place in one step, as a careful tool does.
fn put(dir: &Path, name: &str, content: &[u8]) {
    let hidden = dir.join(format!(".{name}.part"));
    fs::write(&hidden, content).unwrap();
    fs::rename(hidden, dir.join(name)).unwrap();
}

fn v1() -> Vec<u8> {
    guests::wasm("bank-account")
}

fn v1_1() -> Vec<u8> {
    guests::wasm("bank-account-v1.1")
}

/// The same module under another digest: a custom section says nothing.
fn rebuilt(mut wasm: Vec<u8>) -> Vec<u8> {
    wasm.extend([0, 2, 1, b'x']);
    wasm
}

#[tokio::test]
async fn what_is_there_at_start_serves_when_start_returns() {
    let host = Host::start(UpdateMode::Auto, &[("bank.wasm", &v1()), ("counter.wasm", &guests::wasm("counter"))]).await;
    assert_eq!(host.digest_serving("account"), Some(Engine::digest(&v1())));
    assert!(host.digest_serving("counter").is_some());
    assert_eq!(host.active.current().id(), 1, "all in one step");
    let [bank] = &host.status_of("bank.wasm")[..] else { panic!("one status") };
    assert_eq!((bank.name.as_deref(), &bank.aggregates[..]), (Some("bank-account"), &["account".to_owned()][..]));
    host.stop().await;
}

#[tokio::test]
async fn an_update_replaces_the_module_and_removing_it_brings_the_old_one_back() {
    let host = Host::start(UpdateMode::Auto, &[("a.wasm", &v1())]).await;
    host.put("b.wasm", &v1_1());
    host.until("b serves", |host| host.is_active("b.wasm").then_some(())).await;
    assert_eq!(host.digest_serving("account"), Some(Engine::digest(&v1_1())));
    assert_eq!(host.status_of("a.wasm")[0].state, ModuleState::Superseded);

    fs::remove_file(host.dir.path().join("b.wasm")).unwrap();
    host.until("a serves again", |host| host.is_active("a.wasm").then_some(())).await;
    fs::remove_file(host.dir.path().join("a.wasm")).unwrap();
    host.until("none serves", |host| host.digest_serving("account").is_none().then_some(())).await;
    host.stop().await;
}

#[tokio::test]
async fn a_bad_update_is_refused_and_the_old_content_serves_on() {
    let host = Host::start(UpdateMode::Auto, &[("bank.wasm", &v1())]).await;
    host.put("bank.wasm", &wat::parse_str("(module)").unwrap());
    let reason = host.until("refused", |host| host.refusal_of("bank.wasm")).await;
    assert!(reason.contains("everfold module componentize"), "{reason}");
    assert!(host.is_active("bank.wasm"), "its former content");
    assert_eq!(host.digest_serving("account"), Some(Engine::digest(&v1())));

    host.put("bank.wasm", &v1_1());
    host.until("mended", |host| (host.digest_serving("account") == Some(Engine::digest(&v1_1()))).then_some(())).await;
    assert_eq!(host.refusal_of("bank.wasm"), None);
    host.stop().await;
}

#[tokio::test]
async fn a_file_that_is_still_written_is_not_judged() {
    let host = Host::start(UpdateMode::Auto, &[]).await;
    let (wasm, path) = (v1(), host.dir.path().join("slow.wasm"));
    for end in (0..10).map(|tenth| wasm.len() * tenth / 10).chain([wasm.len()]) {
        fs::write(&path, &wasm[..end]).unwrap();
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(host.refusal_of("slow.wasm"), None, "at {end} bytes");
    }
    host.until("complete", |host| host.is_active("slow.wasm").then_some(())).await;
    host.put("garbage.wasm", b"garbage");
    let reason = host.until("garbage is told in the end", |host| host.refusal_of("garbage.wasm")).await;
    assert!(reason.contains("not a WebAssembly component"), "{reason}");
    host.stop().await;
}

#[tokio::test]
async fn touching_or_renaming_a_file_changes_nothing() {
    let host = Host::start(UpdateMode::Auto, &[("a.wasm", &v1())]).await;
    let generation = host.active.current().id();
    host.put("a.wasm", &v1());
    fs::rename(host.dir.path().join("a.wasm"), host.dir.path().join("b.wasm")).unwrap();
    host.until("renamed", |host| (host.is_active("b.wasm") && host.status_of("a.wasm").is_empty()).then_some(())).await;
    assert_eq!(host.active.current().id(), generation);
    host.stop().await;
}

#[tokio::test]
async fn an_aggregate_type_stays_with_the_module_that_serves_it() {
    let host = Host::start(UpdateMode::Auto, &[("bank.wasm", &v1())]).await;
    host.put("rival.wasm", &rival());
    let reason = host.until("refused", |host| host.refusal_of("rival.wasm")).await;
    assert!(reason.contains("module bunk-account") && reason.contains("module bank-account"), "{reason}");
    assert!(host.is_active("bank.wasm"));

    fs::remove_file(host.dir.path().join("bank.wasm")).unwrap();
    host.until("the rival takes over", |host| host.is_active("rival.wasm").then_some(())).await;
    host.stop().await;
}

#[tokio::test]
async fn a_version_stands_for_one_digest_in_manual_mode_only() {
    for (mode, taken) in [(UpdateMode::Auto, true), (UpdateMode::Manual, false)] {
        let host = Host::start(mode, &[("bank.wasm", &v1())]).await;
        host.put("bank.wasm", &rebuilt(v1()));
        let judged = |host: &Host| {
            let new = host.digest_serving("account") == Some(Engine::digest(&rebuilt(v1())));
            (new || host.refusal_of("bank.wasm").is_some()).then_some(new)
        };
        assert_eq!(host.until("judged", judged).await, taken, "{mode:?}");
        if !taken {
            let reason = host.refusal_of("bank.wasm").unwrap();
            assert!(reason.contains("give the changed module a new version"), "{reason}");
            assert_eq!(host.digest_serving("account"), Some(Engine::digest(&v1())));
        }
        host.put("bank.wasm", &v1_1());
        host.until("a new version is taken", |host| {
            (host.digest_serving("account") == Some(Engine::digest(&v1_1()))).then_some(())
        })
        .await;
        host.stop().await;
    }
}

#[tokio::test]
async fn a_module_that_cannot_be_registered_waits_and_the_old_one_serves() {
    let host = Host::start(UpdateMode::Auto, &[("bank.wasm", &v1())]).await;
    *host.registry.down.lock().unwrap() = true;
    host.put("bank.wasm", &v1_1());
    host.until("waits", |host| {
        let waits = |status: &ModuleStatus| {
            matches!(&status.state, ModuleState::Pending { reason } if reason.contains("registered"))
        };
        host.status_of("bank.wasm").iter().any(waits).then_some(())
    })
    .await;
    assert_eq!(host.digest_serving("account"), Some(Engine::digest(&v1())));
    *host.registry.down.lock().unwrap() = false;
    host.until("taken", |host| (host.digest_serving("account") == Some(Engine::digest(&v1_1()))).then_some(())).await;
    host.stop().await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), b"").unwrap();
    let path = dir.path().join("file").join("modules");
    let options = ModulesOptions { dir: path.clone(), poll_interval: Duration::from_secs(1), mode: UpdateMode::Auto };
    let started = Modules::start(options, guests::engine(), ActiveModules::new(), Arc::new(Registry::default())).await;
    let error = started.err().unwrap().to_string();
    assert!(error.contains(&path.display().to_string()), "{error}");
}

/// Another module with the same aggregate type.
fn rival() -> Vec<u8> {
    let mut wasm = v1();
    let (name, other) = (b"bank-account", b"bunk-account");
    let places: Vec<_> = (0..wasm.len() - name.len()).filter(|place| wasm[*place..].starts_with(name)).collect();
    assert!(!places.is_empty(), "the name is part of the component");
    for place in places {
        wasm[place..place + name.len()].copy_from_slice(other);
    }
    wasm
}
