//! Everfold over HTTP: a request for each command, a connection for each client.

use std::net::SocketAddr;

use anyhow::Result;
use futures_util::future::try_join_all;

use crate::cpu::Meter;
use crate::load::{Answer, Client, Timing, drive};
use crate::sample::Sample;
use crate::wire::Wire;
use crate::work::{Act, Step, Work};

/// Drives the host at this address.
pub(crate) async fn run(
    host: SocketAddr,
    meter: &Meter,
    work: Work,
    in_flight: usize,
    timing: Timing,
) -> Result<Sample> {
    let clients = try_join_all((0..in_flight).map(|_| Connection::open(host))).await?;
    drive(clients, work, timing, meter).await
}

/// A client with a connection of its own.
struct Connection {
    wire: Wire,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self> {
        Ok(Self { wire: Wire::connect(address).await? })
    }
}

impl Client for Connection {
    async fn send(&mut self, step: Step<'_>) -> Result<Answer> {
        let account = format!("/v1/aggregates/account/{}", step.stream);
        let status = match (step.act.command(), step.act) {
            (Some((command, payload)), _) => {
                let key = step.key.map(|key| format!("idempotency-key: {key}\r\n")).unwrap_or_default();
                self.wire.post(&format!("{account}/commands/{command}"), &key, payload).await?
            }
            (None, Act::Read { stale: true }) => self.wire.get(&format!("{account}?stale=ok")).await?,
            (None, _) => self.wire.get(&account).await?,
        };
        Ok(answer(status, self.wire.body()))
    }
}

/// What a status says.
fn answer(status: u16, body: &[u8]) -> Answer {
    match status {
        200 => Answer::Done,
        422 if contains(body, br#""code":"rejected""#) => Answer::Rejected,
        _ => Answer::Refused(format!("{status} {}", String::from_utf8_lossy(body))),
    }
}

/// Whether the text is in it.
pub(super) fn contains(body: &[u8], text: &[u8]) -> bool {
    body.windows(text.len()).any(|window| window == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_rejection_is_one() {
        assert_eq!(answer(200, b"{}"), Answer::Done);
        assert_eq!(answer(422, br#"{"status":422,"code":"rejected"}"#), Answer::Rejected);
        let reused = answer(422, br#"{"code":"idempotency-key-reused"}"#);
        assert!(matches!(reused, Answer::Refused(why) if why.contains("reused")));
        assert!(matches!(answer(429, b"{}"), Answer::Refused(_)));
    }
}
