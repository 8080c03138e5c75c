//! `cargo xtask guests`: the examples' and the tests' modules, from source to component.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use wit_component::ComponentEncoder;

use crate::wasm_std::WasmStd;
use crate::workspace::{Workspace, manifest_metadata};

/// One component to build: a guest's folder, or a variant of it.
pub(crate) struct Guest {
    /// Name of the component's file, without `.wasm`.
    pub(crate) name: String,
    /// The project's folder.
    pub(crate) folder: PathBuf,
    /// The features that make the variant.
    pub(crate) features: Vec<String>,
}

/// Where components are left.
pub(crate) fn components_folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("guests")
}

/// Builds the guests of these names, or all.
pub(crate) fn run(workspace: &Workspace, names: &[String]) -> Result<()> {
    let guests = select(all(workspace)?, names)?;
    let folder = components_folder(workspace);
    let build_folder = workspace.target.join("guest-build");
    fs::create_dir_all(&folder)?;
    fs::create_dir_all(&build_folder)?;
    // Guests that share a crate's name share a file in cargo's folder: another run must not write it meanwhile.
    let lock = File::create(build_folder.join("xtask.lock"))?;
    lock.lock()?;

    let wasm_std = WasmStd::find(workspace)?;
    let mut failed = Vec::new();
    for guest in &guests {
        let started = Instant::now();
        match build(workspace, &wasm_std, &build_folder, guest) {
            Ok(size) => {
                let took = started.elapsed().as_secs_f32();
                eprintln!("  {}.wasm: {} KB, {took:.1} s", guest.name, size / 1024);
            }
            Err(error) => {
                // One that can't be built fails its own tests, not the build of the others.
                eprintln!("  {}: {error:#}", guest.name);
                let _ = fs::remove_file(component_file(workspace, &guest.name));
                failed.push(guest.name.as_str());
            }
        }
    }
    if !failed.is_empty() {
        bail!("can't build {}", failed.join(", "));
    }
    eprintln!("{} modules in {}", guests.len(), folder.display());
    Ok(())
}

/// The component's file.
pub(crate) fn component_file(workspace: &Workspace, name: &str) -> PathBuf {
    components_folder(workspace).join(format!("{name}.wasm"))
}

/// Every guest of the repository, with the variants that its Cargo.toml names.
fn all(workspace: &Workspace) -> Result<Vec<Guest>> {
    let mut guests: Vec<Guest> = Vec::new();
    for folder in workspace.guest_folders()? {
        for guest in of_folder(&folder)? {
            if let Some(other) = guests.iter().find(|other| other.name == guest.name) {
                let (one, two) = (other.folder.display(), guest.folder.display());
                bail!("{one} and {two} both make {}.wasm: rename one of the folders or variants", guest.name);
            }
            guests.push(guest);
        }
    }
    Ok(guests)
}

/// The guest in `folder` and its variants.
pub(crate) fn of_folder(folder: &Path) -> Result<Vec<Guest>> {
    let manifest = folder.join("Cargo.toml");
    let metadata = manifest_metadata(&manifest)?;
    let package = metadata["packages"]
        .as_array()
        .and_then(|packages| packages.iter().find(|package| is_same(&package["manifest_path"], &manifest)))
        .with_context(|| format!("{} has no package", manifest.display()))?;
    let name = folder.file_name().context("a guest's folder has no name")?.to_string_lossy().into_owned();
    let mut guests = vec![Guest { name, folder: folder.to_path_buf(), features: Vec::new() }];
    for variant in package["metadata"]["everfold"]["variants"].as_array().into_iter().flatten() {
        let (name, features) = parse_variant(variant).with_context(|| {
            format!(
                "in {}: a variant is written {{ name = \"NAME\", features = [\"FEATURE\"] }}, not {variant}",
                manifest.display()
            )
        })?;
        guests.push(Guest { name, folder: folder.to_path_buf(), features });
    }
    Ok(guests)
}

fn parse_variant(variant: &Value) -> Option<(String, Vec<String>)> {
    let name = variant["name"].as_str()?.to_owned();
    let features = variant["features"].as_array()?.iter().map(|feature| feature.as_str().map(str::to_owned));
    Some((name, features.collect::<Option<_>>()?))
}

fn select(guests: Vec<Guest>, names: &[String]) -> Result<Vec<Guest>> {
    for name in names {
        if !guests.iter().any(|guest| guest.name == *name) {
            let known: Vec<&str> = guests.iter().map(|guest| guest.name.as_str()).collect();
            bail!("there is no guest {name}; there are: {}", known.join(", "));
        }
    }
    Ok(guests.into_iter().filter(|guest| names.is_empty() || names.contains(&guest.name)).collect())
}

/// Builds one component and answers its size in bytes.
fn build(workspace: &Workspace, wasm_std: &WasmStd, build_folder: &Path, guest: &Guest) -> Result<usize> {
    let core_file = compile(workspace, wasm_std, build_folder, guest)?;
    let core = fs::read(&core_file).with_context(|| format!("can't read {}", core_file.display()))?;
    let component = componentize(&core)?;
    let file = component_file(workspace, &guest.name);
    // Encoding takes milliseconds; a file that stays the same keeps its time, and nobody reloads it.
    if fs::read(&file).ok().as_ref() != Some(&component) {
        let temporary = file.with_extension("wasm.partial");
        fs::write(&temporary, &component).with_context(|| format!("can't write {}", temporary.display()))?;
        fs::rename(&temporary, &file).with_context(|| format!("can't write {}", file.display()))?;
    }
    Ok(component.len())
}

/// The component that a core module stands for: its contract lies in the module as data.
fn componentize(core: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(core).context("is the contract in it? it must export an aggregate")?;
    encoder.encode().context("can't make a component of it")
}

/// Runs cargo and answers where the core module is.
fn compile(workspace: &Workspace, wasm_std: &WasmStd, build_folder: &Path, guest: &Guest) -> Result<PathBuf> {
    let manifest = guest.folder.join("Cargo.toml");
    let mut cargo = wasm_std.cargo(workspace, "rustc");
    cargo.args(["--release", "--locked", "--message-format=json-render-diagnostics"]);
    cargo.arg("--manifest-path").arg(&manifest).arg("--target-dir").arg(build_folder);
    if !guest.features.is_empty() {
        cargo.arg("--features").arg(guest.features.join(","));
    }
    // All guests share cargo's folder, for the sake of their dependencies. Two things keep them apart there: by itself
    // cargo gives a `cdylib` no hash in its file's name, and takes projects of one name and version for one; either
    // way it would call the wrong file up to date. The setting, made for rustc's own build, gives the name a hash,
    // and an argument of the guest's own makes that hash differ.
    cargo.env("__CARGO_DEFAULT_LIB_METADATA", "everfold-guests");
    cargo.args(["--lib", "--", "--cfg", &format!("everfold_guest={:?}", guest.name)]);
    let mut child = cargo.stdout(Stdio::piped()).spawn().context("can't start cargo")?;
    let messages = child.stdout.take().context("cargo has no output")?;
    let mut core = None;
    for line in BufReader::new(messages).lines() {
        if let Ok(message) = serde_json::from_str::<Value>(&line?)
            && is_same(&message["manifest_path"], &manifest)
        {
            core = core_module(&message).or(core);
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("cargo rustc ended with {status} (a missing or outdated Cargo.lock is fixed by `cargo update` there)");
    }
    core.with_context(|| format!("{} makes no .wasm file: is its crate-type \"cdylib\"?", manifest.display()))
}

fn core_module(message: &Value) -> Option<PathBuf> {
    let files = message["filenames"].as_array()?.iter().filter_map(Value::as_str);
    files.filter(|file| file.ends_with(".wasm")).map(PathBuf::from).next()
}

/// Whether cargo's name of a manifest means this file.
fn is_same(named: &Value, manifest: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    named.as_str().is_some_and(|named| real(Path::new(named)).is_some_and(|named| Some(named) == real(manifest)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn named(names: &[&str]) -> Vec<Guest> {
        let guest = |name: &&str| Guest { name: (*name).to_owned(), folder: PathBuf::new(), features: Vec::new() };
        names.iter().map(guest).collect()
    }

    #[test]
    fn an_unknown_guest_is_answered_with_the_known_ones() {
        let error = select(named(&["bank-account", "counter"]), &["bank".to_owned()]).err().unwrap().to_string();
        assert!(error.contains("no guest bank;") && error.ends_with("bank-account, counter"), "{error}");
        assert_eq!(select(named(&["a", "b"]), &["b".to_owned()]).unwrap().len(), 1);
        assert_eq!(select(named(&["a", "b"]), &[]).unwrap().len(), 2);
    }

    #[test]
    fn a_variant_has_a_name_and_features() {
        let (name, features) = parse_variant(&json!({"name": "counter-v2", "features": ["v2"]})).unwrap();
        assert_eq!((name.as_str(), features), ("counter-v2", vec!["v2".to_owned()]));
        assert!(parse_variant(&json!({"name": "counter-v2"})).is_none());
        assert!(parse_variant(&json!({"name": "counter-v2", "features": [2]})).is_none());
    }

    #[test]
    fn the_core_module_is_the_wasm_file() {
        let message = json!({"filenames": ["target/libcounter.rlib", "target/counter.wasm"]});
        assert_eq!(core_module(&message).unwrap(), PathBuf::from("target/counter.wasm"));
        assert!(core_module(&json!({"filenames": ["target/libcounter.rlib"]})).is_none());
    }
}
