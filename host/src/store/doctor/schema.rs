//! The log's schema: its steps, the role that hosts work under, the triggers that guard it, the log's invariants.

use sqlx::postgres::PgConnection;
use time::OffsetDateTime;

use crate::store::migrate::Steps;

/// Positions at the log's end that are looked at one by one.
const WINDOW: i64 = 1_000;

/// What was found out about the schema.
#[derive(Debug, Clone)]
pub struct SchemaFacts {
    /// Steps of this host that aren't applied.
    pub missing_steps: Vec<i64>,
    /// Applied steps that this host doesn't know: a newer host's.
    pub newer_steps: Vec<i64>,
    /// The schema's owner.
    pub owner: String,
    /// The role that hosts work under.
    pub role: RoleFacts,
    /// The triggers that refuse changes of history.
    pub triggers: Vec<TriggerFacts>,
    /// The log itself; none where its tables are missing.
    pub log: Option<LogFacts>,
}

/// The role that hosts work under.
#[derive(Debug, Clone)]
pub struct RoleFacts {
    /// Its name.
    pub name: String,
    /// Whether it exists.
    pub exists: bool,
    /// Whether the login may take it.
    pub can_be_taken: bool,
    /// Whether it may append through `append_batch_v1`.
    pub may_append: bool,
    /// What it lacks of the rights that the host needs, such as `SELECT on everfold.receipts`.
    pub lacks: Vec<String>,
    /// The rights on the log's tables that it must not have and has.
    pub excess: Vec<String>,
}

/// A trigger that guards the log.
#[derive(Debug, Clone)]
pub struct TriggerFacts {
    /// The table that it guards.
    pub table: String,
    /// Whether it is there and fires.
    pub works: bool,
}

/// The log as it stands.
#[derive(Debug, Clone)]
pub struct LogFacts {
    /// The epoch of its cursors.
    pub epoch: i64,
    /// Its floor.
    pub floor: i64,
    /// Its last position; 0 where it has no events.
    pub last: i64,
    /// Positions at its end that have no event.
    pub holes: i64,
    /// When its last event was committed.
    pub last_at: Option<OffsetDateTime>,
    /// How far that lies in the future of the database's clock, in seconds; 0 where it doesn't.
    pub future_seconds: f64,
}

/// The rights of the runtime role, one for each that the host uses.
const NEEDED: [(&str, &str); 12] = [
    ("everfold.event_store", "SELECT"),
    ("everfold.log_head", "SELECT"),
    ("everfold.event_kinds", "SELECT"),
    ("everfold.modules", "SELECT"),
    ("everfold.modules", "INSERT"),
    ("everfold.receipts", "SELECT"),
    ("everfold.receipts", "DELETE"),
    ("everfold.snapshots", "SELECT"),
    ("everfold.snapshots", "INSERT"),
    ("everfold.snapshots", "UPDATE"),
    ("everfold.snapshots", "DELETE"),
    ("everfold.migrations", "SELECT"),
];

/// The rights that only `append_batch_v1` may use, and its owner.
const FORBIDDEN: [(&str, &str); 10] = [
    ("everfold.event_store", "INSERT"),
    ("everfold.event_store", "UPDATE"),
    ("everfold.event_store", "DELETE"),
    ("everfold.event_store", "TRUNCATE"),
    ("everfold.log_head", "UPDATE"),
    ("everfold.log_head", "DELETE"),
    ("everfold.log_head", "TRUNCATE"),
    ("everfold.receipts", "INSERT"),
    ("everfold.receipts", "UPDATE"),
    ("everfold.event_kinds", "DELETE"),
];

/// The tables that triggers guard.
const GUARDED: [&str; 2] = ["event_store", "log_head"];

pub(super) async fn examine(connection: &mut PgConnection) -> Result<Option<SchemaFacts>, sqlx::Error> {
    let Some(owner) = owner(connection).await? else { return Ok(None) };
    let steps = Steps::of(connection).await?;
    let role = role(connection).await?;
    let triggers = triggers(connection).await?;
    let log = if has_log(connection).await? { Some(log(connection).await?) } else { None };
    Ok(Some(SchemaFacts { missing_steps: steps.missing, newer_steps: steps.newer, owner, role, triggers, log }))
}

async fn owner(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT pg_get_userbyid(nspowner)::text AS "owner!" FROM pg_namespace WHERE nspname = 'everfold'"#
    )
    .fetch_optional(connection)
    .await
}

/// The name is made here as `everfold.runtime_role()` makes it: that may be missing.
async fn role(connection: &mut PgConnection) -> Result<RoleFacts, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT n.name AS "name!", r.oid IS NOT NULL AS "exists!",
                  coalesce(pg_has_role(current_user, r.oid, 'MEMBER'), false) AS "can_be_taken!",
                  coalesce(has_function_privilege(r.oid, f.oid, 'EXECUTE'), false) AS "may_append!"
           FROM (SELECT left('everfold_runtime_' || pg_get_userbyid(nspowner), 63) AS name
                 FROM pg_namespace WHERE nspname = 'everfold') n
           LEFT JOIN pg_roles r ON r.rolname = n.name
           LEFT JOIN pg_proc f ON f.proname = 'append_batch_v1' AND f.pronamespace = to_regnamespace('everfold')"#
    )
    .fetch_one(&mut *connection)
    .await?;
    let mut role = RoleFacts {
        name: row.name,
        exists: row.exists,
        can_be_taken: row.can_be_taken,
        may_append: row.may_append,
        lacks: Vec::new(),
        excess: Vec::new(),
    };
    if role.exists {
        let held = rights(connection, &role.name, &NEEDED).await?;
        role.lacks = named(&NEEDED, &held, false);
        let held = rights(connection, &role.name, &FORBIDDEN).await?;
        role.excess = named(&FORBIDDEN, &held, true);
    }
    Ok(role)
}

/// Whether the role has each of the rights. None on a table that isn't there.
async fn rights(connection: &mut PgConnection, role: &str, rights: &[(&str, &str)]) -> Result<Vec<bool>, sqlx::Error> {
    let (tables, names): (Vec<String>, Vec<String>) =
        rights.iter().map(|(table, right)| ((*table).to_owned(), (*right).to_owned())).unzip();
    sqlx::query_scalar!(
        r#"SELECT coalesce(has_table_privilege($1::text::name, to_regclass(r.table_name)::oid, r.name), false) AS "held!"
           FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS r(table_name, name, place) ORDER BY r.place"#,
        role,
        &tables,
        &names,
    )
    .fetch_all(connection)
    .await
}

fn named(rights: &[(&str, &str)], held: &[bool], which: bool) -> Vec<String> {
    let told = rights.iter().zip(held).filter(|(_, held)| **held == which);
    told.map(|((table, right), _)| format!("{right} on {table}")).collect()
}

async fn triggers(connection: &mut PgConnection) -> Result<Vec<TriggerFacts>, sqlx::Error> {
    let working = sqlx::query_scalar!(
        r#"SELECT c.relname::text AS "table!" FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
           WHERE t.tgname = 'append_only' AND t.tgenabled IN ('O', 'A') AND c.relnamespace = to_regnamespace('everfold')"#
    )
    .fetch_all(connection)
    .await?;
    let facts =
        |table: &&str| TriggerFacts { table: (*table).to_owned(), works: working.iter().any(|name| name == table) };
    Ok(GUARDED.iter().map(facts).collect())
}

async fn has_log(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT (to_regclass('everfold.event_store') IS NOT NULL AND to_regclass('everfold.log_head') IS NOT NULL) AS "has!""#
    )
    .fetch_one(connection)
    .await
}

/// Positions are dense above the floor, so counting the last of them finds holes.
async fn log(connection: &mut PgConnection) -> Result<LogFacts, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT h.epoch, h.floor, coalesce(l.position, 0) AS "last!", l.created_at AS "last_at?",
                  coalesce(greatest(extract(epoch FROM l.created_at - clock_timestamp()), 0), 0)::float8 AS "future!",
                  coalesce(l.position - w.start - (SELECT count(*) FROM everfold.event_store e WHERE e.position > w.start), 0)
                      AS "holes!"
           FROM everfold.log_head h
           LEFT JOIN LATERAL (SELECT position, created_at FROM everfold.event_store ORDER BY position DESC LIMIT 1) l ON true
           LEFT JOIN LATERAL (SELECT greatest(l.position - $1, least(h.floor, l.position), 0) AS start) w ON true"#,
        WINDOW,
    )
    .fetch_one(connection)
    .await?;
    Ok(LogFacts {
        epoch: row.epoch,
        floor: row.floor,
        last: row.last,
        holes: row.holes,
        last_at: row.last_at,
        future_seconds: row.future,
    })
}
