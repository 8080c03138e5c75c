//! What the doctor found, for people and for machines.

use std::fmt;

use serde::Serialize;

/// How bad a finding is; its number is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Ok,
    Warning,
    Broken,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    check: &'static str,
    level: Level,
    /// What was found.
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

/// Everything that was looked at.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    findings: Vec<Finding>,
}

impl Report {
    pub(super) fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.findings.push(Finding { check, level: Level::Ok, found: found.into(), advice: None });
    }

    pub(super) fn warning(&mut self, check: &'static str, found: impl Into<String>, advice: impl Into<String>) {
        self.findings.push(Finding { check, level: Level::Warning, found: found.into(), advice: Some(advice.into()) });
    }

    pub(super) fn broken(&mut self, check: &'static str, found: impl Into<String>, advice: impl Into<String>) {
        self.findings.push(Finding { check, level: Level::Broken, found: found.into(), advice: Some(advice.into()) });
    }

    pub(super) fn worst(&self) -> Level {
        self.findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { check, level, found, advice } in &self.findings {
            let word = match level {
                Level::Ok => "ok",
                Level::Warning => "warning",
                Level::Broken => "BROKEN",
            };
            writeln!(f, "{word:8} {check}: {found}")?;
            if let Some(advice) = advice {
                writeln!(f, "{:8} -> {advice}", "")?;
            }
        }
        let count = |level| self.findings.iter().filter(|finding| finding.level == level).count();
        let (ok, warnings, broken) = (count(Level::Ok), count(Level::Warning), count(Level::Broken));
        writeln!(f, "{ok} ok, {warnings} warnings, {broken} broken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_decides() {
        let mut report = Report::default();
        assert_eq!(report.worst(), Level::Ok);
        report.ok("a", "fine");
        report.warning("b", "hm", "look");
        assert_eq!(report.worst() as u8, 1);
        report.broken("c", "gone", "mend it");
        assert_eq!(report.worst() as u8, 2);
        let text = report.to_string();
        assert!(
            text.contains("BROKEN   c: gone\n         -> mend it\n") && text.ends_with("1 ok, 1 warnings, 1 broken\n")
        );
    }
}
