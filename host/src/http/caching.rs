//! Answers that a client may keep: what they are recognised by, for how long, and 304 for who has the same already.

use axum::Json as JsonAnswer;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::headers;

/// What two answers to one URL share where, and only where, they are byte for byte the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Validator(String);

impl Validator {
    /// `number` says to people, and to `If-Match`, how far the stream or log was; `parts` are what the answer depends
    /// on beside that and its URL. The host's version is one of them: a newer host may write another JSON.
    pub(super) fn new(number: i64, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in [env!("CARGO_PKG_VERSION").as_bytes()].iter().chain(parts) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let hash = hash.finalize();
        let rest: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self(format!("\"{number}-{rest}\""))
    }
}

/// No answer is for everybody unless it says so: what depends on a tenant's header must not be served to another one by a
/// cache in between, which may keep what says nothing.
pub(super) fn private(mut response: Response) -> Response {
    if !response.headers().contains_key(header::CACHE_CONTROL) {
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        headers.entry(header::VARY).or_insert(VARY.1);
    }
    response
}

/// What the caller has already, by `If-None-Match`: a parameter for the description, read by [`answer`].
pub(super) struct KnownTag;

/// How long an answer may be used without asking again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Not at all: something may have been appended.
    AskAgain,
    /// What it shows never changes: a day. Not for good, for a database that was restored may have lost it.
    Fixed,
}

impl Freshness {
    /// Never for shared caches: the tenant is a header.
    const fn directives(self) -> &'static str {
        match self {
            Self::AskAgain => "private, no-cache",
            Self::Fixed => "private, max-age=86400, immutable",
        }
    }
}

/// What an answer that depends on these headers says to caches.
pub(super) const VARY: (header::HeaderName, HeaderValue) =
    (header::VARY, HeaderValue::from_static("Accept, Everfold-Tenant"));

/// The body with its validator, or 304 without it where the caller names that validator in `If-None-Match`.
pub(super) fn answer(
    request: &HeaderMap,
    Validator(tag): &Validator,
    freshness: Freshness,
    links: HeaderMap,
    body: impl Serialize,
) -> Response {
    let caching = [
        (header::ETAG, HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\""))),
        (header::CACHE_CONTROL, HeaderValue::from_static(freshness.directives())),
        VARY,
    ];
    if headers::names_tag(request, tag) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, links, JsonAnswer(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validator_tells_every_part_apart() {
        let of = |number, parts: &[&str]| {
            Validator::new(number, &parts.iter().map(|part| part.as_bytes()).collect::<Vec<_>>())
        };
        let all = [of(1, &["a", "b"]), of(2, &["a", "b"]), of(1, &["ab", ""]), of(1, &["a"]), of(1, &["b", "a"])];
        for (n, one) in all.iter().enumerate() {
            assert!(one.0.starts_with("\"1-") || one.0.starts_with("\"2-"), "{one:?}");
            assert_eq!(one.0.len(), 20);
            assert_eq!(all.iter().position(|other| other == one), Some(n), "{one:?} stands for one answer");
        }
    }

    #[test]
    fn who_has_the_same_gets_no_body() {
        let validator = Validator::new(7, &[]);
        let status = |tag: &str| {
            let request = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::try_from(tag).expect("ASCII"))]);
            let response = answer(&request, &validator, Freshness::AskAgain, HeaderMap::new(), "body");
            assert_eq!(response.headers()[header::ETAG], validator.0.as_str());
            assert_eq!(response.headers()[header::CACHE_CONTROL], "private, no-cache");
            response.status().as_u16()
        };
        assert_eq!(status(&validator.0), 304);
        assert_eq!(status(&format!("\"x\", W/{}", validator.0)), 304, "one of several, weakly compared");
        assert_eq!(status("*"), 304);
        assert_eq!(status("\"7\""), 200, "the version alone doesn't say that it is the same");
    }
}
