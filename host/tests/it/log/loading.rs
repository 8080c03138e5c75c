//! What folding a stream reads: its snapshot where that is usable, and the events after it, in pages.

use everfold::model::{Digest, Snapshot, StreamKey};
use uuid::Uuid;

use super::{Log, append, stream};

const LAST: i64 = 9;

/// A stream of ten events, and the module that keeps its snapshots.
async fn ten_events() -> (Log, StreamKey, Digest, Vec<Uuid>) {
    let log = Log::new().await;
    let digest = log.module("bank", 1).await;
    let appends = append(&stream("s"), 10);
    let ids = appends.events.iter().map(|event| event.event_id).collect();
    log.append(appends).await;
    (log, stream("s"), digest, ids)
}

fn snapshot(version: i64, event_id: Uuid) -> Snapshot {
    let state = format!(r#"{{"at" : {version},"text":"é\u0000","big":1.000e400}}"#);
    Snapshot { version, event_id, state_version: 3, state: state.into_bytes() }
}

#[tokio::test]
async fn a_stream_is_loaded_in_pages() {
    let (log, stream, digest, ids) = ten_events().await;
    let (mut version, mut seen, mut pages) = (-1, vec![], 0);
    loop {
        let page = match pages {
            0 => log.store.load_stream(&stream, &digest, 3, None, 4).await.unwrap(),
            _ => log.store.load_tail(&stream, version, None, 4).await.unwrap(),
        };
        assert_eq!(page.snapshot, None);
        for event in page.events {
            version += 1;
            assert_eq!(event.version, version);
            seen.push(event.event_id);
        }
        pages += 1;
        if !page.more {
            break;
        }
    }
    assert_eq!((pages, seen), (3, ids));
    assert!(log.store.load_tail(&stream, LAST, None, 4).await.unwrap().events.is_empty());
    let upto: Vec<_> = log.store.load_tail(&stream, 2, Some(5), 4).await.unwrap().events;
    assert_eq!(upto.iter().map(|event| event.version).collect::<Vec<_>>(), [3, 4, 5]);
    let absent = log.store.load_stream(&super::stream("absent"), &digest, 3, None, 4).await.unwrap();
    assert!(absent.snapshot.is_none() && absent.events.is_empty() && !absent.more);
}

#[tokio::test]
async fn events_begin_after_the_snapshot() {
    let (log, stream, digest, ids) = ten_events().await;
    let kept = snapshot(3, ids[3]);
    log.store.save_snapshot(&stream, &digest, &kept).await.unwrap();
    assert_eq!(log.store.load_snapshot(&stream, &digest).await.unwrap().as_ref(), Some(&kept));
    assert_eq!(log.store.load_snapshot(&stream, &Digest([9; 32])).await.unwrap(), None);
    let versions = async |up_to, limit| {
        let loaded = log.store.load_stream(&stream, &digest, 3, up_to, limit).await.unwrap();
        let versions: Vec<_> = loaded.events.iter().map(|event| event.version).collect();
        (loaded.snapshot, versions, loaded.more)
    };
    let kept = Some(kept);
    assert_eq!(versions(None, 100).await, (kept.clone(), (4..=LAST).collect(), false));
    assert_eq!(versions(None, 2).await, (kept.clone(), vec![4, 5], true));
    assert_eq!(versions(Some(6), 100).await, (kept.clone(), vec![4, 5, 6], false));
    assert_eq!(versions(Some(3), 100).await, (kept, vec![], false));
    // Before the snapshot the events are all there is.
    assert_eq!(versions(Some(2), 100).await, (None, vec![0, 1, 2], false));
}

#[tokio::test]
async fn a_snapshot_of_something_else_is_not_used() {
    let (log, stream, digest, ids) = ten_events().await;
    let other_module = log.module("bank", 2).await;
    let unused = async |digest: &Digest, state_version| {
        let loaded = log.store.load_stream(&stream, digest, state_version, None, 100).await.unwrap();
        loaded.snapshot.is_none() && loaded.events.len() == 10
    };
    log.store.save_snapshot(&stream, &digest, &snapshot(3, ids[3])).await.unwrap();
    assert!(!unused(&digest, 3).await);
    assert!(unused(&digest, 4).await, "of another state version");
    assert!(unused(&other_module, 3).await, "of another module");
    assert!(unused(&Digest([9; 32]), 3).await, "of a module that was never registered");

    // Of another history: it has another event there, or none.
    for (version, event_id) in [(4, ids[3]), (5, Uuid::now_v7()), (LAST + 1, ids[9])] {
        log.store.drop_snapshots(&stream).await.unwrap();
        log.store.save_snapshot(&stream, &digest, &snapshot(version, event_id)).await.unwrap();
        assert!(unused(&digest, 3).await, "{version}");
    }
}

#[tokio::test]
async fn snapshots_go_forward_only_and_each_module_has_its_own() {
    let (log, stream, digest, ids) = ten_events().await;
    let other_module = log.module("bank", 2).await;
    let save = async |digest: &Digest, version: usize| {
        log.store.save_snapshot(&stream, digest, &snapshot(version as i64, ids[version])).await.unwrap();
    };
    let kept = async |digest: &Digest| {
        let loaded = log.store.load_stream(&stream, digest, 3, None, 100).await.unwrap();
        loaded.snapshot.map(|snapshot| snapshot.version)
    };
    for version in [2, 7, 5] {
        save(&digest, version).await;
    }
    save(&other_module, 4).await;
    assert_eq!((kept(&digest).await, kept(&other_module).await), (Some(7), Some(4)));
    save(&Digest([9; 32]), 8).await;
    assert_eq!(log.store.drop_snapshots(&stream).await.unwrap(), 2, "an unknown module keeps none");
    assert_eq!((kept(&digest).await, kept(&other_module).await), (None, None));
}

#[tokio::test]
async fn a_module_keeps_its_number_and_a_changed_one_is_told() {
    let log = Log::new().await;
    let module = |name: &str, version: &str| everfold::model::ModuleDescriptor {
        name: name.into(),
        version: version.into(),
        aggregates: vec![],
    };
    let register = async |name, version, digest| {
        let registered = log.store.register_module(&module(name, version), Digest([digest; 32])).await.unwrap();
        registered.other_digest
    };
    assert_eq!(register("bank", "1.0.0", 1).await, None);
    assert_eq!(register("bank", "1.0.0", 1).await, None, "twice is once");
    assert_eq!(register("bank", "1.0.1", 2).await, None);
    assert_eq!(register("shop", "1.0.0", 3).await, None);
    assert_eq!(register("bank", "1.0.0", 4).await, Some(Digest([1; 32])));
    assert_eq!(register("bank", "1.0.0", 1).await, None, "it was there first, and stays the one");
    let modules = "SELECT count(*) FROM everfold.modules";
    assert_eq!(super::number(&mut log.owner().await, modules).await, 4);
}
