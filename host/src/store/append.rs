//! One call of `append_batch_v1`: appends as arrays, verdicts back as outcomes.

use sqlx::postgres::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::{Append, AppendOutcome, ExpectedVersion, NO_STREAM, Rejection, StoredOutcome};

/// How `append_batch_v1` writes the demands that aren't versions.
const ANY: i64 = -2;
const EXISTS: i64 = -3;

/// The appends of one call, column by column.
#[derive(Default)]
struct Columns<'a> {
    tenant: Vec<&'a str>,
    aggregate_type: Vec<&'a str>,
    stream: Vec<&'a str>,
    expected: Vec<i64>,
    base_version: Vec<Option<i64>>,
    base_event: Vec<Option<Uuid>>,
    continues: Vec<bool>,
    key: Vec<Option<&'a str>>,
    fingerprint: Vec<Option<&'a [u8]>>,
    rejection: Vec<Option<String>>,
    module: Vec<Option<i32>>,
    count: Vec<i32>,
    event_id: Vec<Uuid>,
    event_type: Vec<&'a str>,
    schema_version: Vec<i32>,
    payload: Vec<&'a str>,
    metadata: Vec<&'a str>,
    occurred_at: Vec<OffsetDateTime>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, append: &'a Append, module: Option<i32>) {
        self.tenant.push(append.stream.tenant.as_str());
        self.aggregate_type.push(append.stream.aggregate_type.as_str());
        self.stream.push(append.stream.stream_id.as_str());
        self.expected.push(match append.expected {
            ExpectedVersion::Any => ANY,
            ExpectedVersion::Exists => EXISTS,
            ExpectedVersion::NoStream => NO_STREAM,
            ExpectedVersion::Exact(version) => version,
        });
        self.base_version.push(append.base.map(|head| head.map_or(NO_STREAM, |head| head.version)));
        self.base_event.push(append.base.flatten().map(|head| head.event_id));
        self.continues.push(append.continues);
        self.key.push(append.receipt.as_ref().map(|receipt| receipt.key.as_str()));
        self.fingerprint.push(append.receipt.as_ref().map(|receipt| &receipt.fingerprint[..]));
        self.rejection.push(
            append
                .rejection
                .as_ref()
                .map(|rejection| serde_json::to_string(rejection).expect("a rejection is text and JSON")),
        );
        self.module.push(module);
        self.count.push(i32::try_from(append.events.len()).expect("batches are capped far below"));
        for event in &append.events {
            self.event_id.push(event.event_id);
            self.event_type.push(&event.event_type);
            self.schema_version.push(i32::try_from(event.schema_version).unwrap_or(i32::MAX));
            self.payload.push(event.payload.as_str());
            self.metadata.push(event.metadata.as_str());
            self.occurred_at.push(event.occurred_at);
        }
    }
}

/// Sends appends as one statement outside any transaction. `module` gives the number of an append's module.
///
/// The answer is taken only when the server is ready for the next statement: rows arrive before the commit.
pub(super) async fn append_batch(
    connection: &mut PgConnection,
    appends: &[&Append],
    module: impl Fn(&Append) -> Option<i32>,
) -> Result<Vec<AppendOutcome>, sqlx::Error> {
    let mut columns = Columns::default();
    for append in appends {
        columns.push(append, module(append));
    }
    let c = &columns;
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
    if rows.len() != appends.len() {
        return Err(sqlx::Error::Protocol(format!("{} appends, {} answers", appends.len(), rows.len())));
    }
    rows.into_iter()
        .map(|row| outcome(row.outcome, row.version, row.position, row.event_count, row.rejection))
        .collect()
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
