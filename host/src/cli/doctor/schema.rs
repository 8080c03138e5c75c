//! The log's schema, roles, triggers and invariants, judged.

use super::report::Report;
use crate::store::{Examination, LogFacts, RoleFacts, SchemaFacts};

/// A last event from further in the future says that a clock went back, in seconds.
const FUTURE_SECONDS: f64 = 2.0;

pub(super) fn judge(found: &Examination, report: &mut Report) {
    let Some(schema) = &found.schema else {
        report.broken(
            "schema",
            "the database was never migrated",
            "run `everfold migrate`; `everfold serve` does so too",
        );
        return;
    };
    steps(schema, report);
    role(found, schema, report);
    // Before its step there is no such role.
    if !schema.missing_steps.contains(&6) {
        reader(found, schema, report);
    }
    triggers(schema, report);
    match &schema.log {
        Some(log) => invariants(log, report),
        None => report.broken("log", "the log's tables are missing", "run `everfold migrate`, or restore a backup"),
    }
}

fn steps(schema: &SchemaFacts, report: &mut Report) {
    if !schema.missing_steps.is_empty() {
        let said = format!("migrations {:?} are not applied", schema.missing_steps);
        report.broken("schema", said, "run `everfold migrate`; `everfold serve` does so too");
    } else if schema.newer_steps.is_empty() {
        report.ok("schema", "current");
    } else {
        report
            .ok("schema", format!("migrations {:?} are a newer host's: this one works beside it", schema.newer_steps));
    }
}

fn role(found: &Examination, schema: &SchemaFacts, report: &mut Report) {
    let role = &schema.role;
    let (name, user) = (&role.name, &found.server.user);
    if !role.exists {
        let said = format!(
            "the role {name} doesn't exist: hosts work under {user}, which may do more than they need, and only triggers \
             guard the log"
        );
        return report.warning("role", said, made_by_hand(role, schema));
    }
    let mut sound = true;
    if !role.can_be_taken && !found.server.is_superuser {
        sound = false;
        let said = format!("{user} may not take the role {name}: hosts work under {user} itself");
        report.warning("role", said, given_to(role, user));
    }
    if !role.excess.is_empty() {
        sound = false;
        let said = format!("{name} has {}: a fault of the host could change history", role.excess.join(", "));
        report.broken("role", said, format!("REVOKE each of them FROM {name} (and from PUBLIC)"));
    }
    if !role.lacks.is_empty() {
        sound = false;
        report.broken("role", format!("{name} lacks {}", role.lacks.join(", ")), granted(schema));
    }
    if sound {
        report.ok("role", format!("{name} can append and read, and not write the log by itself"));
    }
}

/// The role that pages are read under. Without it a host works, so that nothing about it is broken but what it shows.
fn reader(found: &Examination, schema: &SchemaFacts, report: &mut Report) {
    const CHECK: &str = "reader role";
    let role = &schema.reader;
    let (name, user) = (&role.name, &found.server.user);
    let alone = "pages are read under the runtime role, and only their statements keep tenants apart";
    if !role.exists {
        return report.warning(CHECK, format!("the role {name} doesn't exist: {alone}"), made_by_hand(role, schema));
    }
    let mut sound = true;
    if schema.is_held && !schema.role.can_be_taken {
        sound = false;
        let said =
            format!("{user} inherits {name} and can't take {}: its sessions would see no events", schema.role.name);
        report.broken(CHECK, said, format!("{}, or REVOKE {name} FROM {user}", given_to(&schema.role, user)));
    }
    if !role.can_be_taken && !found.server.is_superuser {
        sound = false;
        // Alone it would hide the log from the host.
        let first = if schema.role.can_be_taken { "" } else { "once it can take the runtime role: " };
        let said = format!("{user} may not take the role {name}: {alone}");
        report.warning(CHECK, said, format!("{first}{}", given_to(role, user)));
    }
    if !role.lacks.is_empty() {
        sound = false;
        let said = format!("{name} lacks {}: pages fail, or {alone}", role.lacks.join(", "));
        report.broken(CHECK, said, granted(schema));
    }
    if !role.excess.is_empty() {
        sound = false;
        let advice = format!("REVOKE each of them FROM {name} (and from PUBLIC)");
        report.warning(CHECK, format!("{name} has {}: it is made for reading", role.excess.join(", ")), advice);
    }
    if !schema.unguarded.is_empty() {
        sound = false;
        let said = format!("{name} sees every tenant's rows of {}", schema.unguarded.join(", "));
        let advice = format!(
            "{}; ALTER TABLE everfold.… ENABLE ROW LEVEL SECURITY; ALTER ROLE {name} NOBYPASSRLS",
            granted(schema)
        );
        report.broken(CHECK, said, advice);
    }
    if sound {
        report.ok(CHECK, format!("{name} sees the rows of one tenant"));
    }
}

fn made_by_hand(role: &RoleFacts, schema: &SchemaFacts) -> String {
    let (name, owner) = (&role.name, &schema.owner);
    format!("as a superuser: CREATE ROLE {name} NOLOGIN; GRANT {name} TO {owner}; then {}", granted(schema))
}

/// Since PostgreSQL 16 a grant may be one that doesn't let its member take the role.
fn given_to(role: &RoleFacts, user: &str) -> String {
    format!("GRANT {name} TO {user} (since PostgreSQL 16: WITH SET TRUE)", name = role.name)
}

/// One statement that can be repeated, instead of a list of rights.
fn granted(schema: &SchemaFacts) -> String {
    format!("as {}, in this database: SELECT everfold.grant_roles()", schema.owner)
}

fn triggers(schema: &SchemaFacts, report: &mut Report) {
    let idle: Vec<String> = schema
        .triggers
        .iter()
        .filter(|found| !found.works)
        .map(|found| format!("{} on {}", found.name, found.table))
        .collect();
    if idle.is_empty() {
        return report.ok("triggers", "the log can't be changed nor written around, by its owner neither");
    }
    let said = format!("triggers that guard the log are missing or disabled: {}", idle.join(", "));
    let advice = "ALTER TABLE everfold.… ENABLE TRIGGER …, or create it as the files in migrations/ do; find out who removed \
                  it, and compare the log with a backup";
    report.broken("triggers", said, advice);
}

fn invariants(log: &LogFacts, report: &mut Report) {
    let mut sound = true;
    if log.holes > 0 {
        sound = false;
        let said = format!("{} of the last positions have no event: events were removed", log.holes);
        report.broken("log", said, "compare with a backup; readers that were past them have seen events that are gone");
    }
    if log.future_seconds > FUTURE_SECONDS {
        sound = false;
        let said = format!("the last event was committed {:.0} s from now, by the server's clock", log.future_seconds);
        let advice = "the server's clock was ahead and went back: new events bear the same time until it has caught up";
        report.warning("log", said, advice);
    }
    if sound {
        let last_at = log.last_at.map_or_else(|| "no event yet".to_owned(), |at| format!("last commit {at}"));
        report.ok("log", format!("position {}, epoch {}, {last_at}", log.last.max(log.floor), log.epoch));
    }
}
