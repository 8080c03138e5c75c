//! What becomes of a connection when there are as many as the host takes: it is told so, instead of being left waiting.

use std::time::Duration;

use axum::http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::problem::{Code, Problem};

/// Connections that are being turned away at once; beyond it they are closed without a word.
const MAX_AT_ONCE: usize = 64;

/// How long one may take to hear it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Most that is read of its request, so that closing the connection doesn't take the answer back.
const MAX_READ: u64 = 64 * 1024;

/// The connections that are being turned away.
#[derive(Default)]
pub(super) struct TurnAway(JoinSet<()>);

impl TurnAway {
    /// Answers a connection for which there is no place, whatever it asks, and closes it.
    pub(super) fn begin(&mut self, stream: TcpStream, max_connections: usize) {
        while self.0.try_join_next().is_some() {}
        if self.0.len() < MAX_AT_ONCE {
            let answer = answer(max_connections);
            self.0.spawn(async move {
                let _ = tokio::time::timeout(PATIENCE, tell(stream, &answer)).await;
            });
        }
    }
}

fn answer(max_connections: usize) -> String {
    let detail = format!(
        "{max_connections} connections are open, as many as this host takes: nothing was executed; repeat the request \
         after Retry-After seconds, and keep connections open between requests"
    );
    let problem = Problem::new(Code::Overloaded, detail);
    let body = serde_json::to_string(problem.body()).expect("a problem is text and numbers");
    let status = StatusCode::TOO_MANY_REQUESTS;
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\nRetry-After: 1\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

/// A socket that is closed with unread bytes is reset, which may reach the client before the answer does: so what it
/// has sent is read until it closes its side.
async fn tell(mut stream: TcpStream, answer: &str) -> std::io::Result<()> {
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(MAX_READ), &mut tokio::io::sink()).await?;
    Ok(())
}
