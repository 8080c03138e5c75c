//! What became of a batch whose connection was lost while it was out.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::Connection as _;
use time::OffsetDateTime;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::Store;
use super::chain::Chain;
use super::writer::WriterOptions;
use crate::model::AppendOutcome;

/// Names one session of the server for as long as that lives, and what was known when its last batch went out.
#[derive(Debug, Clone)]
pub(super) struct SessionIdentity {
    pub(super) process: i32,
    pub(super) started_at: OffsetDateTime,
    /// Position that the log's head had at least reached: the batch's events can only lie after it.
    pub(super) known_head: i64,
}

/// Ends the lost session, waits until it is gone, and looks for the batch's events. Tries until it knows: the network
/// that lost the batch may fall silent on the attempts as well, so each has its time.
///
/// Appends that are found have their outcome then; the open ones were surely not executed.
pub(super) async fn settle(store: &Store, lost: &SessionIdentity, batch: &mut [Chain], options: &WriterOptions) {
    let mut pause = Duration::from_millis(20);
    let found = loop {
        match timeout(options.batch_timeout, find(store, lost, batch)).await {
            Ok(Ok(Some(found))) => break found,
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a batch whose connection was lost can't be settled yet"),
            Err(_) => tracing::warn!("a batch whose connection was lost can't be settled yet: no answer in time"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(options.reconnect_pause);
    };
    for chain in batch {
        let mut behind_found = false;
        for (submission, result) in chain.submissions.iter_mut().zip(&mut chain.results) {
            let append = &mut submission.append;
            let place = append
                .events
                .first()
                .and_then(|event| found.get(&(event.event_id, append.stream.to_string())).copied());
            if result.is_some() {
                behind_found = matches!(result, Some(Ok(AppendOutcome::Appended { .. })));
            } else if let Some((first_version, first_position)) = place {
                *result = Some(Ok(AppendOutcome::Appended { first_version, first_position }));
                behind_found = true;
            } else if behind_found {
                // Sent again it doesn't go on from an append of the same call, but from what is committed.
                append.continues = false;
                behind_found = false;
            }
        }
    }
}

type Found = HashMap<(Uuid, String), (i64, i64)>;

/// The batch's events in the log, or `None` while the lost session lives: it might still commit.
async fn find(store: &Store, lost: &SessionIdentity, batch: &[Chain]) -> Result<Option<Found>, sqlx::Error> {
    let mut connection = store.supervising_session().await?;
    let alive = sqlx::query!(
        r#"SELECT pg_terminate_backend(pid) AS "told!" FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2"#,
        lost.process,
        lost.started_at,
    )
    .fetch_optional(&mut connection)
    .await?
    .is_some();
    if alive {
        return Ok(None);
    }
    let first_events: Vec<Uuid> = batch
        .iter()
        .flat_map(|chain| &chain.submissions)
        .filter_map(|submission| submission.append.events.first())
        .map(|event| event.event_id)
        .collect();
    let rows = sqlx::query!(
        "SELECT event_id, tenant_id, aggregate_type, stream_id, version, position FROM everfold.event_store
         WHERE position > $1 AND event_id = ANY ($2)",
        lost.known_head,
        &first_events,
    )
    .fetch_all(&mut connection)
    .await?;
    connection.close().await?;
    Ok(Some(
        rows.into_iter()
            .map(|row| {
                let stream = format!("{}/{}/{}", row.tenant_id, row.aggregate_type, row.stream_id);
                ((row.event_id, stream), (row.version, row.position))
            })
            .collect(),
    ))
}
