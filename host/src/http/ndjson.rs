//! One JSON value a line.

use serde::Serialize;

/// The media type that answers have.
pub(super) const MEDIA_TYPE: &str = "application/x-ndjson";

/// The media types that bodies may have: there is no registered one.
pub(super) const MEDIA_TYPES: [&str; 5] =
    [MEDIA_TYPE, "application/ndjson", "application/jsonl", "application/x-jsonlines", "application/jsonlines"];

/// Writes a value as one line. Kept JSON, such as a payload, may have line breaks between its parts; they become spaces,
/// which mean the same there. (Inside of a JSON text there are none: a string has them escaped.)
pub(super) fn write_line(out: &mut Vec<u8>, value: &impl Serialize) -> serde_json::Result<()> {
    let begin = out.len();
    serde_json::to_writer(&mut *out, value)?;
    for byte in out[begin..].iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
    out.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Json;

    #[test]
    fn a_value_stays_on_its_line() {
        let payload = Json::parse(b"{\n  \"a\":\r\n1, \"b\": \"x\\ny\"}").expect("valid");
        let mut out = b"before\n".to_vec();
        write_line(&mut out, &payload).expect("JSON");
        assert_eq!(String::from_utf8(out).expect("UTF-8"), "before\n{   \"a\":  1, \"b\": \"x\\ny\"}\n");
    }
}
