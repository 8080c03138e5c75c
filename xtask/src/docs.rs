//! `cargo xtask docs`: writes the pages of the documentation that are made from the code. The host makes them, so they say
//! what it does; its tests fail where a committed page says something else.

use std::fs;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// The pages, as `everfold reference` and the folder `docs` call them.
const PAGES: [&str; 2] = ["configuration", "metrics"];

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let folder = workspace.root.join("docs");
    fs::create_dir_all(&folder)?;
    for page in PAGES {
        let mut cargo = workspace.cargo();
        cargo.args(["run", "--quiet", "--package", "everfold", "--bin", "everfold", "--", "reference", page]);
        let made = cargo.stderr(Stdio::inherit()).output().context("can't start cargo")?;
        if !made.status.success() {
            bail!("the page {page} can't be made: {}", made.status);
        }
        let file = folder.join(format!("{page}.md"));
        fs::write(&file, made.stdout).with_context(|| format!("can't write {}", file.display()))?;
        println!("docs/{page}.md");
    }
    Ok(())
}
