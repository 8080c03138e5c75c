//! What makes two requests the same request.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::RawAppend;
use crate::model::{Command, ExpectedVersion, StreamKey};

/// SHA-256 over stream, command, expected version and body: each part behind its length, so that none runs into the
/// next.
pub(super) fn of_command(command: &Command) -> [u8; 32] {
    let mut parts = begin("command", &command.stream, command.expected);
    add(&mut parts, command.name.as_bytes());
    add(&mut parts, command.payload.as_str().as_bytes());
    parts.finalize().into()
}

/// The same for a raw append. What the host would make up, such as a missing event id, is not part of it.
pub(super) fn of_append(append: &RawAppend) -> [u8; 32] {
    let mut parts = begin("append", &append.stream, append.expected);
    for event in &append.events {
        add(&mut parts, event.event_id.as_ref().map_or(&[][..], |id| id.as_bytes()));
        add(&mut parts, event.event_type.as_bytes());
        add(&mut parts, &event.schema_version.to_be_bytes());
        add(&mut parts, event.payload.as_str().as_bytes());
        add(&mut parts, event.metadata.as_ref().map_or("", |metadata| metadata.as_str()).as_bytes());
        let time = event.occurred_at.map(|time| time.unix_timestamp_nanos().to_be_bytes());
        add(&mut parts, time.as_ref().map_or(&[][..], |time| &time[..]));
    }
    parts.finalize().into()
}

/// A number for the command's context: the same for the same id, and otherwise unpredictable.
pub(super) fn seed(command_id: &Uuid) -> u64 {
    let hash = Sha256::digest(command_id.as_bytes());
    u64::from_be_bytes(hash[..8].try_into().expect("a hash has 32 bytes"))
}

fn begin(kind: &str, stream: &StreamKey, expected: ExpectedVersion) -> Sha256 {
    let mut parts = Sha256::new();
    add(&mut parts, kind.as_bytes());
    add(&mut parts, stream.aggregate_type.as_str().as_bytes());
    add(&mut parts, stream.stream_id.as_str().as_bytes());
    add(&mut parts, expected.to_string().as_bytes());
    parts
}

fn add(parts: &mut Sha256, part: &[u8]) {
    parts.update((part.len() as u64).to_be_bytes());
    parts.update(part);
}
