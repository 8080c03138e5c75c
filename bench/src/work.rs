//! What clients ask for: the same commands on the same bank accounts, whoever answers them.

use std::fmt;

use uuid::Uuid;

/// Steps of an account until the client opens a new one.
const STEPS: usize = 10;

/// Kinds of work. The names are those of the printed table and of the JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Work {
    /// Each client opens an account, pays in nine times, and opens the next.
    Accounts,
    /// The same, each command with an idempotency key.
    Keyed,
    /// The same, but two commands of ten are rejected.
    Rejections,
    /// All clients pay into one account.
    OneStream,
    /// Each client makes one account of ten steps, and then reads its state.
    Reads,
    /// The same, content with the state that the host has at hand.
    StaleReads,
}

impl fmt::Display for Work {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Accounts => "accounts",
            Self::Keyed => "accounts, with keys",
            Self::Rejections => "accounts, 20 % rejected",
            Self::OneStream => "one stream",
            Self::Reads => "state reads",
            Self::StaleReads => "state reads, stale=ok",
        })
    }
}

/// What a client does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step<'a> {
    /// The account.
    pub(crate) stream: &'a str,
    /// What is asked of it.
    pub(crate) act: Act,
    /// The idempotency key.
    pub(crate) key: Option<Uuid>,
}

/// What is asked of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Opens it.
    Open,
    /// Pays one cent in.
    Deposit,
    /// Asks for more than there is.
    Overdraw,
    /// Reads its state; any committed one will do where `stale` is.
    Read {
        /// Whether an older state will do.
        stale: bool,
    },
}

impl Act {
    /// The command's name and payload; `None` for a read.
    pub(crate) fn command(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Open => Some(("Open", r#"{"owner":"Ann"}"#)),
            Self::Deposit => Some(("Deposit", r#"{"amount":1}"#)),
            Self::Overdraw => Some(("Withdraw", r#"{"amount":1000000}"#)),
            Self::Read { .. } => None,
        }
    }

    /// The event's type and payload, for stores without a domain; `None` where there is no event.
    pub(crate) fn event(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Open => Some(("Opened", r#"{"owner":"Ann"}"#)),
            Self::Deposit => Some(("Deposited", r#"{"amount":1}"#)),
            Self::Overdraw | Self::Read { .. } => None,
        }
    }
}

/// The steps of one client.
#[derive(Debug)]
pub(crate) struct Script {
    work: Work,
    stream: String,
    taken: usize,
}

impl Script {
    /// The beginning. `shared` is the account that all clients use where there is one.
    pub(crate) fn new(work: Work, shared: &str) -> Self {
        Self { work, stream: shared.to_owned(), taken: 0 }
    }

    /// The next step.
    pub(crate) fn next(&mut self) -> Step<'_> {
        let nth = self.taken % STEPS;
        let is_made = self.taken >= STEPS;
        self.taken += 1;
        let act = match self.work {
            Work::OneStream => Act::Deposit,
            Work::Reads | Work::StaleReads if is_made => Act::Read { stale: self.work == Work::StaleReads },
            _ if nth == 0 => Act::Open,
            Work::Rejections if nth % 5 == 4 => Act::Overdraw,
            _ => Act::Deposit,
        };
        if act == Act::Open {
            self.stream = fresh_stream();
        }
        Step { stream: &self.stream, act, key: (self.work == Work::Keyed).then(random_id) }
    }
}

/// The name of a stream that there isn't yet.
pub(crate) fn fresh_stream() -> String {
    random_id().to_string()
}

/// An id from the thread's own generator: no system call for each.
fn random_id() -> Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acts(work: Work, count: usize) -> Vec<(Act, String)> {
        let mut script = Script::new(work, "shared");
        let step = |_| {
            let step = script.next();
            (step.act, step.stream.to_owned())
        };
        (0..count).map(step).collect()
    }

    #[test]
    fn an_account_has_ten_steps() {
        let acts = acts(Work::Accounts, 2 * STEPS);
        let opened = acts.iter().filter(|(act, _)| *act == Act::Open).count();
        assert_eq!(opened, 2);
        assert!(acts[..STEPS].iter().all(|(_, stream)| *stream == acts[0].1));
        assert_ne!(acts[0].1, acts[STEPS].1);
    }

    #[test]
    fn a_fifth_is_rejected() {
        let acts = acts(Work::Rejections, 10 * STEPS);
        assert_eq!(acts.iter().filter(|(act, _)| *act == Act::Overdraw).count(), 2 * STEPS);
    }

    #[test]
    fn one_stream_is_shared_and_never_opened() {
        assert!(acts(Work::OneStream, 30).iter().all(|(act, stream)| *act == Act::Deposit && stream == "shared"));
    }

    #[test]
    fn readers_make_one_account_first() {
        let acts = acts(Work::StaleReads, 3 * STEPS);
        assert_eq!((acts[0].0, acts[STEPS - 1].0), (Act::Open, Act::Deposit));
        assert!(acts[STEPS..].iter().all(|(act, stream)| *act == Act::Read { stale: true } && *stream == acts[0].1));
    }

    #[test]
    fn keys_are_sent_where_they_are_measured() {
        assert_ne!(Script::new(Work::Keyed, "").next().key, Script::new(Work::Keyed, "").next().key);
        assert_eq!(Script::new(Work::Accounts, "").next().key, None);
    }
}
