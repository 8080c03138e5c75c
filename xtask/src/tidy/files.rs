//! The rules that hold for every file, whatever its room.

use super::Finding;
use super::source::Source;

/// Nobody reads a longer file in one sitting.
const MOST_LINES: usize = 800;

/// The files that may say `unsafe`, each with the one thing that it needs it for.
const UNSAFE_ALLOWED: [(&str, &str); 2] = [
    ("guest-sdk/src/allocator.rs", "an allocator is handed raw memory, and hands it out"),
    ("host/src/runtime/compiled_cache.rs", "wasmtime loads its own compiled code by an unsafe function"),
];

/// Where the home folders of people are. Written in parts, so that this file keeps its own rule.
const HOMES: [&str; 3] = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];

/// Rules for any text.
pub(super) fn check_text(name: &str, text: &str) -> Vec<Finding> {
    let in_home = |line: &str| HOMES.into_iter().find(|home| has_path(line, home));
    let finding = |number: usize, home: &str| Finding {
        file: name.to_owned(),
        line: number + 1,
        what: format!("a path in somebody's home folder ({home}…)"),
        fix: "name it from the repository's root, or by a variable".to_owned(),
    };
    text.lines().enumerate().filter_map(|(number, line)| Some(finding(number, in_home(line)?))).collect()
}

/// Whether the line has a path that begins like this: not one that only goes through a folder of that name.
fn has_path(line: &str, beginning: &str) -> bool {
    let before_path = |at: usize| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|letter| letter.is_alphanumeric() || "/._-}~$".contains(letter))
    };
    let named = |at: usize| line[at + beginning.len()..].starts_with(|letter: char| letter.is_alphanumeric());
    line.match_indices(beginning).any(|(at, _)| before_path(at) && named(at))
}

/// Rules for a Rust file's text.
pub(super) fn check_rust_text(name: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut finding = |line: usize, what: String, fix: &str| {
        findings.push(Finding { file: name.to_owned(), line, what, fix: fix.to_owned() });
    };
    let lines = text.lines().count();
    if lines > MOST_LINES {
        finding(MOST_LINES + 1, format!("{lines} lines, more than {MOST_LINES}"), "split it by what its parts are for");
    }
    if !text.trim_start().starts_with("//!") {
        finding(1, "it doesn't open with `//!`".to_owned(), "begin with a sentence that says what the file is for");
    }
    findings
}

/// `unsafe` only where the list says so.
pub(super) fn check_unsafe(name: &str, source: &Source) -> Vec<Finding> {
    if UNSAFE_ALLOWED.iter().any(|(allowed, _)| *allowed == name) {
        return Vec::new();
    }
    let finding = |line: &usize| Finding {
        file: name.to_owned(),
        line: *line,
        what: "`unsafe`".to_owned(),
        fix: "use a safe crate; where there is none, add the file and the reason to UNSAFE_ALLOWED in tidy".to_owned(),
    };
    source.unsafe_lines.iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_paths_are_found_and_others_are_not() {
        let path = format!("see {}ada/notes", HOMES[0]);
        let findings = check_text("README.md", &format!("fine\n{path}\n"));
        assert_eq!((findings.len(), findings[0].line), (1, 2));
        let through = format!("https://example.org{}page and $prefix{}x", HOMES[0], HOMES[1]);
        assert!(check_text("README.md", &through).is_empty(), "{through}");
        assert!(check_text("README.md", &format!("folders below {} are skipped", HOMES[0])).is_empty());
    }

    #[test]
    fn a_file_opens_with_its_purpose_and_ends_in_time() {
        assert!(check_rust_text("a.rs", "//! It adds.\nfn add() {}\n").is_empty());
        assert_eq!(check_rust_text("a.rs", "fn add() {}\n")[0].line, 1);
        let long = format!("//! Long.\n{}", "//\n".repeat(MOST_LINES));
        assert_eq!(check_rust_text("a.rs", &long)[0].what, "801 lines, more than 800");
    }

    #[test]
    fn unsafe_is_found_outside_the_list_only() {
        let source = Source::parse("host/src/lib.rs", "fn f() {\n  unsafe { g() }\n}").unwrap();
        assert_eq!(check_unsafe("host/src/lib.rs", &source)[0].line, 2);
        assert!(check_unsafe(UNSAFE_ALLOWED[0].0, &source).is_empty());
        let prose = Source::parse("host/src/lib.rs", "/// Not unsafe.\nfn f() { let _ = \"unsafe\"; }").unwrap();
        assert!(check_unsafe("host/src/lib.rs", &prose).is_empty());
    }
}
