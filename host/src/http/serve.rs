//! Serving connections: no client can hold one for long without asking something, and the end is orderly.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::turn_away::TurnAway;
use super::{HttpOptions, metrics};
use crate::model::metric::Held;

/// Serves until `shutdown` is cancelled; then accepts nothing more, lets requests in flight come to their end, and
/// cuts off what still runs after `shutdown_grace`.
///
/// Hyper is used itself, for axum's own loop has no timeout for idle connections and slow request heads.
pub async fn serve(listener: TcpListener, router: Router, options: &HttpOptions, shutdown: CancellationToken) {
    let router = router.layer(Extension(Stopping(shutdown.clone())));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(options.idle_timeout);
    server.max_headers(options.max_headers).max_buf_size(options.max_head_bytes);
    let free = Arc::new(Semaphore::new(options.max_connections));
    let mut turn_away = TurnAway::default();
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    refused(&error).await;
                    continue;
                }
            },
        };
        without_delay(&stream);
        give_up_after(&stream, options.idle_timeout);
        let Ok(place) = Arc::clone(&free).try_acquire_owned() else {
            turn_away.begin(stream, options.max_connections);
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = graceful.watch(server.serve_connection(TokioIo::new(stream), service));
        let open = Held::new(&metrics::CONNECTIONS);
        connections.spawn(async move {
            let _held = (open, place);
            connection.await
        });
    }
    drop(listener);
    if tokio::time::timeout(options.shutdown_grace, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests still ran after the grace period: cut off");
    }
}

/// Whether the host is ending: what reads on and on, until its client ends, asks for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Stopping(CancellationToken);

impl Stopping {
    /// Waits until the host begins to end.
    pub(super) async fn begun(&self) {
        self.0.cancelled().await;
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Stopping {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

/// A connection that broke before it was accepted is its client's affair. Anything else, such as too many open files,
/// lasts a while, and would make a busy loop.
async fn refused(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    tracing::error!(%error, "a connection can't be accepted");
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// Answers are small and written at once: waiting for more to send only adds delay.
fn without_delay(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY can't be set");
    }
}

/// A client that doesn't read its answer is let go, as one is that doesn't ask: the system ends a connection on which
/// nothing that was sent is taken for so long. Where it can't, such a client keeps its place.
fn give_up_after(stream: &TcpStream, patience: Duration) {
    #[cfg(target_os = "linux")]
    {
        let milliseconds = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, milliseconds) {
            tracing::debug!(%error, "TCP_USER_TIMEOUT can't be set");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (stream, patience);
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    struct Server {
        address: SocketAddr,
        /// Told when a request has begun.
        begun: Arc<Notify>,
        /// Lets it go on.
        go: Arc<Notify>,
        shutdown: CancellationToken,
        task: JoinHandle<()>,
    }

    async fn server(options: HttpOptions) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (begun, go, shutdown) = (Arc::new(Notify::new()), Arc::new(Notify::new()), CancellationToken::new());
        let (told, waited, token) = (begun.clone(), go.clone(), shutdown.clone());
        let slow = async move || {
            told.notify_one();
            waited.notified().await;
            "done"
        };
        let router = Router::new().route("/slow", get(slow));
        let task = tokio::spawn(async move { serve(listener, router, &options, token).await });
        Server { address, begun, go, shutdown, task }
    }

    async fn send(address: SocketAddr, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(text.as_bytes()).await.expect("sent");
        stream
    }

    async fn rest(mut stream: TcpStream) -> String {
        let mut text = String::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut text));
        read.await.expect("the server closes the connection").expect("text");
        text
    }

    #[tokio::test]
    async fn idle_and_slow_clients_are_let_go() {
        let server = server(HttpOptions { idle_timeout: Duration::from_millis(100), ..HttpOptions::default() }).await;
        for text in ["", "GET /slow HTTP/1.1\r\nHost: "] {
            assert!(!rest(send(server.address, text).await).await.contains("200"), "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_head_beyond_its_limits_is_refused() {
        let server = server(HttpOptions { max_headers: 3, max_head_bytes: 8192, ..HttpOptions::default() }).await;
        let (many, long) = ("X: y\r\n".repeat(4), format!("X: {}\r\n", "y".repeat(9000)));
        for headers in [many, long] {
            let answer = rest(send(server.address, &format!("GET /slow HTTP/1.1\r\n{headers}\r\n")).await).await;
            assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_client_that_does_not_read_is_let_go() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let ended = CancellationToken::new();
        let told = ended.clone();
        let endless = async move || {
            // Dropped with the connection.
            let guard = told.drop_guard();
            let chunks = futures_util::stream::repeat_with(move || {
                let _held = &guard;
                Ok::<_, io::Error>(vec![b'x'; 64 << 10])
            });
            axum::body::Body::from_stream(chunks)
        };
        let router = Router::new().route("/endless", get(endless));
        let options = HttpOptions { idle_timeout: Duration::from_millis(300), ..HttpOptions::default() };
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        tokio::spawn(async move { serve(listener, router, &options, token).await });
        let _unread = send(address, "GET /endless HTTP/1.1\r\nHost: x\r\n\r\n").await;
        tokio::time::timeout(PATIENCE, ended.cancelled()).await.expect("the connection is given up");
    }

    #[tokio::test]
    async fn a_connection_too_many_is_told_so_and_others_are_served() {
        let server = server(HttpOptions { max_connections: 1, ..HttpOptions::default() }).await;
        let request = "GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let first = send(server.address, request).await;
        server.begun.notified().await;
        let answer = rest(send(server.address, request).await).await;
        assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("\"code\":\"overloaded\""), "{answer}");
        server.go.notify_one();
        assert!(rest(first).await.ends_with("done"));
        // Its place is free again.
        server.go.notify_one();
        let again = async { while !rest(send(server.address, request).await).await.ends_with("done") {} };
        tokio::time::timeout(PATIENCE, again).await.expect("a place");
    }

    #[tokio::test]
    async fn a_request_in_flight_comes_to_its_end_and_no_other_begins() {
        let server = server(HttpOptions { shutdown_grace: PATIENCE, ..HttpOptions::default() }).await;
        let stream = send(server.address, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
        server.begun.notified().await;
        server.shutdown.cancel();
        let refused = async { while TcpStream::connect(server.address).await.is_ok() {} };
        tokio::time::timeout(PATIENCE, refused).await.expect("the listener is closed");
        server.go.notify_one();
        let answer = rest(stream).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
        tokio::time::timeout(PATIENCE, server.task).await.expect("ends").expect("without a panic");
    }

    #[tokio::test]
    async fn a_request_that_does_not_end_is_cut_off() {
        let server = server(HttpOptions { shutdown_grace: Duration::from_millis(50), ..HttpOptions::default() }).await;
        let stream = send(server.address, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
        server.begun.notified().await;
        server.shutdown.cancel();
        tokio::time::timeout(PATIENCE, server.task).await.expect("ends").expect("without a panic");
        assert_eq!(rest(stream).await, "");
    }
}
