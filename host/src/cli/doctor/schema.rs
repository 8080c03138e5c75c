//! The log's schema, role, triggers and invariants, judged.

use super::report::Report;
use crate::store::{Examination, LogFacts, SchemaFacts};

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
    let name = &role.name;
    if !role.exists {
        let said = format!(
            "the role {name} doesn't exist: hosts work under {}, which may do more than they need, and only triggers guard \
             the log",
            found.server.user
        );
        let advice = format!(
            "as a superuser: CREATE ROLE {name} NOLOGIN; GRANT {name} TO {}; then grant as in docs/operating.md",
            schema.owner
        );
        report.warning("role", said, advice);
        return;
    }
    let mut sound = true;
    if !role.can_be_taken && !found.server.is_superuser {
        sound = false;
        let user = &found.server.user;
        let said = format!("{user} may not take the role {name}: hosts work under {user} itself");
        report.warning("role", said, format!("GRANT {name} TO {user}"));
    }
    if !role.excess.is_empty() {
        sound = false;
        let said = format!("{name} has {}: a fault of the host could change history", role.excess.join(", "));
        let advice = format!("REVOKE each of them FROM {name} (and from PUBLIC)");
        report.broken("role", said, advice);
    }
    if !role.may_append {
        sound = false;
        let advice = format!("GRANT EXECUTE ON FUNCTION everfold.append_batch_v1 TO {name}");
        report.broken("role", format!("{name} may not append"), advice);
    }
    if !role.lacks.is_empty() {
        sound = false;
        let advice = format!("GRANT each of them TO {name}");
        report.broken("role", format!("{name} lacks {}", role.lacks.join(", ")), advice);
    }
    if sound {
        report.ok("role", format!("{name} can append and read, and not write the log by itself"));
    }
}

fn triggers(schema: &SchemaFacts, report: &mut Report) {
    let idle: Vec<&str> =
        schema.triggers.iter().filter(|found| !found.works).map(|found| found.table.as_str()).collect();
    if idle.is_empty() {
        report.ok("triggers", "history can't be changed, by its owner neither");
        return;
    }
    let said = format!("the trigger append_only is missing or disabled on {}", idle.join(", "));
    let advice = "ALTER TABLE everfold.… ENABLE TRIGGER append_only, or create it as migrations/0001_event_store.sql does; \
                  find out who removed it, and compare the log with a backup";
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
