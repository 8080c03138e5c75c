//! What stands already where history is to be imported: an import that is repeated changes nothing.

use uuid::Uuid;

use super::{Store, StoreError};
use crate::model::{StreamKey, Tenant};

/// The place that an imported event is to have, and the event's id.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The stream, of the tenant that is asked for.
    pub stream: &'a StreamKey,
    /// The version in the stream.
    pub version: i64,
    /// The id of the event that is to stand there.
    pub event_id: Uuid,
}

/// What stands at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The event itself, at this position of the log.
    Same {
        /// Its position.
        position: i64,
    },
    /// Another event.
    Other {
        /// Its id.
        event_id: Uuid,
        /// The stream's version.
        actual: i64,
    },
}

impl Store {
    /// What stands at each of these places of a tenant's streams; `None` where nothing does. One index probe a place.
    ///
    /// # Errors
    /// [`StoreError`] where the database can't be asked.
    pub async fn standing(&self, tenant: &Tenant, places: &[Place<'_>]) -> Result<Vec<Option<Standing>>, StoreError> {
        let aggregate_types: Vec<&str> = places.iter().map(|place| place.stream.aggregate_type.as_str()).collect();
        let streams: Vec<&str> = places.iter().map(|place| place.stream.stream_id.as_str()).collect();
        let versions: Vec<i64> = places.iter().map(|place| place.version).collect();
        let ids: Vec<Uuid> = places.iter().map(|place| place.event_id).collect();
        // LIMIT keeps the planner from a join that reads the whole log, which looks cheap while the log is empty.
        let rows = sqlx::query!(
            r#"SELECT p.place AS "place!", e.event_id AS "event_id!", e.position AS "position!",
                      CASE WHEN e.event_id <> p.event_id THEN
                          (SELECT s.version FROM everfold.event_store s
                           WHERE s.tenant_id = $1 AND s.aggregate_type = p.aggregate_type AND s.stream_id = p.stream_id
                           ORDER BY s.version DESC LIMIT 1)
                      END AS actual
               FROM unnest($2::text[], $3::text[], $4::bigint[], $5::uuid[]) WITH ORDINALITY
                    AS p(aggregate_type, stream_id, version, event_id, place)
               CROSS JOIN LATERAL (
                   SELECT s.event_id, s.position FROM everfold.event_store s
                   WHERE s.tenant_id = $1 AND s.aggregate_type = p.aggregate_type AND s.stream_id = p.stream_id
                     AND s.version = p.version LIMIT 1
               ) e"#,
            tenant.as_str(),
            &aggregate_types as &[&str],
            &streams as &[&str],
            &versions,
            &ids,
        )
        .fetch_all(&self.pool)
        .await?;
        let mut found = vec![None; places.len()];
        for row in rows {
            let place = usize::try_from(row.place - 1).ok().and_then(|place| found.get_mut(place));
            let place = place.ok_or_else(|| StoreError::Corrupt(format!("no place {} was asked for", row.place)))?;
            *place = Some(match row.actual {
                None => Standing::Same { position: row.position },
                Some(actual) => Standing::Other { event_id: row.event_id, actual },
            });
        }
        Ok(found)
    }
}
