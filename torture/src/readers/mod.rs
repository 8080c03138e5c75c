//! Those who only look: live readers of each tenant, and readers of the database itself.

mod database;
mod tail;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) use self::database::{head, whole_log};

use crate::clients::{Http, TENANTS};
use crate::history::{History, SeenSnapshot, Tail};
use crate::site::Site;

/// How long readers may take to get to the log's end when nothing is in their way.
const PATIENCE: Duration = Duration::from_secs(120);

/// The readers at work.
pub(crate) struct Readers {
    last: watch::Sender<Option<i64>>,
    over: CancellationToken,
    tails: Vec<JoinHandle<Tail>>,
    raw: JoinHandle<Vec<(i64, Uuid)>>,
    snapshots: JoinHandle<Vec<SeenSnapshot>>,
}

impl Readers {
    /// Lets them begin.
    pub(crate) fn start(site: &Arc<Site>, http: &Http, seed: u64) -> Self {
        let last = watch::Sender::new(None);
        let over = CancellationToken::new();
        let tail = |(tenant, seed)| tokio::spawn(tail::follow(http.clone(), tenant, seed, last.subscribe()));
        Self {
            tails: TENANTS.into_iter().zip(seed..).map(tail).collect(),
            raw: tokio::spawn(database::follow(site.clone(), last.subscribe())),
            snapshots: tokio::spawn(database::watch_snapshots(site.clone(), http.clock(), over.clone())),
            last,
            over,
        }
    }

    /// Tells them where the log ends, and takes what they have when they are there.
    ///
    /// # Errors
    /// Where one doesn't get there.
    pub(crate) async fn finish(self, head: i64, history: &mut History) -> Result<()> {
        self.last.send_replace(Some(head));
        self.over.cancel();
        for tail in self.tails {
            let tail = timeout(PATIENCE, tail).await;
            history.tails.push(tail.context("a live reader doesn't reach the log's end")??);
        }
        let raw = timeout(PATIENCE, self.raw).await;
        history.raw_tail = raw.context("the reader of the database doesn't reach the log's end")??;
        history.snapshots = self.snapshots.await?;
        Ok(())
    }
}
