//! The thread that keeps a cluster running: it starts PostgreSQL, restarts it when it dies, and stops it in the end.
//!
//! It's a thread and no task because PostgreSQL's life is tied to the thread that starts it, see `launcher`.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::postmaster::{Postmaster, Site, pause};
use super::{ClusterError, Options, State};

/// The first pause before a restart that follows a failed one. It doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause between restarts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Running this long makes a later death a new one, restarted without a pause.
const STABLE: Duration = Duration::from_secs(60);

/// Starts the thread. `started` hears the socket's directory once PostgreSQL takes connections, or why it doesn't.
pub(super) fn spawn(
    options: Options,
    stop: CancellationToken,
    state: watch::Sender<State>,
    started: oneshot::Sender<Result<PathBuf, ClusterError>>,
) -> Result<(), ClusterError> {
    let body = move || {
        let stop_timeout = options.stop_timeout;
        let first = Site::prepare(options).and_then(|site| site.start(&stop).map(|postmaster| (site, postmaster)));
        match first {
            Ok((site, postmaster)) => {
                // Nobody listens any more when the start was given up: the loop below stops at once then.
                let _ = started.send(Ok(site.layout.socket_dir.clone()));
                keep(&site, postmaster, &stop, &state, stop_timeout);
                site.layout.tidy();
            }
            Err(error) => drop(started.send(Err(error))),
        }
        state.send_replace(State::Stopped);
    };
    let thread = thread::Builder::new().name("everfold-postgres".to_owned()).spawn(body);
    thread.map(drop).map_err(ClusterError::NoThread)
}

/// Watches a running postmaster and those that follow it, until `stop`.
fn keep(
    site: &Site,
    mut postmaster: Postmaster,
    stop: &CancellationToken,
    state: &watch::Sender<State>,
    stop_timeout: Duration,
) {
    let mut wait = Duration::ZERO;
    loop {
        let pid = postmaster.pid();
        let since = Instant::now();
        state.send_replace(State::Running { pid });
        tracing::info!(pid, socket = %site.layout.socket_dir.display(), "the private PostgreSQL cluster takes connections");
        let Some(status) = postmaster.watch(stop) else {
            postmaster.stop(stop_timeout);
            tracing::info!("the private PostgreSQL cluster was shut down");
            return;
        };
        state.send_replace(State::Starting);
        tracing::warn!(pid, %status, log = %site.layout.log.display(), "PostgreSQL died and is restarted");
        if since.elapsed() >= STABLE {
            wait = Duration::ZERO;
        }
        postmaster = loop {
            pause(wait, stop);
            wait = longer(wait);
            match site.start(stop) {
                Ok(postmaster) => break postmaster,
                Err(ClusterError::Cancelled) => return,
                Err(error) => {
                    tracing::error!(%error, next_seconds = wait.as_secs_f32(), "PostgreSQL can't be restarted");
                }
            }
        };
    }
}

/// The pause after this one.
fn longer(wait: Duration) -> Duration {
    (2 * wait).clamp(FIRST_PAUSE, LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound() {
        let pauses = std::iter::successors(Some(Duration::ZERO), |wait| Some(longer(*wait)));
        let pauses: Vec<_> = pauses.take(10).map(|wait| wait.as_millis()).collect();
        assert_eq!(pauses, [0, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000]);
    }
}
