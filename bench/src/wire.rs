//! A client of HTTP/1.1 that costs next to nothing: one connection, one request under way, no tasks, no copies.
//!
//! It shares two processors with what it measures. A general client takes more of them than the host does for an answer.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Most header lines of an answer.
const MOST_HEADERS: usize = 32;

/// One connection, kept open.
pub(crate) struct Wire {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
    /// Where in `answer` the last body begins.
    body: usize,
}

impl Wire {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, request: Vec::with_capacity(1024), answer: Vec::with_capacity(4096), body: 0 })
    }

    /// Sends a GET, and answers the status.
    pub(crate) async fn get(&mut self, path: &str) -> Result<u16> {
        self.request.clear();
        write!(self.request, "GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n")?;
        self.exchange().await
    }

    /// Sends a POST of JSON with further header lines, each ended by CR LF, and answers the status.
    pub(crate) async fn post(&mut self, path: &str, headers: &str, body: &str) -> Result<u16> {
        self.request.clear();
        write!(
            self.request,
            "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n{body}",
            body.len(),
        )?;
        self.exchange().await
    }

    /// The body of the last answer.
    pub(crate) fn body(&self) -> &[u8] {
        &self.answer[self.body..]
    }

    async fn exchange(&mut self) -> Result<u16> {
        self.stream.write_all(&self.request).await?;
        self.answer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.answer).await?;
            ensure!(read > 0, "the host closed the connection");
            if let Some(head) = Head::read(&self.answer)? {
                self.body = head.length;
                let whole = head.length + head.content_length;
                while self.answer.len() < whole {
                    ensure!(self.stream.read_buf(&mut self.answer).await? > 0, "the answer was broken off");
                }
                ensure!(self.answer.len() == whole, "the host sent more than one answer");
                return Ok(head.status);
            }
        }
    }
}

/// The head of an answer.
#[derive(Debug, PartialEq)]
struct Head {
    status: u16,
    /// Its own length in bytes.
    length: usize,
    content_length: usize,
}

impl Head {
    /// Reads it; `None` while it isn't whole.
    fn read(bytes: &[u8]) -> Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = head.parse(bytes)? else { return Ok(None) };
        let status = head.code.context("an answer without status")?;
        let named = |name: &str| head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        let Some(found) = named("content-length") else { bail!("an answer of status {status} without length") };
        let content_length = std::str::from_utf8(found.value)?.trim().parse()?;
        Ok(Some(Self { status, length, content_length }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_whole() {
        let answer = b"HTTP/1.1 422 Unprocessable Entity\r\nContent-Length: 12\r\netag: \"3\"\r\n\r\n{\"a\":";
        let head = Head { status: 422, length: answer.len() - 5, content_length: 12 };
        assert_eq!(Head::read(answer).unwrap(), Some(head));
        assert_eq!(Head::read(&answer[..40]).unwrap(), None);
        assert!(Head::read(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(Head::read(b"what is this?\r\n").is_err());
    }

    #[tokio::test]
    async fn one_connection_carries_many_requests() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for status in ["200 OK", "429 Too Many Requests"] {
                let mut request = Vec::new();
                while !request.ends_with(b"}") {
                    stream.read_buf(&mut request).await.unwrap();
                }
                // In two parts, as a network may deliver it.
                let (head, rest) = (format!("HTTP/1.1 {status}\r\ncontent-"), "length: 4\r\n\r\nbody");
                stream.write_all(head.as_bytes()).await.unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                stream.write_all(rest.as_bytes()).await.unwrap();
            }
        });
        let mut wire = Wire::connect(address).await.unwrap();
        assert_eq!(wire.post("/a", "", "{}").await.unwrap(), 200);
        assert_eq!(wire.body(), b"body");
        assert_eq!(wire.post("/a", "x: y\r\n", "{}").await.unwrap(), 429);
        server.await.unwrap();
        assert!(wire.post("/a", "", "{}").await.is_err());
    }
}
