//! The server and its settings, judged.

use std::net::IpAddr;

use super::report::Report;
use crate::config::Settings;
use crate::store::{Examination, Pooler, ServerFacts};

/// Major versions that Everfold is stated to run on.
const MAJORS: std::ops::RangeInclusive<i32> = 15..=18;
/// Clocks that are further apart are told, in seconds.
const CLOCK_SECONDS: f64 = 2.0;
/// What a host opens beside its pools: the writer, one to supervise, one to migrate.
const OTHER_CONNECTIONS: i64 = 3;

pub(super) fn judge(settings: &Settings, found: &Examination, report: &mut Report) {
    let server = &found.server;
    version(server, report);
    durability(server, report);
    writable(server, report);
    timeouts(server, report);
    pooler(found.pooler, report);
    connections(settings, server, report);
    way(server, report);
    clock(server, report);
}

fn version(server: &ServerFacts, report: &mut Report) {
    let (major, text) = (server.version / 10_000, server.setting("server_version"));
    if MAJORS.contains(&major) {
        report.ok("version", format!("PostgreSQL {text}"));
    } else if major < *MAJORS.start() {
        report.broken("version", format!("PostgreSQL {text} is too old"), "use PostgreSQL 15 or later");
    } else {
        let advice = "nothing speaks against it, but it was not tested: look for a newer Everfold";
        report.warning("version", format!("PostgreSQL {text} is newer than this host"), advice);
    }
    if server.encoding == "UTF8" {
        report.ok("encoding", "UTF8");
    } else {
        let advice = "create the database anew: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0";
        report.broken("encoding", format!("the database's encoding is {}", server.encoding), advice);
    }
}

/// Settings by which an acknowledged command can be lost, or a damaged one read.
fn durability(server: &ServerFacts, report: &mut Report) {
    let wrong = [
        ("fsync", "off", "a crash of the machine loses or destroys the log"),
        ("full_page_writes", "off", "a crash of the machine can tear pages of the log"),
        ("zero_damaged_pages", "on", "a damaged page is read as if it had held no events"),
        ("ignore_checksum_failure", "on", "a damaged page is read as if it were sound"),
    ];
    let mut sound = true;
    for (name, value, means) in wrong {
        if server.setting(name) == value {
            sound = false;
            let good = if value == "off" { "on" } else { "off" };
            report.broken("durability", format!("{name} is {value}: {means}"), format!("set {name} = {good}"));
        }
    }
    let (commit, standbys) = (server.setting("synchronous_commit"), server.setting("synchronous_standby_names"));
    if commit == "off" {
        sound = false;
        let means = "synchronous_commit is off: commits are answered before they are on disk; the writer sets it on for \
                     itself, other users of this database don't";
        report.warning(
            "durability",
            means,
            "ALTER DATABASE … RESET synchronous_commit (and the role's, and the server's)",
        );
    }
    if commit == "local" && !standbys.is_empty() {
        sound = false;
        let means = "synchronous_commit is local although there are synchronous standbys: a failover can lose answered commands";
        report.warning("durability", means, "set synchronous_commit = on");
    }
    if server.setting("data_checksums") == "off" {
        sound = false;
        let advice =
            "stop the server and run `pg_checksums --enable`, or make new clusters with `initdb --data-checksums`";
        report.warning("durability", "data_checksums is off: what a disk garbles goes unnoticed", advice);
    }
    if sound {
        let method = server.setting("wal_sync_method");
        report
            .ok("durability", format!("fsync, full_page_writes, checksums and synchronous_commit={commit} ({method})"));
    }
    if server.setting("autovacuum") == "off" {
        let advice = "set autovacuum = on: statistics get old, and in the end the server stops to prevent wrap-around";
        report.warning("autovacuum", "autovacuum is off", advice);
    }
}

fn writable(server: &ServerFacts, report: &mut Report) {
    if server.is_standby {
        let advice = "name the primary in DATABASE_URL (several addresses can't be tried in turn)";
        report.broken("writable", "the server is a standby: it takes no commands", advice);
    } else if server.setting("default_transaction_read_only") == "on" {
        let advice = "ALTER DATABASE … RESET default_transaction_read_only (and the role's, and the server's)";
        report.broken("writable", "default_transaction_read_only is on: it takes no commands", advice);
    } else {
        report.ok("writable", "a primary that takes writes");
    }
    if server.setting("session_replication_role") == "replica" {
        let advice = "ALTER ROLE … RESET session_replication_role (and the database's)";
        report.broken(
            "triggers",
            "session_replication_role is replica: the triggers that guard the log don't fire",
            advice,
        );
    }
}

/// The writer takes these off for itself; reads keep them.
fn timeouts(server: &ServerFacts, report: &mut Report) {
    let mut none = true;
    for name in ["statement_timeout", "transaction_timeout", "idle_session_timeout"] {
        let milliseconds: u64 = server.setting(name).parse().unwrap_or(0);
        if milliseconds > 0 {
            none = false;
            let advice = format!("ALTER ROLE … SET {name} = 0 for the host's login");
            let means = "the writer takes it off for itself, but reads and connections of the pools are cut by it";
            report.warning("timeouts", format!("{name} is {milliseconds} ms: {means}"), advice);
        }
    }
    if none {
        report.ok("timeouts", "no statement is cut short");
    }
}

fn pooler(pooler: Pooler, report: &mut Report) {
    match pooler {
        Pooler::None => report.ok("pooler", "none was noticed"),
        Pooler::Session => report.ok("pooler", "one that keeps sessions apart: fine, but the host pools by itself"),
        Pooler::Transaction => report.broken(
            "pooler",
            "a pooler shares sessions between transactions: settings, roles and prepared statements get mixed up",
            "connect to PostgreSQL itself, or set pool_mode = session for this database",
        ),
    }
}

fn connections(settings: &Settings, server: &ServerFacts, report: &mut Report) {
    let number = |name: &str| server.setting(name).parse::<i64>().unwrap_or(0);
    let places = number("max_connections") - number("superuser_reserved_connections");
    let places = server.connection_limit.map_or(places, |limit| places.min(limit.into()));
    // Each of the two pools has one at least.
    let wanted = i64::from(settings.database_connections.get().max(2)) + OTHER_CONNECTIONS;
    let said = format!("a host may open {wanted}; {places} are allowed, {} are open now", server.connections);
    if wanted > places {
        report.broken(
            "connections",
            said,
            "lower database_connections, or raise max_connections (or the role's limit)",
        );
    } else if wanted * 2 > places {
        report.warning(
            "connections",
            said,
            "two hosts at once, as in a roll-out, would not fit: raise max_connections",
        );
    } else {
        report.ok("connections", said);
    }
}

/// How the server is reached, and as whom.
fn way(server: &ServerFacts, report: &mut Report) {
    let remote = server
        .address
        .as_ref()
        .is_some_and(|address| address.parse::<IpAddr>().is_ok_and(|address| !address.is_loopback()));
    match (&server.address, server.tls, remote) {
        (None, _, _) => report.ok("encryption", "a Unix socket"),
        (Some(address), true, _) => report.ok("encryption", format!("TLS to {address}")),
        (Some(address), false, false) => report.ok("encryption", format!("without TLS, to {address} on this machine")),
        (Some(address), false, true) => report.warning(
            "encryption",
            format!("without TLS to {address}: events and password can be read on the way"),
            "add sslmode=verify-full&sslrootcert=FILE to DATABASE_URL",
        ),
    }
    if server.is_superuser && server.address.is_some() {
        let advice =
            "make a login of its own: CREATE ROLE everfold LOGIN CREATEROLE; ALTER DATABASE … OWNER TO everfold";
        report.warning("login", format!("{} is a superuser", server.user), advice);
    } else {
        report.ok("login", server.user.clone());
    }
}

fn clock(server: &ServerFacts, report: &mut Report) {
    let ahead = server.clock_ahead;
    let said = format!(
        "the server's clock is {:.1} s {} this machine's",
        ahead.abs(),
        if ahead < 0.0 { "behind" } else { "ahead of" }
    );
    if ahead.abs() > CLOCK_SECONDS {
        report.warning(
            "clock",
            said,
            "let both follow NTP: an event's occurred_at is the host's time, its created_at the server's",
        );
    } else {
        report.ok("clock", "the server's and this machine's agree");
    }
}
