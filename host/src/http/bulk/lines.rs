//! The lines of a body of any length, as they arrive.

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

/// One line of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its number from 1; lines without anything are counted too, and passed over.
    pub(super) number: u64,
    /// Its text, or nothing where it is longer than a line may be.
    pub(super) text: Option<Bytes>,
}

/// The body broke off: what it had begun to send of a line isn't one.
#[derive(Debug)]
pub(super) struct BrokenOff;

/// Reads a body line by line. A line counts once its line break, or the orderly end of the body, has arrived.
pub(super) struct Lines {
    body: BodyDataStream,
    /// The most bytes of a line.
    pub(super) longest: usize,
    buffer: BytesMut,
    /// So much of the buffer has no line break.
    looked_at: usize,
    /// The line that is being read is too long: what came of it was dropped.
    too_long: bool,
    number: u64,
    ended: bool,
}

impl Lines {
    /// The lines of a body; one may have `longest` bytes.
    pub(super) fn new(body: Body, longest: usize) -> Self {
        Self {
            body: body.into_data_stream(),
            longest,
            buffer: BytesMut::new(),
            looked_at: 0,
            too_long: false,
            number: 0,
            ended: false,
        }
    }

    /// The next line, once it is there; `None` at the end of the body. Loses nothing where it is given up.
    pub(super) async fn next(&mut self) -> Result<Option<Line>, BrokenOff> {
        loop {
            if let Some(line) = self.arrived() {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(None);
            }
            match self.body.next().await {
                Some(Ok(chunk)) => self.buffer.extend_from_slice(&chunk),
                Some(Err(_)) => return Err(BrokenOff),
                None => self.ended = true,
            }
        }
    }

    /// The next line, if all of it is there already.
    pub(super) fn arrived(&mut self) -> Option<Line> {
        loop {
            let end = self.buffer[self.looked_at..].iter().position(|byte| *byte == b'\n');
            let text = match end {
                Some(end) => self.buffer.split_to(self.looked_at + end + 1),
                None if self.ended && (self.too_long || !self.buffer.is_empty()) => self.buffer.split(),
                None => {
                    self.looked_at = self.buffer.len();
                    if self.buffer.len() > self.longest {
                        (self.too_long, self.looked_at) = (true, 0);
                        self.buffer.clear();
                    }
                    return None;
                }
            };
            self.looked_at = 0;
            self.number += 1;
            let too_long = std::mem::take(&mut self.too_long);
            let text = text.freeze();
            let text = text.slice_ref(text.trim_ascii());
            if too_long || text.len() > self.longest {
                return Some(Line { number: self.number, text: None });
            }
            if !text.is_empty() {
                return Some(Line { number: self.number, text: Some(text) });
            }
        }
    }

    /// Takes what still comes, and drops it.
    pub(super) async fn drain(&mut self) {
        while !self.ended {
            self.ended = !matches!(self.body.next().await, Some(Ok(_)));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn lines(chunks: &[&'static str]) -> Lines {
        let chunks: Vec<_> = chunks.iter().map(|chunk| Ok::<_, std::io::Error>(*chunk)).collect();
        Lines::new(Body::from_stream(stream::iter(chunks)), 8)
    }

    async fn all(chunks: &[&'static str]) -> Vec<(u64, Option<String>)> {
        let (mut lines, mut all) = (lines(chunks), Vec::new());
        while let Some(Line { number, text }) = lines.next().await.expect("not broken off") {
            all.push((number, text.map(|text| String::from_utf8(text.into()).expect("UTF-8"))));
        }
        all
    }

    fn line(number: u64, text: &str) -> (u64, Option<String>) {
        (number, Some(text.to_owned()))
    }

    #[tokio::test]
    async fn lines_are_told_apart_however_they_arrive() {
        let expected = [line(1, "{\"a\":1}"), line(3, "2"), line(5, "3")];
        assert_eq!(all(&["{\"a\":1}\r\n\n2\n  \n3"]).await, expected);
        assert_eq!(all(&["{\"a\"", ":1}\r", "\n", "\n2\n ", " \n", "3", "\n"]).await, expected);
        assert_eq!(all(&[]).await, []);
        assert_eq!(all(&["\n \n"]).await, []);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_named_and_the_next_one_read() {
        let expected = [line(1, "12345678"), (2, None), line(3, "3")];
        assert_eq!(all(&["12345678\n123456789\n3"]).await, expected);
        assert_eq!(all(&["12345678\n12345", "6789", "0123456789", "0123\n3"]).await, expected);
        assert_eq!(all(&["0123456789"]).await, [(1, None)]);
        assert_eq!(all(&["0123456789", "\n"]).await, [(1, None)]);
    }

    #[tokio::test]
    async fn what_a_broken_body_had_begun_is_no_line() {
        let chunks = [Ok("1\n2"), Err(std::io::Error::other("gone"))];
        let mut lines = Lines::new(Body::from_stream(stream::iter(chunks)), 8);
        assert_eq!(lines.next().await.expect("whole").expect("a line").number, 1);
        assert!(lines.next().await.is_err());
    }
}
