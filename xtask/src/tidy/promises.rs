//! `PROMISES.md` names tests and checks as guards: each of them must be there.

use std::path::Path;

use super::Finding;

/// The one page that is held to this.
const PAGE: &str = "PROMISES.md";

/// Where tests are, and the harness's checks.
const TESTS: &str = "host/tests/it";
const CHECKS: &str = "torture/src";

/// Every guard on the page that isn't there.
pub(super) fn check(root: &Path, name: &str, text: &str) -> Vec<Finding> {
    if name != PAGE {
        return Vec::new();
    }
    let lines = (1..).zip(text.lines());
    let guards = lines.flat_map(|(line, text)| guards_of(text).map(move |guard| (line, guard)));
    let missing = guards.filter(|(_, guard)| !is_there(root, guard));
    missing
        .map(|(line, guard)| Finding {
            file: name.to_owned(),
            line,
            what: format!("{guard} guards a promise, and isn't there"),
            fix: "name it as the test runner or the harness does".to_owned(),
        })
        .collect()
}

/// What stands in backquotes and reads like a test's name or a check's.
fn guards_of(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted.filter(|text| text.starts_with("torture: ") || (text.contains("::") && !text.contains([' ', '*'])))
}

fn is_there(root: &Path, guard: &str) -> bool {
    if let Some(check) = guard.strip_prefix("torture: ") {
        return holds(&root.join(CHECKS), &format!("\"{check}\""));
    }
    let Some((module, test)) = guard.rsplit_once("::") else { return false };
    let module = root.join(TESTS).join(module.replace("::", "/"));
    [module.with_extension("rs"), module.join("mod.rs")]
        .iter()
        .any(|file| std::fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("fn {test}("))))
}

/// Whether a file below the folder has this text.
fn holds(folder: &Path, text: &str) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.into_iter().any(|path| {
        if path.is_dir() {
            holds(&path, text)
        } else {
            std::fs::read_to_string(&path).is_ok_and(|it| it.contains(text))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_are_told_from_other_words_in_backquotes() {
        let line = "`log::race::a`, `torture: log` and `fsync`, `a::*`, `Cargo.toml`";
        assert_eq!(guards_of(line).collect::<Vec<_>>(), ["log::race::a", "torture: log"]);
    }

    #[test]
    fn a_guard_that_is_gone_is_found() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let there = "`log::head_lock::a_stuck_writer_is_ended`, `torture: progress`";
        assert!(check(root, PAGE, there).is_empty());
        let gone = "one\n`log::head_lock::a_stuck_writer_is_forgiven`, `torture: luck`, `none::of::this`";
        let found = check(root, PAGE, gone);
        assert_eq!(found.iter().map(|finding| finding.line).collect::<Vec<_>>(), [2, 2, 2]);
        assert!(check(root, "README.md", gone).is_empty());
    }
}
