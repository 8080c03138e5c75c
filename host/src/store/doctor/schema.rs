//! The log's schema: its steps, the roles that hosts work under, the triggers that guard it, the log's invariants.

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
    /// The role that pages are read under.
    pub reader: RoleFacts,
    /// Tables whose rows the reader's role sees without regard to their tenant.
    pub unguarded: Vec<String>,
    /// Whether the login itself is held to one tenant, as one that inherits the reader's role is.
    pub is_held: bool,
    /// The triggers that refuse changes of history.
    pub triggers: Vec<TriggerFacts>,
    /// The log itself; none where its tables are missing.
    pub log: Option<LogFacts>,
}

/// A role of the host's.
#[derive(Debug, Clone)]
pub struct RoleFacts {
    /// Its name.
    pub name: String,
    /// Whether it exists.
    pub exists: bool,
    /// Whether the login may take it.
    pub can_be_taken: bool,
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
    /// Its name.
    pub name: String,
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

/// The rights of the runtime role on tables, one for each that the host uses.
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

/// The rights that only `append_batch_v1` and `append_all_v1` may use, and their owner.
const FORBIDDEN: [(&str, &str); 14] = [
    ("everfold.event_store", "INSERT"),
    ("everfold.event_store", "UPDATE"),
    ("everfold.event_store", "DELETE"),
    ("everfold.event_store", "TRUNCATE"),
    ("everfold.log_head", "UPDATE"),
    ("everfold.log_head", "DELETE"),
    ("everfold.log_head", "TRUNCATE"),
    ("everfold.receipts", "INSERT"),
    ("everfold.receipts", "UPDATE"),
    ("everfold.receipts", "TRUNCATE"),
    ("everfold.event_kinds", "INSERT"),
    ("everfold.event_kinds", "UPDATE"),
    ("everfold.event_kinds", "DELETE"),
    ("everfold.event_kinds", "TRUNCATE"),
];

/// The rights of the reader's role: what it needs.
const READ: [(&str, &str); 5] = [
    ("everfold.event_store", "SELECT"),
    ("everfold.snapshots", "SELECT"),
    ("everfold.modules", "SELECT"),
    ("everfold.event_kinds", "SELECT"),
    ("everfold.log_head", "SELECT"),
];

/// And what it must not have.
const UNREADABLE: [(&str, &str); 8] = [
    ("everfold.receipts", "SELECT"),
    ("everfold.event_store", "INSERT"),
    ("everfold.snapshots", "INSERT"),
    ("everfold.snapshots", "UPDATE"),
    ("everfold.snapshots", "DELETE"),
    ("everfold.receipts", "DELETE"),
    ("everfold.modules", "INSERT"),
    ("everfold.log_head", "UPDATE"),
];

/// The triggers that guard, by table.
const GUARDS: [(&str, &str); 7] = [
    ("event_store", "append_only"),
    ("event_store", "only_appended"),
    ("receipts", "append_only"),
    ("receipts", "only_appended"),
    ("event_kinds", "append_only"),
    ("event_kinds", "only_appended"),
    ("log_head", "append_only"),
];

pub(super) async fn examine(connection: &mut PgConnection) -> Result<Option<SchemaFacts>, sqlx::Error> {
    let Some(owner) = owner(connection).await? else { return Ok(None) };
    let steps = Steps::of(connection).await?;
    let mut runtime = role(connection, "everfold_runtime_", &NEEDED, &FORBIDDEN).await?;
    if runtime.exists {
        let uncallable = uncallable(connection, &runtime.name).await?;
        runtime.lacks.extend(uncallable.into_iter().map(|function| format!("EXECUTE on everfold.{function}")));
    }
    let reader = role(connection, "everfold_reader_", &READ, &UNREADABLE).await?;
    let unguarded = if reader.exists { unguarded(connection, &reader.name).await? } else { Vec::new() };
    let is_held = is_held(connection).await?;
    let triggers = triggers(connection, &steps.missing).await?;
    let log = if has_log(connection).await? { Some(log(connection).await?) } else { None };
    let (missing_steps, newer_steps) = (steps.missing, steps.newer);
    Ok(Some(SchemaFacts {
        missing_steps,
        newer_steps,
        owner,
        role: runtime,
        reader,
        unguarded,
        is_held,
        triggers,
        log,
    }))
}

async fn owner(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT pg_get_userbyid(nspowner)::text AS "owner!" FROM pg_namespace WHERE nspname = 'everfold'"#
    )
    .fetch_optional(connection)
    .await
}

/// The name is made here as `everfold.runtime_role()` and `everfold.reader_role()` make theirs: they may be missing.
async fn role(
    connection: &mut PgConnection,
    prefix: &str,
    needed: &[(&str, &str)],
    forbidden: &[(&str, &str)],
) -> Result<RoleFacts, sqlx::Error> {
    // Since PostgreSQL 16 not every member of a role may take it.
    let row = sqlx::query!(
        r#"SELECT n.name AS "name!", r.oid IS NOT NULL AS "exists!",
                  coalesce(pg_has_role(current_user, r.oid, CASE WHEN current_setting('server_version_num')::int >= 160000
                                                                 THEN 'SET' ELSE 'MEMBER' END), false) AS "can_be_taken!",
                  coalesce(has_schema_privilege(r.oid, 'everfold', 'USAGE'), false) AS "uses_schema!"
           FROM (SELECT left($1 || pg_get_userbyid(nspowner), 63) AS name
                 FROM pg_namespace WHERE nspname = 'everfold') n
           LEFT JOIN pg_roles r ON r.rolname = n.name"#,
        prefix,
    )
    .fetch_one(&mut *connection)
    .await?;
    let (name, exists, can_be_taken) = (row.name, row.exists, row.can_be_taken);
    let mut role = RoleFacts { name, exists, can_be_taken, lacks: Vec::new(), excess: Vec::new() };
    if role.exists {
        if !row.uses_schema {
            role.lacks.push("USAGE on schema everfold".to_owned());
        }
        let held = rights(connection, &role.name, needed).await?;
        role.lacks.extend(named(needed, &held, false));
        let held = rights(connection, &role.name, forbidden).await?;
        role.excess = named(forbidden, &held, true);
    }
    Ok(role)
}

/// The ways into the log that the role has no right to, or that aren't there.
async fn uncallable(connection: &mut PgConnection, role: &str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT f.name AS "name!" FROM unnest('{append_batch_v1, append_all_v1}'::text[]) f(name)
           WHERE NOT coalesce((SELECT bool_and(has_function_privilege($1::text::name, p.oid, 'EXECUTE')) FROM pg_proc p
                               WHERE p.proname = f.name AND p.pronamespace = to_regnamespace('everfold')), false)"#,
        role,
    )
    .fetch_all(connection)
    .await
}

/// The tables with tenants where the policy that holds the reader to one doesn't work.
async fn unguarded(connection: &mut PgConnection, reader: &str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT t.name AS "table!" FROM unnest('{event_store, snapshots, receipts}'::text[]) t(name)
           WHERE NOT EXISTS (
               SELECT FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid JOIN pg_roles r ON r.oid = ANY (p.polroles)
               WHERE c.relnamespace = to_regnamespace('everfold') AND c.relname = t.name AND c.relrowsecurity
                 AND p.polname = 'own_tenant' AND NOT p.polpermissive AND r.rolname = $1
                 AND NOT r.rolbypassrls AND NOT r.rolsuper)"#,
        reader,
    )
    .fetch_all(connection)
    .await
}

/// Asked of the policies, not of the reader's name: it may be the reader of an owner before. Not checked at compile time:
/// it is a question of the catalogs alone.
async fn is_held(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT coalesce(row_security_active(to_regclass('everfold.event_store')), false)
                AND EXISTS (SELECT FROM pg_policy p, unnest(p.polroles) held
                            WHERE p.polrelid = to_regclass('everfold.event_store') AND NOT p.polpermissive
                              AND CASE held WHEN 0 THEN true ELSE pg_has_role(current_user, held, 'USAGE') END)",
    )
    .fetch_one(connection)
    .await
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

/// Those that the steps which are applied have made.
async fn triggers(connection: &mut PgConnection, missing: &[i64]) -> Result<Vec<TriggerFacts>, sqlx::Error> {
    let working = sqlx::query!(
        r#"SELECT c.relname::text AS "table!", t.tgname::text AS "name!"
           FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
           WHERE t.tgenabled IN ('O', 'A') AND c.relnamespace = to_regnamespace('everfold')"#
    )
    .fetch_all(connection)
    .await?;
    let facts = |(table, name): &(&str, &str)| TriggerFacts {
        table: (*table).to_owned(),
        name: (*name).to_owned(),
        works: working.iter().any(|found| found.table == *table && found.name == *name),
    };
    let is_later =
        |(table, name): &(&str, &str)| *name == "only_appended" || matches!(*table, "receipts" | "event_kinds");
    Ok(GUARDS.iter().filter(|guard| !(missing.contains(&7) && is_later(guard))).map(facts).collect())
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
