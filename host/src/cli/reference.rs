//! `everfold reference …`: the pages of the documentation that are made from the code. `cargo xtask docs` keeps them.

use std::fmt::Write as _;
use std::io::Write as _;

use super::metrics;
use crate::config::reference;
use crate::model::{Metric, MetricKind};

/// A page that is made from the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Page {
    /// docs/configuration.md
    Configuration,
    /// docs/metrics.md
    Metrics,
}

pub(super) fn run(page: Page) -> anyhow::Result<()> {
    Ok(std::io::stdout().lock().write_all(text(page).as_bytes())?)
}

fn text(page: Page) -> String {
    match page {
        Page::Configuration => configuration(),
        Page::Metrics => metrics_page(),
    }
}

const CONFIGURATION: &str = "# Configuration

<!-- Made from the code by `cargo xtask docs`: edit the doc comments of `config::Settings` instead. -->

Settings come from, the later of these winning:

1. the defaults;
2. the settings file: the one that `--config` or `EVERFOLD_CONFIG` names, else `everfold.toml` in the working directory,
   where there is one;
3. the environment: `EVERFOLD_` and the setting's name in capitals; `DATABASE_URL` stands for `EVERFOLD_DATABASE_URL`; a
   variable that is empty isn't set;
4. the command line: the common settings have flags, every one can be given as `--set NAME=VALUE`.

A name that no setting has is an error, and so is a value that doesn't fit; both name where they were written.
`everfold config show` prints the settings as they hold, and where each came from. Relative paths are relative to the
working directory.

```toml
# everfold.toml
listen = \"127.0.0.1:7400\"
modules_dir = \"/srv/everfold/modules\"
modules_mode = \"manual\"
log_format = \"json\"
```

Keep `database_url` out of the file where others can read that; the environment and systemd's credentials are better.

";

fn configuration() -> String {
    let mut page = CONFIGURATION.to_owned();
    for setting in reference() {
        let default = setting.default.map_or_else(|| "not set".to_owned(), |default| format!("`{default}`"));
        let _ = writeln!(page, "## `{}`\n", setting.key);
        let _ = writeln!(page, "Default: {default} · `{}` · `{}`\n", setting.variable, setting.flag);
        let _ = writeln!(page, "{}\n", setting.help);
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

const METRICS: &str = "# Metrics

<!-- Made from the code by `cargo xtask docs`: edit the doc comments of the rooms' `metrics.rs` instead. -->

`GET /metrics` answers in Prometheus' text format; it never waits for the database. Counters begin at 0 with the process.
Labels have few values: declared aggregate types, codes, routes. What callers can invent (ids, tenants, types that no
module has) is never one. Which of these to alert on is in [operating](operating.md#monitoring).
";

fn metrics_page() -> String {
    let mut page = METRICS.to_owned();
    for (title, table) in metrics::TABLES {
        let _ = write!(page, "\n## {title}\n\n| metric | kind | labels | |\n|---|---|---|---|\n");
        table.iter().for_each(|metric| row(&mut page, metric));
    }
    page
}

fn row(page: &mut String, metric: &Metric) {
    let kind = match metric.kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram(_) => "histogram",
    };
    let labels = metric.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
    let _ = writeln!(page, "| `{}` | {kind} | {labels} | {} |", metric.name, metric.help.trim());
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_pages_are_what_the_code_says() {
        let pages = [
            (Page::Configuration, include_str!("../../../docs/configuration.md")),
            (Page::Metrics, include_str!("../../../docs/metrics.md")),
        ];
        for (page, committed) in pages {
            assert!(
                text(page) == committed,
                "docs/{page:?} is stale: run `cargo xtask docs` and commit what it writes"
            );
        }
    }

    #[test]
    fn every_metric_has_a_name_of_its_own_that_follows_the_rules() {
        let mut names = HashSet::new();
        for metric in metrics::TABLES.iter().flat_map(|(_, table)| *table) {
            assert!(names.insert(metric.name), "{} is declared twice", metric.name);
            assert!(metric.name.starts_with("everfold_") || metric.name.starts_with("process_"), "{}", metric.name);
            let is_counter = matches!(metric.kind, MetricKind::Counter);
            assert_eq!(metric.name.ends_with("_total"), is_counter, "{}: counters alone end so", metric.name);
            assert!(metric.help.ends_with('.'), "{}: {}", metric.name, metric.help);
        }
    }
}
