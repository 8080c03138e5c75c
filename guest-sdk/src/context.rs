//! What a decision may depend on beside state and command.

use std::time::Duration;

use uuid::Uuid;

/// Everything a decision may depend on beside state and command: a module has no clock, randomness or network.
///
/// A command that is decided again, because another host was faster, gets the same `time`, `command_id` and `seed`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Context {
    /// The command's time, in milliseconds since 1970-01-01 UTC: the module's only clock.
    pub time: i64,
    /// The command's id, a UUID in its hyphenated form.
    pub command_id: String,
    /// A number drawn once for the command: the module's only randomness.
    pub seed: u64,
    /// Who sent the command, if the caller said so.
    pub actor: Option<String>,
    /// The tenant that the stream belongs to.
    pub tenant: String,
    /// The stream's id within its tenant and aggregate type.
    pub stream_id: String,
    /// Version of the stream's last event; -1 where the stream has none.
    pub version: i64,
    /// The correlation id that came with the command.
    pub correlation_id: Option<String>,
}

impl Context {
    /// The command's time as a duration since 1970-01-01 UTC, for a date library's constructor; zero for times before.
    pub fn since_epoch(&self) -> Duration {
        Duration::from_millis(self.time.try_into().unwrap_or(0))
    }

    /// An id that follows from the command's id and `name`: a UUID (version 5) in its hyphenated form. The same
    /// command gives the same ids however often it is decided, and each `name` another.
    ///
    /// ```
    /// # use everfold_sdk::testing::context;
    /// let ctx = context();
    /// assert_eq!(ctx.derive_id("line-1"), ctx.derive_id("line-1"));
    /// assert_ne!(ctx.derive_id("line-1"), ctx.derive_id("line-2"));
    /// ```
    pub fn derive_id(&self, name: &str) -> String {
        let path = format!("{}/{name}", self.command_id);
        Uuid::new_v5(&Uuid::NAMESPACE_OID, path.as_bytes()).hyphenated().to_string()
    }
}
