//! A counter with every ordinary ability a module has, for the host's tests. Its feature `v2` is the module that one
//! would swap to.

use everfold_sdk::prelude::*;

/// A counter that never falls below zero.
#[state]
#[derive(Clone, Debug, PartialEq)]
pub struct Counter {
    pub total: i64,
    pub note: Option<String>,
    /// How many numbers were added.
    #[cfg(feature = "v2")]
    pub additions: u64,
}

#[derive(Clone, Debug, EventSet)]
#[events(retired("Reset", 1 = reset))]
pub enum Event {
    /// A number was added.
    Added { n: i64 },
    /// The counter was labelled.
    #[event(version = 2, upcast(1 = noted_v1), renamed_from = "Labelled")]
    Noted { text: String, by: Option<String> },
}

/// The first version had the text alone, under another name.
fn noted_v1(old: Value) -> Value {
    json!({ "text": old["label"], "by": null })
}

/// A reset was once an event that carried what the counter held.
fn reset(old: Value) -> Option<Event> {
    let held = old["held"].as_i64().filter(|held| *held != 0)?;
    Some(Event::Added { n: -held })
}

#[derive(Clone, Debug, CommandSet)]
pub enum Command {
    /// Adds a number.
    Add { n: i64 },
    /// Adds 1, `n` times, in one decision.
    Many { n: u32 },
    /// Adds `n` only if the stream is at `version`: shows whether the host decided on the newest state.
    AddAt { n: i64, version: i64 },
    /// Answers no events.
    Nothing,
    /// Writes a note of its own length, for payloads of any size.
    Note { text: String },
    /// Notes the context that it was decided in, as JSON.
    NoteContext,
    /// Writes to the host's log, and answers no events.
    Log { message: String },
    /// Adds what is there once more.
    #[cfg(feature = "v2")]
    Double,
}

#[derive(Clone, Debug, Rejection)]
pub enum Error {
    /// The total would fall below zero.
    #[reject("{total} and {n} is below zero")]
    BelowZero { total: i64, n: i64 },
    /// `AddAt` found the stream elsewhere.
    #[reject("the stream is at {actual}")]
    Elsewhere { actual: i64 },
}

impl Aggregate for Counter {
    const TYPE: &'static str = "counter";
    const STATE_VERSION: u32 = if cfg!(feature = "v2") { 2 } else { 1 };
    const SNAPSHOT_INTERVAL: Option<u32> = Some(10);
    type Event = Event;
    type Command = Command;
    type Rejection = Error;

    fn apply(&mut self, event: Event) {
        match event {
            Event::Added { n } => {
                self.total = self.total.saturating_add(n);
                #[cfg(feature = "v2")]
                {
                    self.additions += 1;
                }
            }
            Event::Noted { text, .. } => self.note = Some(text),
        }
    }

    fn decide(&self, command: Command, ctx: &Context) -> Result<Vec<Event>, Error> {
        match command {
            Command::Add { n } => self.add(n),
            Command::Many { n } => Ok((0..n).map(|_| Event::Added { n: 1 }).collect()),
            Command::AddAt { version, .. } if version != ctx.version => Err(Error::Elsewhere { actual: ctx.version }),
            Command::AddAt { n, .. } => self.add(n),
            Command::Nothing => Ok(vec![]),
            Command::Note { text } => Ok(vec![Event::Noted { text, by: ctx.actor.clone() }]),
            Command::NoteContext => Ok(vec![Event::Noted { text: told(ctx), by: ctx.actor.clone() }]),
            Command::Log { message } => {
                log::info(message);
                Ok(vec![])
            }
            #[cfg(feature = "v2")]
            Command::Double => self.add(self.total),
        }
    }
}

impl Counter {
    fn add(&self, n: i64) -> Result<Vec<Event>, Error> {
        match self.total.saturating_add(n) {
            ..0 => Err(Error::BelowZero { total: self.total, n }),
            _ => Ok(vec![Event::Added { n }]),
        }
    }
}

fn told(ctx: &Context) -> String {
    json!({
        "time": ctx.time,
        "command_id": ctx.command_id,
        "seed": ctx.seed,
        "actor": ctx.actor,
        "tenant": ctx.tenant,
        "stream_id": ctx.stream_id,
        "version": ctx.version,
        "correlation_id": ctx.correlation_id,
    })
    .to_string()
}

everfold_sdk::export!(Counter);
