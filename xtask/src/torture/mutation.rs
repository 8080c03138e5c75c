//! One way to break the host, as a file of `torture/mutations` describes it: edits, and who is to notice.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::tree::Tree;

/// Where mutations are described, from the root.
const FOLDER: &str = "torture/mutations";

/// The query data that the host is built with, from the root.
const QUERIES: &str = "host/.sqlx";

/// A mutation.
#[derive(Debug)]
pub(super) struct Mutation {
    /// The file's name without its ending.
    pub(super) name: String,
    pub(super) description: Description,
}

/// What its file says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    /// The rule that it breaks.
    pub(super) breaks: String,
    /// Names of integration tests, or parts of names: some of them must fail.
    #[serde(default)]
    pub(super) tests: Vec<String>,
    /// Runs of the harness: one of them must find a violation.
    pub(super) harness: Option<Harness>,
    #[serde(rename = "edit")]
    edits: Vec<Edit>,
}

/// How the harness is run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Harness {
    /// The faults; all where there are none.
    #[serde(default)]
    pub(super) only: Vec<String>,
    /// How many hosts.
    #[serde(default = "three")]
    pub(super) hosts: u8,
}

/// One replacement.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    /// The file, from the root.
    file: String,
    /// What stands there, exactly once.
    old: String,
    /// What is put there.
    new: String,
}

fn three() -> u8 {
    3
}

/// The mutations of these names, or all, in the order of their names.
pub(super) fn load(root: &Path, names: &[String]) -> Result<Vec<Mutation>> {
    let folder = root.join(FOLDER);
    let mut all = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("can't read {}", folder.display()))? {
        let file = entry?.path();
        let Some(name) = file.file_name().and_then(|name| name.to_str()?.strip_suffix(".toml")) else { continue };
        let text = fs::read_to_string(&file)?;
        let description = parse(&text).with_context(|| format!("in {}", file.display()))?;
        all.push(Mutation { name: name.to_owned(), description });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|mutation| mutation.name != **name)) {
        let known: Vec<&str> = all.iter().map(|mutation| mutation.name.as_str()).collect();
        bail!("there is no mutation {unknown}; there are: {}", known.join(", "));
    }
    all.retain(|mutation| names.is_empty() || names.contains(&mutation.name));
    Ok(all)
}

fn parse(text: &str) -> Result<Description> {
    let description: Description = toml::from_str(text)?;
    if description.edits.is_empty() {
        bail!("it changes nothing");
    }
    if description.tests.is_empty() && description.harness.is_none() {
        bail!("nobody is to notice it: name tests, or the harness");
    }
    Ok(description)
}

impl Mutation {
    /// Makes the edits in the copy.
    pub(super) fn apply(&self, tree: &Tree) -> Result<()> {
        for edit in &self.description.edits {
            let mutated = replace_once(&tree.read(&edit.file)?, &edit.old, &edit.new)
                .with_context(|| format!("{} is out of date: {}", self.name, edit.file))?;
            tree.write(&edit.file, &mutated)?;
            if edit.file.ends_with(".rs") {
                for file in fs::read_dir(tree.workspace.root.join(QUERIES))? {
                    let data = serde_json::from_str(&fs::read_to_string(file?.path())?)?;
                    if let Some((name, data)) = described(data, edit) {
                        tree.write(&format!("{QUERIES}/{name}"), &data.to_string())?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The text with `old`, which must stand there exactly once, replaced.
fn replace_once(text: &str, old: &str, new: &str) -> Result<String> {
    match text.matches(old).count() {
        _ if old.is_empty() || old == new => bail!("the edit replaces nothing"),
        0 => bail!("what is to be replaced isn't there:\n{old}"),
        1 => Ok(text.replacen(old, new, 1)),
        found => bail!("what is to be replaced is there {found} times:\n{old}"),
    }
}

/// The data of a query that the edit changes, and its file's name: an edited query takes and answers the same, so that its
/// data is that of the old one under the name of the new. No database has to be asked.
fn described(mut data: Value, edit: &Edit) -> Option<(String, Value)> {
    let query = data["query"].as_str().filter(|query| query.contains(&edit.old))?.replace(&edit.old, &edit.new);
    let hash: String = Sha256::digest(&query).iter().map(|byte| format!("{byte:02x}")).collect();
    data["query"] = query.into();
    data["hash"] = hash.as_str().into();
    Some((format!("query-{hash}.json"), data))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::workspace::Workspace;

    #[test]
    fn exactly_one_place_is_replaced() {
        assert_eq!(replace_once("SELECT 1 FOR UPDATE;", " FOR UPDATE", "").unwrap(), "SELECT 1;");
        let message = |text, old, new| replace_once(text, old, new).unwrap_err().to_string();
        assert!(message("a", "b", "c").contains("isn't there"));
        assert!(message("a a", "a", "b").contains("2 times"));
        assert!(message("a", "a", "a").contains("nothing"));
        assert!(message("a", "", "b").contains("nothing"));
    }

    #[test]
    fn a_changed_query_is_described_like_the_old_one() {
        let old = json!({"query": "SELECT a FROM t WHERE b", "describe": {"columns": []}, "hash": "x"});
        let edit = |old: &str| Edit { file: "f.rs".into(), old: old.into(), new: String::new() };
        assert_eq!(described(old.clone(), &edit(" WHERE c")), None);
        let (name, new) = described(old.clone(), &edit(" WHERE b")).unwrap();
        // The name is what `sha256sum` says of the new text.
        assert_eq!(name, "query-dbfc8aa9ef14b12f5b3eff811061521e9b550151246a54185b6ad7033500c670.json");
        assert_eq!((&new["query"], &new["describe"]), (&json!("SELECT a FROM t"), &old["describe"]));
    }

    #[test]
    fn a_description_names_edits_and_who_notices() {
        let edit = "[[edit]]\nfile = 'a'\nold = 'b'\nnew = 'c'\n";
        let message = |text: &str| parse(text).unwrap_err().to_string();
        assert!(message(&format!("breaks = 'r'\n{edit}")).contains("nobody"));
        assert!(message(&format!("breaks = 'r'\ntest = ['t']\n{edit}")).contains("test"));
        let harness = parse(&format!("breaks = 'r'\n[harness]\nonly = ['cut']\n{edit}")).unwrap().harness;
        assert_eq!(harness, Some(Harness { only: vec!["cut".to_owned()], hosts: 3 }));
    }

    #[test]
    fn every_mutation_is_up_to_date() {
        let root = Workspace::open().unwrap().root;
        for mutation in load(&root, &[]).unwrap() {
            for edit in &mutation.description.edits {
                let text = fs::read_to_string(root.join(&edit.file)).unwrap();
                assert!(replace_once(&text, &edit.old, &edit.new).is_ok(), "{}: {}", mutation.name, edit.file);
            }
        }
    }
}
