//! What a client wants next, drawn from its random numbers.

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::streams::{Known, Streams};
use crate::history::{Call, Expected, Operation};

/// The next operation; it has no attempts yet.
pub(super) fn operation(random: &mut StdRng, streams: &Streams, id: u64, client: u32) -> Operation {
    let (stream, known) = streams.pick(random);
    let call = call(random, known);
    let (expected, key) = match call {
        Call::Read { .. } => (Expected::Any, None),
        _ => (expected(random, known), random.random_bool(0.5).then(|| streams.next_key(&stream.tenant))),
    };
    Operation { id, client, stream, call, expected, key, attempts: Vec::new() }
}

fn call(random: &mut StdRng, known: Known) -> Call {
    match random.random_range(0..100) {
        0..52 => Call::Move { amounts: amounts(random, known) },
        52..60 => Call::Touch,
        60..61 => Call::Trap,
        61..70 => {
            Call::Append { amounts: (0..random.random_range(1..4)).map(|_| random.random_range(0..50)).collect() }
        }
        70..90 => Call::Read { stale: false },
        _ => Call::Read { stale: true },
    }
}

/// In or out; now and then more than there is, so that the domain says no.
fn amounts(random: &mut StdRng, known: Known) -> Vec<i64> {
    let count = if random.random_bool(0.1) { random.random_range(5..12) } else { random.random_range(1..4) };
    match random.random_range(0..10) {
        0..5 => (0..count).map(|_| random.random_range(1..100)).collect(),
        5..8 => (0..count).map(|_| -random.random_range(0..=(known.balance / 4).max(1))).collect(),
        8 => vec![random.random_range(1..100), -random.random_range(1..100)],
        // About what is there: whether it's too much hangs on who came first.
        _ => vec![-(known.balance + random.random_range(-5..6)).max(1)],
    }
}

fn expected(random: &mut StdRng, known: Known) -> Expected {
    match random.random_range(0..100) {
        0..70 => Expected::Any,
        70..90 if known.version < 0 => Expected::NoStream,
        70..90 => Expected::Exact(known.version),
        90..94 => Expected::Exact((known.version + random.random_range(-2..3)).max(0)),
        94..97 => Expected::NoStream,
        _ => Expected::Exists,
    }
}
