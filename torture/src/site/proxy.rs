//! The network between one host and PostgreSQL, with weather: it delays, holds, loses, cuts and closes by halves.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// What the network does to all connections, old and new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Everything passes.
    Fair,
    /// Everything passes this much later.
    Slow(Duration),
    /// Nothing passes until it is over; then everything does, as after a partition that TCP outlives.
    Held,
    /// What the server says is lost, for good: a connection that lost something stays silent.
    LosesAnswers,
    /// What the host says is lost, for good.
    LosesRequests,
    /// There is no server: connections are refused.
    Down,
}

/// What happens once, to the connections that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Cut,
    HalfClose(Side),
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// From the host to the server.
    Requests,
    /// From the server to the host.
    Answers,
}

/// The proxy; its connections end with it.
pub(crate) struct Proxy {
    /// Where the host reaches it, on the loopback interface.
    pub(crate) port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    server: PathBuf,
    weather: watch::Sender<Weather>,
    /// Counts the blows: a connection sees those that come after its begin.
    blows: watch::Sender<(u64, Blow)>,
}

impl Proxy {
    /// Listens in front of a server's socket.
    pub(crate) async fn start(server: &Path) -> Result<Self> {
        let shared = Arc::new(Shared {
            server: server.to_owned(),
            weather: watch::Sender::new(Weather::Fair),
            blows: watch::Sender::new((0, Blow::Cut)),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let task = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self { port, shared, task })
    }

    /// Changes the weather.
    pub(crate) fn set(&self, weather: Weather) {
        self.shared.weather.send_replace(weather);
    }

    /// Ends every connection.
    pub(crate) fn cut(&self) {
        self.blow(Blow::Cut);
    }

    /// Ends one direction of every connection, as a side that shuts its end down does; the other goes on.
    pub(crate) fn half_close(&self, side: Side) {
        self.blow(Blow::HalfClose(side));
    }

    fn blow(&self, blow: Blow) {
        self.shared.blows.send_modify(|(count, last)| (*count, *last) = (*count + 1, blow));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        if *shared.weather.borrow() != Weather::Down {
            tokio::spawn(carry(client, shared.clone()));
        }
    }
}

async fn carry(client: TcpStream, shared: Arc<Shared>) {
    let mut blows = shared.blows.subscribe();
    let Ok(server) = UnixStream::connect(&shared.server).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let requests = pass(from_client, to_server, &shared, Side::Requests);
    let answers = pass(from_server, to_client, &shared, Side::Answers);
    let both = async { tokio::join!(requests, answers) };
    tokio::select! {
        () = cut(&mut blows) => {}
        _ = both => {}
    }
}

async fn cut(blows: &mut watch::Receiver<(u64, Blow)>) {
    while blows.changed().await.is_ok() {
        if blows.borrow_and_update().1 == Blow::Cut {
            return;
        }
    }
}

async fn half_closed(blows: &mut watch::Receiver<(u64, Blow)>, side: Side) {
    while blows.changed().await.is_ok() {
        if blows.borrow_and_update().1 == Blow::HalfClose(side) {
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// Copies one direction until it ends, and passes its end on.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, shared: &Shared, side: Side) {
    let mut blows = shared.blows.subscribe();
    let mut weather = shared.weather.subscribe();
    let losing = if side == Side::Requests { Weather::LosesRequests } else { Weather::LosesAnswers };
    let mut is_silent = false;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = tokio::select! {
            () = half_closed(&mut blows, side) => break,
            read = from.read(&mut buffer) => read,
        };
        let Ok(read @ 1..) = read else { break };
        let now = *weather.borrow_and_update();
        if let Weather::Slow(delay) = now {
            sleep(delay).await;
        }
        // It fails only where nobody is left to change the weather.
        drop(weather.wait_for(|weather| *weather != Weather::Held).await);
        is_silent |= now == losing;
        if !is_silent && to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    // The other side may have closed already.
    let _ = to.shutdown().await;
}
