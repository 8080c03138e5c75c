//! A network that fails on demand: a TCP proxy in front of the test cluster's socket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// Everything passes.
    Up,
    /// What the server says is lost, also later on every connection that lost something.
    LosesAnswers,
    /// What the client says is lost, also later on every connection that lost something.
    LosesRequests,
    /// New connections are refused.
    Down,
}

/// The proxy; with it end its connections.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    socket: PathBuf,
    network: watch::Sender<Network>,
    /// Counts the cuts: a connection ends when it sees another number than at its start.
    cuts: watch::Sender<u32>,
    /// Counts the connections that lost something.
    silenced: watch::Sender<usize>,
}

impl Proxy {
    /// Listens in front of the server that `options` name by its Unix socket.
    pub(crate) async fn start(options: &PgConnectOptions) -> Self {
        let dir = options.get_socket().expect("the test cluster has a socket alone");
        let shared = Arc::new(Shared {
            socket: dir.join(format!(".s.PGSQL.{}", options.get_port())),
            network: watch::Sender::new(Network::Up),
            cuts: watch::Sender::new(0),
            silenced: watch::Sender::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(accept(listener, shared.clone()));
        Self { port, shared, task }
    }

    /// `options`, but through the proxy.
    pub(crate) fn options(&self, options: &PgConnectOptions) -> PgConnectOptions {
        let database = options.get_database().expect("a test's database has a name");
        let through = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(self.port);
        through.username(options.get_username()).database(database).ssl_mode(PgSslMode::Disable)
    }

    /// Changes the network; open connections stay open.
    pub(crate) fn set(&self, network: Network) {
        self.shared.network.send_replace(network);
    }

    /// Ends every connection, on both sides.
    pub(crate) fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Waits until that many connections have lost something since the start.
    pub(crate) async fn silenced(&self, connections: usize, limit: Duration) {
        let mut silenced = self.shared.silenced.subscribe();
        timeout(limit, silenced.wait_for(|count| *count >= connections)).await.unwrap().unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        if *shared.network.borrow() == Network::Down {
            continue;
        }
        tokio::spawn(carry(client, shared.clone()));
    }
}

async fn carry(client: TcpStream, shared: Arc<Shared>) {
    let mut cuts = shared.cuts.subscribe();
    cuts.mark_unchanged();
    let Ok(server) = UnixStream::connect(&shared.socket).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        _ = cuts.changed() => {}
        () = pass(from_client, to_server, &shared, Network::LosesRequests) => {}
        () = pass(from_server, to_client, &shared, Network::LosesAnswers) => {}
    }
}

/// Copies one direction until it ends; once the network is `losing`, it copies nothing more.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, shared: &Shared, losing: Network) {
    let mut buffer = vec![0; 64 << 10];
    let mut silent = false;
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if !silent && *shared.network.borrow() == losing {
            silent = true;
            shared.silenced.send_modify(|count| *count += 1);
        }
        if !silent && to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
