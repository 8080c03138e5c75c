//! The lines of an answer, as they arrive.

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use reqwest::Response;
use serde_json::value::RawValue;

use super::client::BrokenOff;

/// Reads an answer line by line. The end of the answer is told apart from one that was broken off.
pub(super) struct Lines {
    response: Response,
    buffer: BytesMut,
    looked_at: usize,
}

impl Lines {
    pub(super) fn of(response: Response) -> Self {
        Self { response, buffer: BytesMut::new(), looked_at: 0 }
    }

    /// The next line without its break; `None` at the end.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            if let Some(line) = self.arrived() {
                return Ok(Some(line));
            }
            match self.response.chunk().await.context("the answer broke off")? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(BrokenOff("the answer broke off in the middle of a line").into()),
            }
        }
    }

    /// The next line, if it is there already.
    pub(super) fn arrived(&mut self) -> Option<Bytes> {
        let Some(end) = self.buffer[self.looked_at..].iter().position(|byte| *byte == b'\n') else {
            self.looked_at = self.buffer.len();
            return None;
        };
        let mut line = self.buffer.split_to(self.looked_at + end + 1);
        self.looked_at = 0;
        line.truncate(line.len() - 1);
        Some(line.freeze())
    }
}

/// The text of a JSON value on one line: kept JSON may have line breaks between its parts.
pub(super) fn on_one_line(json: &RawValue) -> String {
    json.get().replace(['\n', '\r'], " ")
}
