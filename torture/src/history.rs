//! What the clients did and heard, as they saw it: the ledger that the log is held to afterwards.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Nanoseconds since the run began, by the driver's monotonic clock: one process, one clock, so that times of all
/// clients can be compared.
pub(crate) type Instant = u64;

/// A stream of the aggregate type `vault`. Tenants use the same ids on purpose.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Stream {
    /// Whose stream it is.
    pub(crate) tenant: String,
    /// Its id.
    pub(crate) id: String,
}

/// What a client wants done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Call {
    /// The command `Move`: an event for each amount, unless the balance would fall below zero on the way.
    Move {
        /// The amounts, in order; never empty.
        amounts: Vec<i64>,
    },
    /// The command `Touch`: decides no events.
    Touch,
    /// The command `Trap`: the guest panics.
    Trap,
    /// Events appended raw, without a decision: `Moved` with these amounts, whatever the balance.
    Append {
        /// The amounts, in order; never empty, and never negative, so that the balance stays one.
        amounts: Vec<i64>,
    },
    /// Reads the state.
    Read {
        /// Whatever the host has in memory will do.
        stale: bool,
    },
}

/// What a call demands of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Expected {
    /// Nothing.
    Any,
    /// That it has no events.
    NoStream,
    /// That it has some.
    Exists,
    /// That it is at this version.
    Exact(i64),
}

/// One thing that a client wanted, with every attempt at it. Only calls with an idempotency key are attempted again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Operation {
    /// Unique in the run. It is in every event that the operation makes: see [`Operation::token`].
    pub(crate) id: u64,
    /// Who wanted it. A client does one thing after the other, except for the lines of one bulk request.
    pub(crate) client: u32,
    /// Where.
    pub(crate) stream: Stream,
    /// What.
    pub(crate) call: Call,
    /// On which condition.
    pub(crate) expected: Expected,
    /// The idempotency key of every attempt.
    pub(crate) key: Option<String>,
    /// What was tried, in the order in which it was sent, perhaps at two hosts at the same time; never empty.
    pub(crate) attempts: Vec<Attempt>,
}

/// One request, and what came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Attempt {
    /// Which host was asked, from 0.
    pub(crate) host: usize,
    /// Just before it was sent.
    pub(crate) sent: Instant,
    /// Just after the answer was read, or the wait for it given up.
    pub(crate) done: Instant,
    /// What the client knows then.
    pub(crate) answer: Answer,
}

/// What a client knows of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// 200 to a command or an append: committed.
    Executed {
        /// The stream's version after it; -1 where it still has no events.
        version: i64,
        /// Its events, in order.
        events: Vec<Place>,
        /// Whether it is said to be an earlier attempt's answer.
        replayed: bool,
    },
    /// The domain's no, decided on committed state.
    Rejected {
        /// The domain's code.
        code: String,
        /// The balance that it was decided on.
        balance: i64,
        /// Whether it is said to be an earlier attempt's answer.
        replayed: bool,
    },
    /// 200 to a read.
    State {
        /// The version of the state.
        version: i64,
        /// The state.
        state: VaultState,
    },
    /// A read found no stream.
    Absent,
    /// The stream wasn't as expected.
    Conflict {
        /// Where it was instead.
        actual: i64,
    },
    /// Any other problem whose code says that nothing was executed.
    NotExecuted {
        /// The problem's code, or `not-sent` where no connection was had.
        code: String,
    },
    /// Nobody said what came of it: `outcome-unknown`, a connection that broke, silence.
    Unknown {
        /// What was heard instead.
        why: String,
    },
    /// An answer that a host must never give, such as `internal` or one that can't be read.
    Wrong {
        /// The answer.
        what: String,
    },
}

/// Where an event is said to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Its id.
    pub(crate) event_id: Uuid,
    /// Its place in its stream.
    pub(crate) version: i64,
    /// Its place in the log.
    pub(crate) position: i64,
}

/// The state of a vault, as both versions of the module show it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VaultState {
    /// The sum of all amounts.
    pub(crate) balance: i64,
    /// How many events were folded.
    pub(crate) entries: u64,
    /// A hash over the tokens and amounts of all events, in order: see [`crate::vault`].
    pub(crate) digest: u64,
    /// The token of the last event.
    pub(crate) last: String,
}

impl fmt::Display for Stream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.tenant, self.id)
    }
}

impl Operation {
    /// What the operation's events carry, beginning with the tenant that wanted them: `TENANT/op-ID`.
    pub(crate) fn token(&self) -> String {
        format!("{}/op-{}", self.stream.tenant, self.id)
    }

    /// The time before which it can't have taken effect: when the first attempt was sent of which no answer says that
    /// it did nothing.
    pub(crate) fn began(&self) -> Instant {
        let able = self.attempts.iter().filter(|attempt| !attempt.answer.is_without_effect());
        able.map(|attempt| attempt.sent).min().or(self.attempts.first().map(|attempt| attempt.sent)).unwrap_or(0)
    }

    /// The attempt that settled it, with its answer: with the outcome, where one was told. `None` where all are unknown or
    /// not executed.
    pub(crate) fn settled(&self) -> Option<&Attempt> {
        let outcome = self.attempts.iter().find(|attempt| attempt.answer.is_outcome());
        outcome.or_else(|| self.attempts.iter().find(|attempt| attempt.answer.is_settling()))
    }

    /// Whether every attempt was answered in a way that says that nothing was executed.
    pub(crate) fn surely_not_executed(&self) -> bool {
        self.attempts.iter().all(|attempt| attempt.answer.is_without_effect())
    }
}

impl Answer {
    /// Whether it says that this attempt did nothing. Another attempt at the same operation may have.
    pub(crate) fn is_without_effect(&self) -> bool {
        matches!(self, Self::NotExecuted { .. } | Self::Conflict { .. })
    }

    /// Whether it is the operation's outcome, which a receipt keeps: the same for every attempt from then on.
    pub(crate) fn is_outcome(&self) -> bool {
        matches!(self, Self::Executed { .. } | Self::Rejected { .. })
    }

    /// Whether the client needs to ask no more.
    pub(crate) fn is_settling(&self) -> bool {
        matches!(
            self,
            Self::Executed { .. } | Self::Rejected { .. } | Self::State { .. } | Self::Absent | Self::Conflict { .. }
        )
    }
}

/// What a live reader of one tenant got, in the order in which it got it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Tail {
    /// Whose log was read.
    pub(crate) tenant: String,
    /// Every event, with the time at which it was got.
    pub(crate) events: Vec<TailedEvent>,
}

/// An event as a live reader got it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TailedEvent {
    /// When it was got.
    pub(crate) got: Instant,
    /// Its place in the log.
    pub(crate) position: i64,
    /// Its id.
    pub(crate) event_id: Uuid,
    /// Its stream, and the tenant that the host named.
    pub(crate) stream: Stream,
    /// Its place in its stream.
    pub(crate) version: i64,
}

/// A row of `snapshots`, as it was seen at some time while the run went on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SeenSnapshot {
    /// When it was seen.
    pub(crate) seen: Instant,
    /// Its stream.
    pub(crate) stream: Stream,
    /// Digest of the module that took it, in hex.
    pub(crate) module: String,
    /// The version that it was taken at.
    pub(crate) version: i64,
    /// Id of the event at that version.
    pub(crate) event_id: Uuid,
    /// The state as stored.
    pub(crate) state: VaultState,
}

/// A row of the log, read from PostgreSQL itself after everything has settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogRow {
    /// Its place in the log.
    pub(crate) position: i64,
    /// Its stream.
    pub(crate) stream: Stream,
    /// Its place in its stream.
    pub(crate) version: i64,
    /// Its id.
    pub(crate) event_id: Uuid,
    /// When it was committed, in microseconds since 1970.
    pub(crate) created_at: i64,
    /// The token in its payload.
    pub(crate) token: String,
    /// The amount in its payload.
    pub(crate) amount: i64,
    /// Which of its operation's events it is, from 0.
    pub(crate) nth: u32,
}

/// Something that went wrong on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Disturbance {
    /// What, as faults are named on the command line of the harness.
    pub(crate) fault: String,
    /// Which host it was about, where it was about one.
    pub(crate) host: usize,
    /// When it began.
    pub(crate) begin: Instant,
    /// When it was over.
    pub(crate) end: Instant,
}

/// Everything that was seen of a run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct History {
    /// What the clients did.
    pub(crate) operations: Vec<Operation>,
    /// What went wrong on purpose.
    #[serde(default)]
    pub(crate) disturbances: Vec<Disturbance>,
    /// What the live readers got through the hosts.
    pub(crate) tails: Vec<Tail>,
    /// What a reader with `position > last` got from PostgreSQL itself while the run went on: positions and ids.
    pub(crate) raw_tail: Vec<(i64, Uuid)>,
    /// Snapshots seen while the run went on, in the order in which they were seen.
    pub(crate) snapshots: Vec<SeenSnapshot>,
    /// Attempts at operations that had settled before, made after everything was over and repeated until they settled:
    /// the operation's id and the answer.
    pub(crate) late_retries: Vec<(u64, Answer)>,
    /// Strong reads of every stream from every host, after the late retries and repeated until answered: host, stream,
    /// answer.
    pub(crate) last_reads: Vec<(usize, Stream, Answer)>,
    /// The whole log after the last reads.
    pub(crate) log: Vec<LogRow>,
}
