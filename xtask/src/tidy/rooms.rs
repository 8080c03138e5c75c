//! The rooms of the host and the arrows between them: the table of CONTRIBUTING.md, enforced.

use super::Finding;
use super::source::{Named, Source};

/// One room of `host/src`.
struct Room {
    name: &'static str,
    /// The rooms that it may use, beside itself.
    may_use: &'static [&'static str],
    /// The crates that it never sees.
    never_sees: &'static [&'static str],
}

/// All rooms. An arrow that isn't here doesn't exist.
const ROOMS: [Room; 12] = [
    Room { name: "model", may_use: &[], never_sees: &["tokio", "sqlx", "axum", "wasmtime"] },
    Room { name: "store", may_use: &["model"], never_sees: &["axum", "wasmtime"] },
    Room { name: "runtime", may_use: &["model"], never_sees: &["sqlx", "axum"] },
    Room { name: "modules", may_use: &["model", "store", "runtime"], never_sees: &["axum"] },
    Room { name: "pipeline", may_use: &["model", "store", "runtime"], never_sees: &["axum", "sqlx", "wasmtime"] },
    Room { name: "outbox", may_use: &["model", "store", "publisher"], never_sees: &["axum", "wasmtime"] },
    Room { name: "publisher", may_use: &["model"], never_sees: &["axum", "sqlx", "wasmtime"] },
    Room {
        name: "http",
        may_use: &["model", "pipeline", "store", "modules", "outbox"],
        never_sees: &["sqlx", "wasmtime"],
    },
    Room { name: "cluster", may_use: &["model"], never_sees: &["axum", "wasmtime"] },
    Room { name: "config", may_use: &["model"], never_sees: &["axum", "sqlx", "wasmtime"] },
    Room { name: "telemetry", may_use: &["model"], never_sees: &["axum", "sqlx", "wasmtime"] },
    Room {
        name: "cli",
        may_use: &[
            "model",
            "store",
            "runtime",
            "modules",
            "pipeline",
            "outbox",
            "publisher",
            "http",
            "cluster",
            "config",
            "telemetry",
        ],
        never_sees: &[],
    },
];

/// The room whose macros make the contract's types.
const BINDINGS: &str = "runtime";

/// The room with all SQL.
const SQL: &str = "store";

/// The room that puts everything together, and with `main.rs` the only place where errors are erased.
const COMPOSITION: &str = "cli";

/// Checks one file of the host; `inside` is its path below `host/src`.
pub(super) fn check(file: &str, inside: &str, source: &Source) -> Vec<Finding> {
    let first = inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs");
    if first == "main" || first == "lib" {
        // They only name the rooms and start the command line.
        return Vec::new();
    }
    let Some(room) = find(first) else {
        return vec![Finding {
            file: file.to_owned(),
            line: 1,
            what: format!("there is no room `{first}`"),
            fix: "put the file into a room, or add the room to the tables in CONTRIBUTING.md and in tidy".to_owned(),
        }];
    };
    let mut findings: Vec<Finding> = source.paths.iter().filter_map(|named| check_path(file, room, named)).collect();
    // One place can name a path twice: as an attribute and as its arguments.
    findings.sort();
    findings.dedup();
    findings
}

fn find(name: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| room.name == name)
}

fn check_path(file: &str, room: &Room, named: &Named) -> Option<Finding> {
    let (what, fix) =
        check_arrow(room, named).or_else(|| check_crate(room, named)).or_else(|| check_macro(room, named))?;
    Some(Finding { file: file.to_owned(), line: named.line, what, fix })
}

/// The arrow from this room to the one that the path leads into.
fn check_arrow(room: &Room, named: &Named) -> Option<(String, String)> {
    let [root, target, ..] = named.segments.as_slice() else {
        return None;
    };
    if root != "crate" || target == room.name || find(target).is_none() || room.may_use.contains(&target.as_str()) {
        return None;
    }
    let allowed = if room.may_use.is_empty() { "no other room".to_owned() } else { room.may_use.join(", ") };
    Some((
        format!("`{}` may not use `{target}`", room.name),
        format!("it may use {allowed}: pass what it needs as a value, or let `{COMPOSITION}` put the two together"),
    ))
}

/// The crate that the path leads into.
fn check_crate(room: &Room, named: &Named) -> Option<(String, String)> {
    let root = named.segments.first()?.as_str();
    if room.never_sees.contains(&root) {
        let fix = format!("keep {root}'s types in the rooms that own them, and hand over types of `model`");
        return Some((format!("`{}` never sees the crate {root}", room.name), fix));
    }
    if root == "anyhow" && room.name != COMPOSITION && !named.in_tests {
        let fix = "add a variant to the room's error enum, cut by what the caller can do";
        return Some((format!("`{}` erases errors with anyhow", room.name), fix.to_owned()));
    }
    None
}

/// Macros and functions that belong to one room.
fn check_macro(room: &Room, named: &Named) -> Option<(String, String)> {
    let [.., last] = named.segments.as_slice() else {
        return None;
    };
    if last == "bindgen" && room.name != BINDINGS {
        let fix = format!("the contract's types are made in `{BINDINGS}` alone, which hands over types of `model`");
        return Some((format!("`bindgen!` in `{}`", room.name), fix));
    }
    let is_query = matches!(named.segments.as_slice(), [root, what, ..] if root == "sqlx" && what.starts_with("query"));
    if is_query && room.name != SQL {
        let fix = format!("make it a function of `{SQL}`, where all SQL is");
        return Some((format!("a query in `{}`", room.name), fix));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(inside: &str, text: &str) -> Vec<String> {
        let file = format!("host/src/{inside}");
        let source = Source::parse(&file, text).unwrap();
        check(&file, inside, &source).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn every_arrow_of_the_table_leads_to_a_room() {
        for room in ROOMS {
            assert!(room.may_use.iter().all(|target| find(target).is_some()), "{}", room.name);
            assert!(!room.may_use.contains(&COMPOSITION), "{} may not use {COMPOSITION}", room.name);
        }
    }

    #[test]
    fn an_arrow_of_the_table_is_fine_and_another_is_not() {
        assert!(findings("pipeline/shard.rs", "use crate::{model::Event, pipeline::x, store::load};").is_empty());
        assert_eq!(findings("pipeline/shard.rs", "use crate::http::Problem;"), ["`pipeline` may not use `http`"]);
        assert_eq!(findings("store.rs", "use crate::config::Settings;"), ["`store` may not use `config`"]);
        assert_eq!(findings("model/event.rs", "fn f() { crate::store::load() }"), ["`model` may not use `store`"]);
        assert!(findings("cli/serve.rs", "use crate::{http, cluster, config, telemetry};").is_empty());
        assert!(findings("main.rs", "use everfold::cli;").is_empty());
    }

    #[test]
    fn crates_stay_in_their_rooms() {
        assert_eq!(findings("model/event.rs", "use tokio::sync::Mutex;"), ["`model` never sees the crate tokio"]);
        assert_eq!(findings("http/page.rs", "fn f(error: sqlx::Error) {}"), ["`http` never sees the crate sqlx"]);
        assert!(findings("store/append.rs", "use sqlx::PgPool;").is_empty());
    }

    #[test]
    fn errors_are_erased_in_cli_and_in_tests_only() {
        assert_eq!(findings("store/append.rs", "use anyhow::Result;"), ["`store` erases errors with anyhow"]);
        assert!(findings("cli/serve.rs", "use anyhow::Result;").is_empty());
        assert!(findings("store/append.rs", "#[cfg(test)] mod tests { use anyhow::Result; }").is_empty());
    }

    #[test]
    fn bindings_and_queries_have_one_room_each() {
        assert_eq!(findings("modules/check.rs", "wasmtime::component::bindgen!({});"), ["`bindgen!` in `modules`"]);
        assert!(findings("runtime/v0_1_0.rs", "wasmtime::component::bindgen!({});").is_empty());
        assert_eq!(findings("cluster/start.rs", "fn f() { sqlx::query(\"select 1\"); }"), ["a query in `cluster`"]);
        assert_eq!(findings("outbox/lane.rs", "use sqlx::query_as;"), ["a query in `outbox`"]);
        assert!(findings("store/load.rs", "fn f() { sqlx::query!(\"select 1\"); }").is_empty());
    }

    #[test]
    fn a_new_room_is_noticed() {
        assert_eq!(findings("misc/helpers.rs", ""), ["there is no room `misc`"]);
    }
}
