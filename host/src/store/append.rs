//! A batch on its way into the log: as a whole by `append_all_v1` where nothing is in dispute, else by `append_batch_v1`, which
//! has a verdict for each append.

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::columns::{Columns, are_apart};
use super::connect::WriterSession;
use crate::model::{Append, AppendOutcome, Rejection, StoredOutcome};

/// Sends appends as one statement outside any transaction, or as two where not all is as the appends demand. `module` gives
/// the number of an append's module.
///
/// An answer is taken only when the server is ready for the next statement, by `fetch_one` as by `fetch_all`: rows arrive
/// before the commit.
pub(super) async fn append(
    session: &mut WriterSession,
    appends: &[&Append],
    module: impl Fn(&Append) -> Option<i32>,
) -> Result<Vec<AppendOutcome>, sqlx::Error> {
    let columns = Columns::of(appends, module);
    let kinds_known = session.kinds.has_all(appends);
    let mut outcomes = None;
    if are_apart(appends) {
        outcomes = append_all(&mut session.connection, appends, &columns, kinds_known).await?;
    }
    let outcomes = match outcomes {
        Some(outcomes) => outcomes,
        None => append_batch(&mut session.connection, &columns).await?,
    };
    if !kinds_known {
        session.kinds.learn(appends, &outcomes);
    }
    Ok(outcomes)
}

/// Everything or nothing: `None` where a demand doesn't hold, so that each append needs a verdict of its own.
async fn append_all(
    connection: &mut PgConnection,
    appends: &[&Append],
    c: &Columns<'_>,
    kinds_known: bool,
) -> Result<Option<Vec<AppendOutcome>>, sqlx::Error> {
    let answer = sqlx::query!(
        "SELECT position, heads FROM everfold.append_all_v1(
             $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
        &c.tenant as &[&str],
        &c.aggregate_type as &[&str],
        &c.stream as &[&str],
        &c.expected,
        &c.base_version as &[Option<i64>],
        &c.base_event as &[Option<Uuid>],
        &c.key as &[Option<&str>],
        &c.fingerprint as &[Option<&[u8]>],
        &c.rejection as &[Option<String>],
        &c.module as &[Option<i32>],
        &c.count,
        &c.event_id,
        &c.event_type as &[&str],
        &c.schema_version,
        &c.payload as &[&str],
        &c.metadata as &[&str],
        &c.occurred_at,
        kinds_known,
    )
    .fetch_one(connection)
    .await?;
    let (Some(mut position), Some(heads)) = (answer.position, answer.heads) else { return Ok(None) };
    check_length(appends.len(), heads.len())?;
    let outcome = |(append, head): (&&Append, i64)| {
        if append.events.is_empty() {
            return AppendOutcome::Confirmed { version: head };
        }
        let first_position = position;
        position += append.events.len() as i64;
        AppendOutcome::Appended { first_version: head + 1, first_position }
    };
    Ok(Some(appends.iter().zip(heads).map(outcome).collect()))
}

/// A verdict for each append.
async fn append_batch(connection: &mut PgConnection, c: &Columns<'_>) -> Result<Vec<AppendOutcome>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT outcome AS "outcome!", version AS "version!", position, event_count AS "event_count!",
                  rejection::text AS rejection
           FROM everfold.append_batch_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)"#,
        &c.tenant as &[&str],
        &c.aggregate_type as &[&str],
        &c.stream as &[&str],
        &c.expected,
        &c.base_version as &[Option<i64>],
        &c.base_event as &[Option<Uuid>],
        &c.continues,
        &c.key as &[Option<&str>],
        &c.fingerprint as &[Option<&[u8]>],
        &c.rejection as &[Option<String>],
        &c.module as &[Option<i32>],
        &c.count,
        &c.event_id,
        &c.event_type as &[&str],
        &c.schema_version,
        &c.payload as &[&str],
        &c.metadata as &[&str],
        &c.occurred_at,
    )
    .fetch_all(connection)
    .await?;
    check_length(c.tenant.len(), rows.len())?;
    rows.into_iter()
        .map(|row| outcome(row.outcome, row.version, row.position, row.event_count, row.rejection))
        .collect()
}

fn check_length(appends: usize, answers: usize) -> Result<(), sqlx::Error> {
    if appends == answers {
        return Ok(());
    }
    Err(sqlx::Error::Protocol(format!("{appends} appends, {answers} answers")))
}

fn outcome(
    verdict: i8,
    version: i64,
    position: Option<i64>,
    count: i32,
    rejection: Option<String>,
) -> Result<AppendOutcome, sqlx::Error> {
    Ok(match verdict as u8 {
        b'a' => AppendOutcome::Appended { first_version: version, first_position: position.unwrap_or_default() },
        b'c' => AppendOutcome::Confirmed { version },
        b'r' => AppendOutcome::Replayed(stored_outcome(version, position, count, rejection)?),
        b'k' => AppendOutcome::KeyReused,
        b'v' => AppendOutcome::Conflict { actual: version },
        b's' => AppendOutcome::Stale { actual: version },
        b'p' => AppendOutcome::PredecessorFailed,
        other => return Err(sqlx::Error::Protocol(format!("append_batch_v1 answered {:?}", other as char))),
    })
}

/// A receipt's columns as the outcome that they keep.
pub(super) fn stored_outcome(
    version: i64,
    position: Option<i64>,
    count: i32,
    rejection: Option<String>,
) -> Result<StoredOutcome, sqlx::Error> {
    Ok(match (position, rejection) {
        (Some(first_position), _) => {
            StoredOutcome::Events { first_version: version, first_position, count: count.into() }
        }
        (None, Some(text)) => {
            let rejection: Rejection =
                serde_json::from_str(&text).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            StoredOutcome::Rejected { rejection, version }
        }
        (None, None) => StoredOutcome::Nothing { version },
    })
}
