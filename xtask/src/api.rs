//! The HTTP API from outside: tools that know nothing of Everfold read its description, and call a running host.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::demo::host::Host;
use crate::guests;
use crate::node::Node;
use crate::process::run;
use crate::python::Python;
use crate::workspace::Workspace;

/// The module that the host has.
pub(crate) const MODULE: &str = "bank-account";

/// The files of the checks, from the root: pinned versions, schemathesis's settings, the generated client's program.
pub(crate) const FOLDER: &str = "host/tests/api";

/// What schemathesis is told.
const SCHEMATHESIS: [&str; 2] = ["schemathesis.toml", "schemathesis_hooks.py"];

/// The files of the generated client's program.
const CLIENT: [&str; 3] = ["package.json", "tsconfig.json", "tour.ts"];

/// A running host, and the tools.
pub(crate) struct Checks {
    host: Host,
    python: Python,
    /// The folder with the Python packages.
    packages: PathBuf,
    node: Node,
    /// The folder with the npm packages.
    node_modules: PathBuf,
    sources: PathBuf,
    /// Where everything is written.
    folder: PathBuf,
}

impl Checks {
    /// Gets the tools and starts the host.
    pub(crate) fn start(workspace: &Workspace, postgres_bin: &Path) -> Result<Checks> {
        let sources = workspace.root.join(FOLDER);
        let python = Python::find(workspace)?;
        let packages = python.packages(workspace, &sources.join("requirements.txt"))?;
        let node = Node::find(workspace, &python, &sources.join("requirements-node.txt"))?;
        let node_modules = node.packages(workspace, &sources.join("client"))?;
        run(workspace.cargo().args(["build", "--workspace", "--bin", "everfold"]))?;

        let folder = workspace.target.join("api");
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("can't clear {}", folder.display()))?;
        }
        fs::create_dir_all(folder.join("modules"))?;
        fs::copy(guests::component_file(workspace, MODULE), folder.join("modules").join(format!("{MODULE}.wasm")))?;
        // With Ctrl-C the running tool ends, then the host is stopped.
        let interrupted = Arc::<AtomicBool>::default();
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
        }
        let mut host = Host::start(workspace, &folder, postgres_bin)?;
        host.wait_until_ready(&interrupted)?;
        println!("a host answers at {}", host.base());
        Ok(Checks { host, python, packages, node, node_modules, sources, folder })
    }

    /// Whether the description is OpenAPI 3.1.
    pub(crate) fn description(&self) -> Result<Vec<String>> {
        let file = self.folder.join("openapi.json");
        let mut answer = ureq::get(format!("{}/openapi.json", self.host.base())).call()?;
        fs::write(&file, answer.body_mut().read_to_vec()?)?;
        run(self.python_module("openapi_spec_validator").args(["--schema", "3.1"]).arg(&file))?;
        Ok(Vec::new())
    }

    /// Generates a client from the description, compiles the tour against it, and has it make its calls.
    pub(crate) fn generated_client(&self) -> Result<Vec<String>> {
        let folder = self.folder.join("client");
        fs::create_dir_all(&folder)?;
        for name in CLIENT {
            fs::copy(self.sources.join("client").join(name), folder.join(name))?;
        }
        symlink(&self.node_modules, folder.join("node_modules"))?;
        let description = format!("{}/openapi.json", self.host.base());
        self.node(&folder, "node_modules/openapi-typescript/bin/cli.js", &[&description, "--output", "api.d.ts"])?;
        self.node(&folder, "node_modules/typescript/bin/tsc", &["--project", "."])?;
        self.node(&folder, "built/tour.js", &[self.host.base()])?;
        Ok(Vec::new())
    }

    /// Has schemathesis call every operation with what its description allows, and with what it doesn't.
    pub(crate) fn schemathesis(&self) -> Result<Vec<String>> {
        for name in SCHEMATHESIS {
            fs::copy(self.sources.join(name), self.folder.join(name))?;
        }
        let mut schemathesis = self.python_module("schemathesis.cli");
        schemathesis.args(["--no-color", "run", &format!("{}/openapi.json", self.host.base())]);
        let ran = schemathesis.stdout(Stdio::piped()).spawn()?.wait_with_output()?;
        let said = String::from_utf8_lossy(&ran.stdout);
        println!("{said}");
        if !ran.status.success() {
            bail!("schemathesis ended with {}; the host's log ends with:\n{}", ran.status, self.host.last_log_lines());
        }
        let cases = said.lines().filter(|line| line.contains(" generated, ")).map(|line| line.trim().to_owned());
        Ok(cases.collect())
    }

    /// Stops the host, which must have survived it all.
    pub(crate) fn stop(self) -> Result<()> {
        self.host.stop()
    }

    fn python_module(&self, module: &str) -> Command {
        let mut python = self.python.command();
        python.env("PYTHONPATH", &self.packages).args(["-m", module]).current_dir(&self.folder);
        python
    }

    fn node(&self, folder: &Path, script: &str, arguments: &[&str]) -> Result<()> {
        run(self.node.command().arg(script).args(arguments).current_dir(folder))
    }
}
