//! Pages can't go stale unseen: code in them is code of the repository, their links lead somewhere, and each is listed.
//!
//! A code block that is taken from a file stands under a comment with the file's name, `<!-- examples/job/src/lib.rs -->`.
//! Its lines are lines of the file, in the same order; a line `// …` stands for some that are left out.

use std::path::Path;

use super::Finding;

/// The folder whose pages show no Rust code but the repository's, and its list of pages.
const BOOK: &str = "docs/";
const SUMMARY: &str = "docs/SUMMARY.md";

/// All rules for a page; `name` is its path from the root.
pub(super) fn check(root: &Path, name: &str, text: &str) -> Vec<Finding> {
    let (blocks, prose) = split(text);
    let mut findings: Vec<Finding> = blocks.iter().filter_map(|block| check_block(root, name, block)).collect();
    findings.extend(prose.iter().filter_map(|(line, link)| check_link(root, name, text, *line, link)));
    let is_page = name.starts_with(BOOK) && name != SUMMARY;
    let listed = || std::fs::read_to_string(root.join(SUMMARY)).unwrap_or_default();
    if is_page && !listed().contains(&format!("({})", &name[BOOK.len()..])) {
        let (what, fix) = (format!("{SUMMARY} doesn't list it"), "add the page there");
        findings.push(finding(name, 1, what, fix));
    }
    findings
}

/// A fenced block of code.
#[derive(Debug, Default, PartialEq, Eq)]
struct Block<'a> {
    /// The number of its first line within the fences, from 1.
    first: usize,
    language: &'a str,
    /// The file that it is taken from.
    source: Option<&'a str>,
    lines: Vec<&'a str>,
}

/// A page's blocks, and the links outside them with the numbers of their lines.
fn split(text: &str) -> (Vec<Block<'_>>, Vec<(usize, &str)>) {
    let (mut blocks, mut links) = (Vec::new(), Vec::new());
    let (mut open, mut source) = (None::<Block<'_>>, None);
    for (number, line) in (1..).zip(text.lines()) {
        match (line.strip_prefix("```"), open.take()) {
            (Some(_), Some(block)) => blocks.push(block),
            (Some(language), None) => {
                open = Some(Block { first: number + 1, language, source: source.take(), lines: Vec::new() });
            }
            (None, Some(mut block)) => {
                block.lines.push(line);
                open = Some(block);
            }
            (None, None) => {
                source = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->"));
                links.extend(links_of(line).map(|link| (number, link)));
            }
        }
    }
    (blocks, links)
}

/// What stands between `](` and `)`.
fn links_of(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

fn check_block(root: &Path, name: &str, block: &Block<'_>) -> Option<Finding> {
    let Some(source) = block.source else {
        let is_loose = block.language.starts_with("rust") && name.starts_with(BOOK);
        let fix = "write the file that it is taken from above it: <!-- examples/job/src/lib.rs -->";
        return is_loose.then(|| finding(name, block.first, "code that nothing checks".to_owned(), fix));
    };
    let Ok(text) = std::fs::read_to_string(root.join(source)) else {
        let what = format!("code from {source}, which can't be read");
        return Some(finding(name, block.first, what, "name a file from the repository's root"));
    };
    let missing = missing_line(&block.lines, &text.lines().collect::<Vec<_>>())?;
    let what = format!("{source} doesn't go on so: {}", block.lines[missing].trim());
    Some(finding(name, block.first + missing, what, "copy it anew; a line `// …` stands for lines that are left out"))
}

/// The first line of the block that isn't where it should be in the file.
fn missing_line(block: &[&str], file: &[&str]) -> Option<usize> {
    let mut from = 0;
    let mut begin = 0;
    for piece in block.split(|line| line.trim() == "// …") {
        let matching = |at: usize| piece.iter().zip(&file[at..]).take_while(|(shown, real)| shown == real).count();
        let best = (from..file.len()).map(|at| (matching(at), std::cmp::Reverse(at))).max();
        let (matched, std::cmp::Reverse(at)) = best.unwrap_or((0, std::cmp::Reverse(file.len())));
        if matched < piece.len() {
            return Some(begin + matched);
        }
        from = at + piece.len();
        begin += piece.len() + 1;
    }
    None
}

/// A link within the repository leads to a file, and if it says so to a heading in it.
fn check_link(root: &Path, name: &str, text: &str, line: usize, link: &str) -> Option<Finding> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = root.join(name).parent()?.join(file);
    if !target.exists() {
        return Some(finding(name, line, format!("a link to {link}, where nothing is"), "mend the link"));
    }
    let other = if file.is_empty() { None } else { std::fs::read_to_string(&target).ok() };
    let headings =
        other.as_deref().unwrap_or(text).lines().filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
    if !anchor.is_empty() && !headings.map(slug).any(|heading| heading == anchor) {
        return Some(finding(name, line, format!("a link to {link}, which is no heading there"), "mend the link"));
    }
    None
}

/// A heading as links name it.
fn slug(heading: &str) -> String {
    let letters = heading.trim().to_lowercase();
    letters.chars().filter(|it| it.is_alphanumeric() || " -_".contains(*it)).collect::<String>().replace(' ', "-")
}

fn finding(name: &str, line: usize, what: String, fix: &str) -> Finding {
    Finding { file: name.to_owned(), line, what, fix: fix.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_know_their_files_and_prose_its_links() {
        let text =
            "See [a](b.md#c) and [d](e).\n\n<!-- src/lib.rs -->\n```rust\nfn f() {}\n[no](link)\n```\n```sh\nls\n```\n";
        let (blocks, links) = split(text);
        let rust =
            Block { first: 5, language: "rust", source: Some("src/lib.rs"), lines: vec!["fn f() {}", "[no](link)"] };
        assert_eq!(blocks, [rust, Block { first: 9, language: "sh", source: None, lines: vec!["ls"] }]);
        assert_eq!(links, [(1, "b.md#c"), (1, "e")]);
    }

    #[test]
    fn a_block_is_lines_of_its_file_in_order() {
        let file = ["struct A {", "    b: u8,", "    c: u8,", "}", "fn f() {}"];
        assert_eq!(missing_line(&["struct A {", "    // …", "    c: u8,", "}"], &file), None);
        assert_eq!(missing_line(&["fn f() {}"], &file), None);
        assert_eq!(missing_line(&["struct A {", "    c: u8,"], &file), Some(1), "nothing is left out unseen");
        assert_eq!(missing_line(&["fn f() {}", "// …", "}"], &file), Some(2), "that is further up");
        assert_eq!(missing_line(&["fn g() {}"], &file), Some(0));
        assert_eq!(missing_line(&["fn f() {}", "fn g() {}"], &file), Some(1));
    }

    #[test]
    fn pages_of_this_repository_are_checked_for_code_links_and_their_place() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let whats = |name: &str, text: &str| check(root, name, text).into_iter().map(|it| it.what).collect::<Vec<_>>();
        let fine = "# On A, and b\n[x](../xtask/Cargo.toml) [y](#on-a-and-b) [z](https://example.org)\n";
        assert_eq!(whats("docs/tour.md", fine), [""; 0]);
        assert_eq!(whats("docs/tour.md", "[x](none.md)\n"), ["a link to none.md, where nothing is"]);
        assert_eq!(whats("docs/tour.md", "[x](#none)\n"), ["a link to #none, which is no heading there"]);
        assert_eq!(whats("docs/tour.md", "```rust\nfn f() {}\n```\n"), ["code that nothing checks"]);
        assert_eq!(whats("docs/unlisted.md", ""), ["docs/SUMMARY.md doesn't list it"]);
        let stale = "<!-- xtask/Cargo.toml -->\n```toml\n[package]\nname = \"other\"\n```\n";
        let findings = check(root, "README.md", stale);
        assert_eq!((findings[0].line, findings.len()), (4, 1), "{findings:?}");
    }
}
