//! Commands: what an aggregate can be asked to do.

/// The commands of one aggregate: an enum whose variants are the commands. Derived with
/// [`#[derive(CommandSet)]`](macro@crate::CommandSet); its items are called by the SDK.
pub trait CommandSet: Sized + 'static {
    /// The commands that are declared.
    const COMMANDS: &'static [CommandType];

    /// Decodes a command by its name.
    ///
    /// # Errors
    /// When no command has that name, or the payload doesn't fit it.
    fn decode(name: &str, payload: &[u8]) -> Result<Self, CommandError>;

    /// The command as a caller would send it.
    ///
    /// # Panics
    /// When a payload has no JSON form, such as a map whose keys aren't strings.
    fn encode(self) -> EncodedCommand;
}

/// One declared command.
#[derive(Clone, Copy, Debug)]
pub struct CommandType {
    /// Its name.
    pub name: &'static str,
    /// What it does, for people: the variant's doc comment.
    pub description: Option<&'static str>,
    /// Makes the JSON Schema (2020-12) of the payload.
    pub schema: fn() -> String,
}

/// A command as a caller sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedCommand {
    /// Its name.
    pub name: &'static str,
    /// The payload, JSON.
    pub payload: Vec<u8>,
}

/// Why a command can't be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// No command of that name is declared.
    Unknown,
    /// The payload doesn't fit the command.
    Invalid {
        /// What is wrong.
        message: String,
        /// JSON pointer (RFC 6901) to the faulty part; empty for the whole payload.
        pointer: String,
    },
}
