//! The streams in use: a few at a time, so that clients meet, and each for a while, so that its history can be checked.

use std::collections::HashMap;
use std::sync::Mutex;

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::history::{Answer, Stream};

/// Whose streams there are. They have the same ids.
pub(crate) const TENANTS: [&str; 3] = ["ash", "birch", "cedar"];

/// Streams in use at a time, of each tenant.
const IN_USE: usize = 6;

/// Operations after which a stream is left alone: so many can still be put in order by trying.
const LIFE: u32 = 160;

/// The streams in use, as all clients know them.
#[derive(Default)]
pub(crate) struct Streams(Mutex<Shared>);

#[derive(Default)]
struct Shared {
    /// Of each tenant, by place: the stream's number and the operations on it.
    places: HashMap<(usize, usize), (u64, u32)>,
    next: HashMap<usize, u64>,
    known: HashMap<Stream, Known>,
    keys: HashMap<String, u64>,
}

/// What clients have heard of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    /// The newest version.
    pub(crate) version: i64,
    /// A balance, not necessarily the newest.
    pub(crate) balance: i64,
}

impl Streams {
    /// A stream to do something on, and what is known of it. One in three times it's the tenant's hottest.
    pub(crate) fn pick(&self, random: &mut StdRng) -> (Stream, Known) {
        let tenant = random.random_range(0..TENANTS.len());
        let place = if random.random_ratio(1, 3) { 0 } else { random.random_range(0..IN_USE) };
        let mut shared = self.lock();
        let Shared { places, next, known, .. } = &mut *shared;
        let mut fresh = || {
            let number = next.entry(tenant).or_default();
            *number += 1;
            (*number, 0)
        };
        let place = places.entry((tenant, place)).or_insert_with(&mut fresh);
        place.1 += 1;
        if place.1 > LIFE {
            *place = fresh();
        }
        let stream = Stream { tenant: TENANTS[tenant].to_owned(), id: format!("vault-{}", place.0) };
        let known = known.get(&stream).copied().unwrap_or(Known { version: -1, balance: 0 });
        (stream, known)
    }

    /// An idempotency key that the tenant hasn't used. Other tenants use the same.
    pub(crate) fn next_key(&self, tenant: &str) -> String {
        let mut shared = self.lock();
        let used = shared.keys.entry(tenant.to_owned()).or_default();
        *used += 1;
        format!("key-{used}")
    }

    /// Remembers what an answer tells of a stream.
    pub(crate) fn learn(&self, stream: &Stream, answer: &Answer) {
        let (version, balance) = match answer {
            Answer::Executed { version, .. } => (Some(*version), None),
            Answer::Rejected { balance, .. } => (None, Some(*balance)),
            Answer::State { version, state } => (Some(*version), Some(state.balance)),
            Answer::Conflict { actual } => (Some(*actual), None),
            Answer::Absent | Answer::NotExecuted { .. } | Answer::Unknown { .. } | Answer::Wrong { .. } => return,
        };
        let mut shared = self.lock();
        let known = shared.known.entry(stream.clone()).or_insert(Known { version: -1, balance: 0 });
        known.version = version.unwrap_or(-1).max(known.version);
        known.balance = balance.unwrap_or(known.balance);
    }

    /// Every stream that was ever used.
    pub(crate) fn all(&self) -> Vec<Stream> {
        let next = self.lock().next.clone();
        let of = |(tenant, last): (usize, u64)| {
            (1..=last).map(move |number| Stream { tenant: TENANTS[tenant].to_owned(), id: format!("vault-{number}") })
        };
        next.into_iter().flat_map(of).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.0.lock().expect("no holder panics")
    }
}
