//! Keeps snapshots, off the path of commands.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::metrics::SNAPSHOT;
use crate::model::{Digest, Snapshot, StreamKey};
use crate::store::Store;

/// Snapshots that may wait to be written; a further one is dropped, and becomes due again with the next event.
const WAITING: usize = 256;

/// Hands snapshots of committed versions to the task that writes them.
#[derive(Clone)]
pub(super) struct SnapshotKeeper(mpsc::Sender<(StreamKey, Digest, Snapshot)>);

impl SnapshotKeeper {
    /// Starts the task; it ends when the last handle is dropped.
    pub(super) fn start(store: Store) -> (Self, JoinHandle<()>) {
        let (sender, mut receiver) = mpsc::channel::<(StreamKey, Digest, Snapshot)>(WAITING);
        let task = tokio::spawn(async move {
            while let Some((stream, digest, snapshot)) = receiver.recv().await {
                match store.save_snapshot(&stream, &digest, &snapshot).await {
                    Ok(()) => SNAPSHOT.written.increment(1),
                    Err(error) => {
                        SNAPSHOT.failed.increment(1);
                        // Nothing depends on it: the next one is due soon.
                        tracing::warn!(%stream, %error, "a snapshot wasn't kept");
                    }
                }
            }
        });
        (Self(sender), task)
    }

    /// Takes a snapshot whose version is committed: true where it will be written.
    pub(super) fn keep(&self, stream: &StreamKey, digest: Digest, snapshot: Snapshot) -> bool {
        let taken = self.0.try_send((stream.clone(), digest, snapshot)).is_ok();
        if !taken {
            SNAPSHOT.dropped.increment(1);
        }
        taken
    }
}
