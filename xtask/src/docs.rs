//! `cargo xtask docs`: writes the pages of the documentation that are made from the code. The host makes them, so they say
//! what it does; its tests fail where a committed page says something else.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{output, run as run_to_end};
use crate::workspace::Workspace;

/// The pages, as `everfold reference` and the folder `docs` call them.
const PAGES: [&str; 2] = ["configuration", "metrics"];

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let folder = workspace.root.join("docs");
    fs::create_dir_all(&folder)?;
    // Of the whole workspace, as the tests build it: so the dependencies keep the features that they were compiled with.
    run_to_end(workspace.cargo().args(["build", "--quiet", "--workspace", "--bins"]))?;
    for page in PAGES {
        let text = output(Command::new(workspace.target.join("debug/everfold")).args(["reference", page]))?;
        let file = folder.join(format!("{page}.md"));
        fs::write(&file, text).with_context(|| format!("can't write {}", file.display()))?;
        println!("docs/{page}.md");
    }
    Ok(())
}
