//! The request headers, each read by one function: what they may hold, and what is said where they don't.

use std::time::Duration;

use axum::http::{HeaderMap, header};

use super::limits::MAX_LABEL_BYTES;
use super::problem::Problem;
use crate::model::{ExpectedVersion, IdempotencyKey, Tenant};

/// Whose streams the request is about.
pub(super) const TENANT: &str = "everfold-tenant";
/// Makes a repeated request the same request.
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// What is demanded of the stream.
pub(super) const EXPECTED_VERSION: &str = "expected-version";
/// How long the caller waits, in milliseconds.
pub(super) const TIMEOUT: &str = "everfold-timeout";
/// Who sends the request.
pub(super) const ACTOR: &str = "everfold-actor";
/// Ties together all that follows from one cause.
pub(super) const CORRELATION_ID: &str = "everfold-correlation-id";
/// What caused the request.
pub(super) const CAUSATION_ID: &str = "everfold-causation-id";
/// W3C trace context.
pub(super) const TRACEPARENT: &str = "traceparent";

/// What the caller demands of the stream, and in which words it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Precondition {
    /// The demand.
    pub(super) expected: ExpectedVersion,
    /// It came as `If-Match` or `If-None-Match`, whose failure HTTP answers with a status of its own.
    pub(super) standard: bool,
}

/// The tenant; `default` where none is named.
pub(super) fn tenant(headers: &HeaderMap) -> Result<Tenant, Problem> {
    match single(headers, TENANT)? {
        Some(name) => Tenant::new(name).map_err(|error| Problem::invalid(format!("Everfold-Tenant: {error}"))),
        None => Ok(Tenant::default_tenant()),
    }
}

/// The idempotency key: plain text, or the quoted string of the IETF draft. Both forms of one text are one key.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(text) = single(headers, IDEMPOTENCY_KEY)? else { return Ok(None) };
    let key = match text.strip_prefix('"') {
        Some(rest) => unquote(rest).ok_or_else(|| {
            Problem::invalid(format!("Idempotency-Key: {text} is no quoted string: escape \\ and \", and close it"))
        })?,
        None => text.to_owned(),
    };
    let key = IdempotencyKey::new(key).map_err(|error| Problem::invalid(format!("Idempotency-Key: {error}")))?;
    Ok(Some(key))
}

/// The text of a quoted string after its opening quote.
fn unquote(rest: &str) -> Option<String> {
    let mut text = String::with_capacity(rest.len());
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then_some(text),
            '\\' => text.push(characters.next().filter(|c| matches!(c, '"' | '\\'))?),
            character => text.push(character),
        }
    }
}

/// The expected version, in either form; `any` where none is named.
pub(super) fn precondition(headers: &HeaderMap) -> Result<Precondition, Problem> {
    let plain = single(headers, EXPECTED_VERSION)?;
    let matches = single(headers, header::IF_MATCH.as_str())?;
    let none_matches = single(headers, header::IF_NONE_MATCH.as_str())?;
    let (expected, standard) = match (plain, matches, none_matches) {
        (None, None, None) => (ExpectedVersion::Any, false),
        (Some(text), None, None) => (text.parse().map_err(|error| named("Expected-Version", error))?, false),
        (None, Some(text), None) => (if_match(text)?, true),
        (None, None, Some("*")) => (ExpectedVersion::NoStream, true),
        (None, None, Some(text)) => {
            let reason = format!("{text} is not taken here: only * is, for a stream without events");
            return Err(named("If-None-Match", reason));
        }
        _ => return Err(Problem::invalid("send one of Expected-Version, If-Match and If-None-Match")),
    };
    Ok(Precondition { expected, standard })
}

fn if_match(text: &str) -> Result<ExpectedVersion, Problem> {
    if text == "*" {
        return Ok(ExpectedVersion::Exists);
    }
    let tag = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let digits = tag.map(version_of).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(version) => Ok(ExpectedVersion::Exact(version)),
        None => Err(named(
            "If-Match",
            format!("{text} is no version: send one ETag as it was answered, such as \"7\", or *"),
        )),
    }
}

/// The version in a tag. What reads answer has more behind it, which tells answers of one version apart; what is
/// demanded of a stream is its version.
fn version_of(tag: &str) -> &str {
    match tag.split_once('-') {
        Some((version, rest)) if is_validator(rest) => version,
        _ => tag,
    }
}

fn is_validator(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether the caller names this tag, or any, as what it has already. What isn't a tag is none of ours.
pub(super) fn names_tag(headers: &HeaderMap, tag: &str) -> bool {
    let named = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut named = named.flat_map(|value| value.split(',')).map(str::trim);
    named.any(|named| named == "*" || named.strip_prefix("W/").unwrap_or(named) == tag)
}

/// How long the caller waits: what it asks for, at most `max`; `default` where it asks for nothing.
pub(super) fn timeout(headers: &HeaderMap, default: Duration, max: Duration) -> Result<Duration, Problem> {
    let Some(text) = single(headers, TIMEOUT)? else { return Ok(default.min(max)) };
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u64>() {
        Ok(milliseconds) if is_number && milliseconds > 0 => Ok(Duration::from_millis(milliseconds).min(max)),
        // A number that is no u64 is above any longest time.
        Err(_) if is_number && !text.is_empty() => Ok(max),
        _ => Err(named("Everfold-Timeout", format!("{text:?} is no time: send milliseconds, 1 or more"))),
    }
}

/// An actor, correlation or causation id.
pub(super) fn label(headers: &HeaderMap, name: &'static str) -> Result<Option<String>, Problem> {
    match single(headers, name)? {
        Some(text) => match check_label(text) {
            Ok(()) => Ok(Some(text.to_owned())),
            Err(reason) => Err(named(name, reason)),
        },
        None => Ok(None),
    }
}

/// Whether a text can be an actor, correlation or causation id; otherwise what is to be said.
pub(super) fn check_label(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > MAX_LABEL_BYTES {
        return Err(format!("has {} bytes: send 1 to {MAX_LABEL_BYTES}, or leave it out", text.len()));
    }
    Ok(())
}

/// The trace context. A malformed one is dropped, as W3C asks: a faulty tracer must not fail requests.
pub(super) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = single(headers, TRACEPARENT).ok().flatten()?;
    let mut parts = text.split('-');
    let well_formed = [2, 32, 16, 2].into_iter().all(|length| {
        parts.next().is_some_and(|part| {
            part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    });
    // Later versions may append parts; version ff is forbidden.
    let whole = !text.starts_with("00") || parts.next().is_none();
    (well_formed && whole && !text.starts_with("ff")).then(|| text.to_owned())
}

/// Whether the caller asks for one JSON object a line.
pub(super) fn wants_ndjson(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| media_type(range) == "application/x-ndjson")
}

/// Whether a body of this type is JSON; a body without a type is taken for it.
pub(super) fn is_json(headers: &HeaderMap) -> Result<(), String> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let text = String::from_utf8_lossy(value.as_bytes());
    match media_type(&text) {
        kind if kind == "application/json" || kind.ends_with("+json") => Ok(()),
        kind => Err(kind),
    }
}

/// Whether a body is of one of these types; a body without a type is taken for it.
pub(super) fn is_one_of(headers: &HeaderMap, kinds: &[&str]) -> Result<(), String> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let kind = media_type(&String::from_utf8_lossy(value.as_bytes()));
    if kinds.contains(&kind.as_str()) { Ok(()) } else { Err(kind) }
}

/// A media type or range without its parameters.
fn media_type(text: &str) -> String {
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The header's text; two of them are refused, for either could be the one that is meant.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(named(name, "was sent more than once: send it once"));
    }
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| named(name, "is not UTF-8"))?;
    Ok(Some(text.trim()))
}

fn named(header: &str, reason: impl std::fmt::Display) -> Problem {
    Problem::invalid(format!("{header}: {reason}"))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let parse = |(name, value): &(&str, &str)| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
            (name, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"))
        };
        pairs.iter().map(parse).collect()
    }

    fn refusal<T: std::fmt::Debug>(answer: Result<T, Problem>) -> String {
        let problem = answer.expect_err("must be refused");
        assert_eq!(problem.summary(), (400, "invalid"));
        problem.body().detail.clone()
    }

    #[test]
    fn the_tenant_is_default_unless_named() {
        assert_eq!(tenant(&headers(&[])).expect("valid").as_str(), "default");
        assert_eq!(tenant(&headers(&[(TENANT, "acme")])).expect("valid").as_str(), "acme");
        assert!(refusal(tenant(&headers(&[(TENANT, "a/b")]))).starts_with("Everfold-Tenant: the tenant contains '/'"));
        assert!(refusal(tenant(&headers(&[(TENANT, "")]))).contains("empty"));
        assert!(refusal(tenant(&headers(&[(TENANT, "a"), (TENANT, "b")]))).contains("more than once"));
    }

    #[test]
    fn a_key_is_the_same_plain_and_quoted() {
        let key = |text| idempotency_key(&headers(&[(IDEMPOTENCY_KEY, text)]));
        let text = |value| key(value).expect("valid").expect("there").as_str().to_owned();
        assert_eq!(text("pay-7"), "pay-7");
        assert_eq!(text(r#""pay-7""#), "pay-7");
        assert_eq!(text(r#""a\"b\\c""#), r#"a"b\c"#);
        assert_eq!(text(r#"a"b"#), r#"a"b"#);
        assert_eq!(idempotency_key(&headers(&[])).expect("valid"), None);
        for broken in [r#"""#, r#""a"#, r#""a"b"#, r#""a\n""#, r#""a\"#] {
            assert!(refusal(key(broken)).contains("quoted string"), "{broken}");
        }
        assert!(refusal(key(r#""""#)).contains("must not be empty"));
        assert!(refusal(key(&"x".repeat(201))).contains("at most 200"));
    }

    #[test]
    fn an_expected_version_has_two_forms() {
        let read = |pairs: &[(&str, &str)]| precondition(&headers(pairs)).expect("valid");
        let plain = |expected| Precondition { expected, standard: false };
        let standard = |expected| Precondition { expected, standard: true };
        assert_eq!(read(&[]), plain(ExpectedVersion::Any));
        assert_eq!(read(&[(EXPECTED_VERSION, "any")]), plain(ExpectedVersion::Any));
        assert_eq!(read(&[(EXPECTED_VERSION, "7")]), plain(ExpectedVersion::Exact(7)));
        assert_eq!(read(&[(EXPECTED_VERSION, "no-stream")]), plain(ExpectedVersion::NoStream));
        assert_eq!(read(&[(EXPECTED_VERSION, "exists")]), plain(ExpectedVersion::Exists));
        assert_eq!(read(&[("if-match", "\"7\"")]), standard(ExpectedVersion::Exact(7)));
        assert_eq!(read(&[("if-match", "\"7-0123456789abcdef\"")]), standard(ExpectedVersion::Exact(7)));
        assert_eq!(read(&[("if-match", "*")]), standard(ExpectedVersion::Exists));
        assert_eq!(read(&[("if-none-match", "*")]), standard(ExpectedVersion::NoStream));
    }

    #[test]
    fn other_expected_versions_are_refused() {
        let read = |pairs: &[(&str, &str)]| refusal(precondition(&headers(pairs)));
        assert!(read(&[(EXPECTED_VERSION, "-1")]).contains("no-stream, exists or any"));
        for text in [
            "7",
            "W/\"7\"",
            "\"7\", \"8\"",
            "\"any\"",
            "\"-1\"",
            "\"+7\"",
            "\"\"",
            "\"7-\"",
            "\"7-8\"",
            "\"-0123456789abcdef\"",
        ] {
            assert!(read(&[("if-match", text)]).contains("no version"), "{text}");
        }
        assert!(read(&[("if-none-match", "\"7\"")]).contains("only *"));
        assert!(read(&[("if-match", "\"7\""), (EXPECTED_VERSION, "7")]).starts_with("send one of"));
        assert!(read(&[("if-match", "\"7\""), ("if-none-match", "*")]).starts_with("send one of"));
    }

    #[test]
    fn a_timeout_is_bounded() {
        let (default, max) = (Duration::from_secs(10), Duration::from_secs(60));
        let read = |pairs: &[(&str, &str)]| timeout(&headers(pairs), default, max);
        assert_eq!(read(&[]).expect("valid"), default);
        assert_eq!(read(&[(TIMEOUT, "1500")]).expect("valid"), Duration::from_millis(1500));
        assert_eq!(read(&[(TIMEOUT, "3600000")]).expect("valid"), max);
        assert_eq!(read(&[(TIMEOUT, &"9".repeat(30))]).expect("valid"), max);
        for text in ["0", "-5", "+5", "1.5", "2s", ""] {
            assert!(refusal(read(&[(TIMEOUT, text)])).contains("milliseconds"), "{text}");
        }
    }

    #[test]
    fn labels_are_text_of_bounded_length() {
        assert_eq!(label(&headers(&[(ACTOR, "Zoë")]), ACTOR).expect("valid").as_deref(), Some("Zoë"));
        assert!(refusal(label(&headers(&[(ACTOR, "")]), ACTOR)).contains("0 bytes"));
        assert!(refusal(label(&headers(&[(ACTOR, &"x".repeat(257))]), ACTOR)).contains("257 bytes"));
    }

    #[test]
    fn only_a_well_formed_traceparent_is_kept() {
        let read = |text| traceparent(&headers(&[(TRACEPARENT, text)]));
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(read(good).as_deref(), Some(good));
        let (upper, longer, forbidden) = (good.to_uppercase(), format!("{good}-x"), good.replacen("00", "ff", 1));
        for bad in ["", "00-abc", &upper, &longer, &forbidden] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn media_types_are_told_apart_without_their_parameters() {
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.acme+json"] {
            assert_eq!(is_json(&headers(&[("content-type", good)])), Ok(()), "{good}");
        }
        assert_eq!(is_json(&headers(&[])), Ok(()));
        let form = headers(&[("content-type", "application/x-www-form-urlencoded")]);
        assert_eq!(is_json(&form), Err("application/x-www-form-urlencoded".to_owned()));
        assert!(wants_ndjson(&headers(&[("accept", "text/html, application/x-ndjson;q=0.9")])));
        assert!(!wants_ndjson(&headers(&[("accept", "application/json, */*")])));
    }
}
