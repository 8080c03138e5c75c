//! What became of a batch whose connection was lost while it was out.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};
use time::OffsetDateTime;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::chain::Chain;
use super::connect::{WRITER_SETTINGS, prepare_session};
use super::writer::WriterOptions;
use super::{AppendError, Store, metrics};
use crate::model::{Append, AppendOutcome, NewEvent};

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
        note_found(chain, &found);
        note_confirmed(chain);
        let mut behind_found = false;
        for (submission, result) in chain.submissions.iter_mut().zip(&chain.results) {
            if result.is_some() {
                behind_found = is_committed(result.as_ref());
            } else if std::mem::take(&mut behind_found) {
                // Sent again it doesn't go on from an append of the same call, but from what is committed.
                submission.append.continues = false;
            }
        }
    }
}

/// Gives the appends whose events are in the log their outcome.
fn note_found(chain: &mut Chain, found: &Found) {
    for (submission, result) in chain.submissions.iter().zip(&mut chain.results).filter(|(_, result)| result.is_none())
    {
        let place = place_of(&submission.append, found);
        *result =
            place.map(|(first_version, first_position)| Ok(AppendOutcome::Appended { first_version, first_position }));
        if result.is_some() {
            metrics::SETTLED.counter(["committed"]).increment(1);
        } else if !submission.append.events.is_empty() {
            metrics::SETTLED.counter(["not-executed"]).increment(1);
        }
    }
}

/// An append without events leaves nothing to be found, but what goes on from it does: that is only in the log where this
/// one was confirmed. Were it sent again, it would come after its successor.
fn note_confirmed(chain: &mut Chain) {
    let mut behind: Option<(&Append, i64)> = None;
    for (submission, result) in chain.submissions.iter().zip(&mut chain.results).rev() {
        let append = &submission.append;
        if result.is_none()
            && append.events.is_empty()
            && let Some((successor, version)) = behind
            && successor.continues
            && successor.stream == append.stream
        {
            *result = Some(Ok(AppendOutcome::Confirmed { version }));
        }
        behind = match result {
            Some(Ok(AppendOutcome::Appended { first_version, .. })) => Some((append, *first_version - 1)),
            Some(Ok(AppendOutcome::Confirmed { version })) => Some((append, *version)),
            _ => None,
        };
    }
}

fn is_committed(result: Option<&Result<AppendOutcome, AppendError>>) -> bool {
    matches!(result, Some(Ok(AppendOutcome::Appended { .. } | AppendOutcome::Confirmed { .. })))
}

/// Where events of the batch stand, by id and stream.
type Found = HashMap<(Uuid, String), (i64, i64)>;

/// Version and position of an append's first event, where all of it is in the log. First and last event must stand as
/// far apart as in the append: ids of raw appends are their senders', who may have sent one of them elsewhere too.
fn place_of(append: &Append, found: &Found) -> Option<(i64, i64)> {
    let place = |event: &NewEvent| found.get(&(event.event_id, append.stream.to_string())).copied();
    let (first, last) = (place(append.events.first()?)?, place(append.events.last()?)?);
    let apart = append.events.len() as i64 - 1;
    (last == (first.0 + apart, first.1 + apart)).then_some(first)
}

/// Ends the lost session; true where there is nothing left of it. A standby can't say: it may be behind.
async fn is_gone(connection: &mut PgConnection, lost: &SessionIdentity) -> Result<bool, sqlx::Error> {
    let is_standby = sqlx::query_scalar!(r#"SELECT pg_is_in_recovery() AS "is_standby!""#);
    if is_standby.fetch_one(&mut *connection).await? {
        return Ok(false);
    }
    let told = sqlx::query!(
        r#"SELECT pg_terminate_backend(pid) AS "told!" FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2"#,
        lost.process,
        lost.started_at,
    );
    Ok(told.fetch_optional(connection).await?.is_none())
}

/// The batch's events in the log, or `None` while the lost session lives: it might still commit.
async fn find(store: &Store, lost: &SessionIdentity, batch: &[Chain]) -> Result<Option<Found>, sqlx::Error> {
    let mut connection = store.supervising_session().await?;
    if !is_gone(&mut connection, lost).await? {
        return Ok(None);
    }
    // Ending the session may have ended its wait for a synchronous standby. This commit waits for the same, and commits
    // are confirmed in their order: when it is answered, what is found below is as safe as any answered append.
    connection.execute(WRITER_SETTINGS).await?;
    connection.execute("SELECT pg_logical_emit_message(true, 'everfold', 'settled')").await?;
    // A login that is a member of the reader's role sees no tenant by itself, and would find nothing.
    prepare_session(&mut connection).await?;
    let ids: Vec<Uuid> = batch
        .iter()
        .flat_map(|chain| &chain.submissions)
        .flat_map(|submission| submission.append.events.first().into_iter().chain(submission.append.events.last()))
        .map(|event| event.event_id)
        .collect();
    let rows = sqlx::query!(
        "SELECT event_id, tenant_id, aggregate_type, stream_id, version, position FROM everfold.event_store
         WHERE position > $1 AND event_id = ANY ($2)",
        lost.known_head,
        &ids,
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
