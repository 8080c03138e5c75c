//! The clients: they want things of streams, and write down what they hear.

mod bulk;
mod choose;
mod http;
mod ledger;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

pub(crate) use self::http::Http;
pub(crate) use self::ledger::Ledger;
pub(crate) use self::streams::{Streams, TENANTS};

use crate::history::{Answer, Call, Operation};

/// Clients that send one request after the other, and those that send bulk requests.
const SINGLE: u32 = 22;
const BULK: u32 = 2;

/// The longest that a client gives a request.
pub(crate) const LONGEST_PATIENCE: Duration = Duration::from_secs(5);

/// Attempts at an operation before its client leaves it open until the end of the run.
const ATTEMPTS: usize = 4;

/// What all clients share.
pub(crate) struct Crowd {
    /// Their way to the hosts.
    pub(crate) http: Http,
    /// The streams they use.
    pub(crate) streams: Streams,
    /// What they did.
    pub(crate) ledger: Ledger,
}

impl Crowd {
    /// Lets all clients work until they are told to stop. What each wants follows from the seed.
    pub(crate) async fn work(self: &Arc<Self>, seed: u64, until: &CancellationToken) {
        let client = |number: u32| {
            let (crowd, until) = (self.clone(), until.clone());
            tokio::spawn(async move {
                let random = StdRng::seed_from_u64(seed.wrapping_add(u64::from(number) << 32));
                let client = Client { crowd, random, number };
                if number < SINGLE { client.one_by_one(&until).await } else { client.in_bulk(&until).await }
            })
        };
        let clients: Vec<_> = (0..SINGLE + BULK).map(client).collect();
        for client in clients {
            client.await.expect("clients don't panic");
        }
    }

    /// Asks until an operation is settled, or for so long.
    pub(crate) async fn settle(&self, operation: &mut Operation, patience: Duration) {
        let asked = async {
            while operation.settled().is_none() {
                // At any host: an outcome is everybody's.
                let host = (operation.id as usize + operation.attempts.len()) % self.http.hosts();
                operation.attempts.push(self.http.attempt(operation, host, LONGEST_PATIENCE).await);
                sleep(Duration::from_millis(50)).await;
            }
        };
        // What isn't settled then is told by its attempts.
        let _ = timeout(patience, asked).await;
    }

    /// Asks one host until it answers a read, or for so long, and answers the last answer.
    pub(crate) async fn read_at(&self, read: &Operation, host: usize, patience: Duration) -> Answer {
        let deadline = Instant::now() + patience;
        loop {
            let answer = self.http.attempt(read, host, LONGEST_PATIENCE).await.answer;
            if answer.is_settling() || Instant::now() > deadline {
                return answer;
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
}

struct Client {
    crowd: Arc<Crowd>,
    random: StdRng,
    number: u32,
}

impl Client {
    async fn one_by_one(mut self, until: &CancellationToken) {
        while !until.is_cancelled() {
            let mut operation = self.next();
            self.attempt(&mut operation).await;
            self.done(operation);
            let pause = self.random.random_range(0..60);
            sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn in_bulk(mut self, until: &CancellationToken) {
        while !until.is_cancelled() {
            let count = self.random.random_range(2..16);
            let mut operations: Vec<Operation> = (0..count).map(|_| self.next()).collect();
            let tenant = operations.first().map(|first| first.stream.tenant.clone());
            operations.retain(|operation| {
                let is_command = matches!(operation.call, Call::Move { .. } | Call::Touch | Call::Trap);
                is_command && Some(&operation.stream.tenant) == tenant.as_ref()
            });
            let host = self.host();
            bulk::attempt(&self.crowd.http, &mut operations, host).await;
            for operation in operations {
                self.done(operation);
            }
            let pause = self.random.random_range(0..300);
            sleep(Duration::from_millis(pause)).await;
        }
    }

    fn next(&mut self) -> Operation {
        let id = self.crowd.ledger.next_id();
        choose::operation(&mut self.random, &self.crowd.streams, id, self.number)
    }

    fn host(&mut self) -> usize {
        self.random.random_range(0..self.crowd.http.hosts())
    }

    /// Tries, and tries again what has a key, at whichever host: at once, later, or at two hosts at the same time. Now
    /// and then it asks again although it has its answer.
    async fn attempt(&mut self, operation: &mut Operation) {
        let is_repeatable = operation.key.is_some();
        if is_repeatable && self.random.random_bool(0.05) {
            let (one, other) = (self.patience(), self.patience());
            let (here, there) = (self.host(), self.host());
            let http = &self.crowd.http;
            let (first, second) = join(http.attempt(operation, here, one), http.attempt(operation, there, other)).await;
            operation.attempts.extend([first, second]);
            operation.attempts.sort_by_key(|attempt| attempt.sent);
        }
        while operation.attempts.len() < ATTEMPTS {
            if operation.settled().is_some() && !(is_repeatable && self.random.random_bool(0.03)) {
                break;
            }
            if !operation.attempts.is_empty() {
                let pause = self.random.random_range(0..400);
                sleep(Duration::from_millis(pause)).await;
            }
            let (host, patience) = (self.host(), self.patience());
            let attempt = self.crowd.http.attempt(operation, host, patience).await;
            operation.attempts.push(attempt);
            if !is_repeatable {
                break;
            }
        }
    }

    /// Mostly enough, sometimes hardly enough.
    fn patience(&mut self) -> Duration {
        let longest = if self.random.random_bool(0.1) { 60 } else { 4000 };
        Duration::from_millis(self.random.random_range(longest / 4..longest))
    }

    fn done(&self, operation: Operation) {
        for attempt in &operation.attempts {
            self.crowd.streams.learn(&operation.stream, &attempt.answer);
        }
        if !operation.attempts.is_empty() {
            self.crowd.ledger.put(operation);
        }
    }
}
