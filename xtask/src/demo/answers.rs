//! What the demo expects of answers: every name of a JSON field that it relies on is in this file.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::client::Answer;

impl Answer {
    /// Fails unless the status is this.
    pub(super) fn expect(self, status: u16) -> Result<Answer> {
        if self.status != status {
            bail!("expected status {status}, got {}: {}", self.status, self.body);
        }
        Ok(self)
    }

    /// Fails unless it's an error with this status and `code`.
    pub(super) fn expect_problem(self, status: u16, code: &str) -> Result<Answer> {
        let answer = self.expect(status)?;
        answer.expect_field("/code", &code.into())?;
        Ok(answer)
    }

    /// Fails unless it's the domain's "no" with this code.
    pub(super) fn expect_rejection(self, code: &str) -> Result<()> {
        let answer = self.expect_problem(422, "rejected")?;
        answer.expect_field("/rejection/code", &code.into())
    }

    /// Fails unless a command left its stream at this version.
    pub(super) fn expect_version(&self, version: i64) -> Result<()> {
        self.expect_field("/version", &version.into())
    }

    /// Fails unless a state has this balance.
    pub(super) fn expect_balance(&self, balance: i64) -> Result<()> {
        self.expect_field("/state/balance", &balance.into())
    }

    /// The balance in a state.
    pub(super) fn balance(&self) -> Result<i64> {
        let balance = self.body.pointer("/state/balance").and_then(Value::as_i64);
        balance.with_context(|| format!("the answer has no state with a balance: {}", self.body))
    }

    /// The types of a page of events, in order.
    pub(super) fn event_types(&self) -> Result<Vec<&str>> {
        let Some(events) = self.body["events"].as_array() else {
            bail!("the answer has no list `events`: {}", self.body);
        };
        Ok(events.iter().filter_map(|event| event["event_type"].as_str()).collect())
    }

    /// The active version of a module.
    pub(super) fn module_version(&self, name: &str) -> Option<&str> {
        let modules = self.body["modules"].as_array()?;
        modules.iter().find(|module| module["name"] == name)?["version"].as_str()
    }

    fn expect_field(&self, pointer: &str, expected: &Value) -> Result<()> {
        match self.body.pointer(pointer) {
            Some(found) if found == expected => Ok(()),
            Some(found) => bail!("expected {expected} at {pointer}, got {found}: {}", self.body),
            None => bail!("expected {expected} at {pointer}, got nothing there: {}", self.body),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: Value) -> Answer {
        Answer { status, body }
    }

    #[test]
    fn a_mismatch_says_what_was_expected_and_what_came() {
        let error = answer(200, json!({"version": 1})).expect_version(2).unwrap_err().to_string();
        assert!(error.contains("expected 2 at /version, got 1"), "{error}");
        let error = answer(500, json!({"code": "x"})).expect(200).unwrap_err().to_string();
        assert!(error.contains("expected status 200, got 500"), "{error}");
        assert!(answer(200, json!({})).expect_balance(0).is_err());
    }

    #[test]
    fn a_rejection_needs_status_and_both_codes() {
        let body = json!({"code": "rejected", "rejection": {"code": "insufficient-funds"}});
        assert!(answer(422, body.clone()).expect_rejection("insufficient-funds").is_ok());
        assert!(answer(422, body.clone()).expect_rejection("closed").is_err());
        assert!(answer(409, body).expect_rejection("insufficient-funds").is_err());
    }

    #[test]
    fn a_module_is_found_by_name() {
        let modules = answer(200, json!({"modules": [{"name": "a", "version": "1.0.0"}]}));
        assert_eq!(modules.module_version("a"), Some("1.0.0"));
        assert_eq!(modules.module_version("b"), None);
    }
}
