//! `docs/tour.md` is true: its commands are run one after the other on a real host, and what they say is compared.
//!
//! `EVERFOLD_BLESS=1 cargo xtask test tour` writes what they say now into the page.

mod page;
mod session;
mod shell;
mod text;

use std::path::{Path, PathBuf};

use self::page::Page;
use self::session::Session;

/// The pages whose console blocks are run, each on a new host.
const PAGES: [&str; 1] = ["docs/tour.md"];

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_shows_what_a_host_answers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for name in PAGES {
        let path = root.join(name);
        let shown = std::fs::read_to_string(&path).unwrap();
        let page = Page::parse(&shown);
        assert!(page.commands().count() > 0, "{name} has no ```console block with a line that begins with `$ `");
        let mut session = Session::new();
        let mut outputs = Vec::new();
        for command in page.commands() {
            outputs.push(session.run(command).await);
        }
        session.end().await;
        let said = page.with_outputs(&outputs);
        if std::env::var_os("EVERFOLD_BLESS").is_some() {
            std::fs::write(&path, said).unwrap();
        } else if let Some((number, shown, said)) = first_difference(&shown, &said) {
            panic!(
                "{name}:{number} isn't what a host says\n  page: {shown}\n  host: {said}\n\
                 if the host is right: EVERFOLD_BLESS=1 cargo xtask test tour"
            );
        }
    }
}

/// The first line in which two texts differ, counted from 1.
fn first_difference<'a>(shown: &'a str, said: &'a str) -> Option<(usize, &'a str, &'a str)> {
    let lines = shown.lines().count().max(said.lines().count());
    let line = |text: &'a str, index| text.lines().nth(index).unwrap_or("(nothing)");
    let mut pairs = (0..lines).map(|index| (index + 1, line(shown, index), line(said, index)));
    pairs.find(|(_, shown, said)| shown != said)
}

/// The folder with the components that `cargo xtask guests` built.
fn guests_folder() -> PathBuf {
    let beside_tests = || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("guests");
    std::env::var_os("EVERFOLD_GUESTS_DIR").map_or_else(beside_tests, PathBuf::from)
}
