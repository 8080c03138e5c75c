//! What handlers take from a request: each extractor checks its part and says what is wrong with it.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRef, FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use super::HttpOptions;
use super::headers::{self, Precondition};
use super::problem::Problem;
use super::trace;
use crate::model::{AggregateType, IdempotencyKey, Json, Origin, StreamId, StreamKey, Tenant};

/// Who asks, and how long it waits.
pub(super) struct Caller {
    pub(super) tenant: Tenant,
    pub(super) deadline: Instant,
}

impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    Arc<HttpOptions>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let options = Arc::<HttpOptions>::from_ref(state);
        let timeout = headers::timeout(&parts.headers, options.default_timeout, options.max_timeout)?;
        Ok(Self { tenant: headers::tenant(&parts.headers)?, deadline: Instant::now() + timeout })
    }
}

/// Under which conditions a write is carried out.
pub(super) struct Conditions {
    pub(super) precondition: Precondition,
    pub(super) idempotency_key: Option<IdempotencyKey>,
}

impl Conditions {
    /// The problem as this caller's form of the expected version asks for it.
    pub(super) fn problem(&self, error: impl Into<Problem>) -> Problem {
        let problem = error.into();
        if self.precondition.standard { problem.of_precondition() } else { problem }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Conditions {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self {
            precondition: headers::precondition(&parts.headers)?,
            idempotency_key: headers::idempotency_key(&parts.headers)?,
        })
    }
}

/// Whence a write comes; here the request gets its id and its time.
pub(super) struct Provenance(pub(super) Origin);

impl<S: Send + Sync> FromRequestParts<S> for Provenance {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(Origin {
            command_id: Uuid::now_v7(),
            received_at: OffsetDateTime::now_utc(),
            correlation_id: headers::label(&parts.headers, headers::CORRELATION_ID)?,
            causation_id: headers::label(&parts.headers, headers::CAUSATION_ID)?,
            actor: headers::label(&parts.headers, headers::ACTOR)?,
            traceparent: trace::traceparent(&parts.headers),
        }))
    }
}

/// The stream that the path names, within a tenant.
pub(super) struct StreamPath {
    pub(super) aggregate_type: AggregateType,
    pub(super) stream_id: StreamId,
}

impl StreamPath {
    /// The tenant's stream of that name.
    pub(super) fn of(self, tenant: Tenant) -> StreamKey {
        StreamKey { tenant, aggregate_type: self.aggregate_type, stream_id: self.stream_id }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for StreamPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let segments = segments(parts, state).await?;
        Ok(Self {
            aggregate_type: AggregateType::new(segment(&segments, "type"))?,
            stream_id: StreamId::new(segment(&segments, "id"))?,
        })
    }
}

/// The aggregate type that the path names.
pub(super) struct TypePath(pub(super) AggregateType);

impl<S: Send + Sync> FromRequestParts<S> for TypePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self(AggregateType::new(segment(&segments(parts, state).await?, "type"))?))
    }
}

/// The command that the path names.
pub(super) struct CommandName(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for CommandName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self(segment(&segments(parts, state).await?, "command").to_owned()))
    }
}

/// The module that the path names.
pub(super) struct ModuleName(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for ModuleName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self(segment(&segments(parts, state).await?, "name").to_owned()))
    }
}

/// The path's parameters, percent-decoded. A stray `%` is refused instead of taken for itself: it is a client that
/// forgot to encode, and would address another stream than it means.
async fn segments<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<RawPathParams, Problem> {
    let path = parts.uri.path().as_bytes();
    let stray = path.iter().enumerate().find(|(place, byte)| {
        let digits = path.get(place + 1..place + 3);
        **byte == b'%' && !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    if let Some((place, _)) = stray {
        return Err(Problem::invalid(format!(
            "the path has a % without two hexadecimal digits at byte {place}: encode the percent sign itself as %25"
        )));
    }
    RawPathParams::from_request_parts(parts, state)
        .await
        .map_err(|rejection| Problem::invalid(format!("the path: {}", rejection.body_text())))
}

/// A parameter that the route declares.
fn segment<'a>(segments: &'a RawPathParams, name: &str) -> &'a str {
    segments.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
}

/// The query string, without a parameter that isn't known.
pub(super) struct Parameters<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(Query::try_from_uri(&parts.uri)?.0))
    }
}

/// A body of JSON, unparsed; empty where there is none.
pub(super) struct Payload(Bytes);

impl<S> FromRequest<S> for Payload
where
    S: Send + Sync,
    Arc<HttpOptions>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let options = Arc::<HttpOptions>::from_ref(state);
        let (parts, body) = request.into_parts();
        let timeout = headers::timeout(&parts.headers, options.default_timeout, options.max_timeout)?;
        let kind = headers::is_json(&parts.headers);
        let limit = options.max_body_bytes;
        if announced_length(&parts.headers).is_some_and(|length| length > limit) {
            return Err(Problem::too_large(limit));
        }
        let bytes = tokio::time::timeout(timeout, whole(body, limit)).await.map_err(|_| Problem::deadline())??;
        match kind {
            // Clients that send nothing may still name a type for it.
            Err(kind) if !bytes.is_empty() => Err(Problem::unsupported(&kind)),
            _ => Ok(Self(bytes)),
        }
    }
}

impl Payload {
    /// The JSON, byte for byte; `{}` for an empty body.
    pub(super) fn json(&self) -> Result<Json, Problem> {
        Ok(Json::parse(if self.0.is_empty() { b"{}" } else { &self.0 })?)
    }

    /// The body as a typed value; a problem leads to the faulty part.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let mut deserializer = serde_json::Deserializer::from_slice(&self.0);
        let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let pointer = pointer(error.path());
            Problem::invalid(format!("the body: {}", error.inner())).with(|body| body.pointer = Some(pointer))
        })?;
        deserializer.end().map_err(|error| Problem::invalid(format!("the body: {error}")))?;
        Ok(value)
    }
}

/// All of a body that has at most `limit` bytes. What comes in one piece, as short bodies do, isn't copied.
async fn whole(body: Body, limit: usize) -> Result<Bytes, Problem> {
    let (mut chunks, mut first, mut all) = (body.into_data_stream(), Bytes::new(), Vec::new());
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::broken_off())?;
        if first.len() + all.len() + chunk.len() > limit {
            return Err(Problem::too_large(limit));
        }
        if first.is_empty() && all.is_empty() {
            first = chunk;
        } else {
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&chunk);
        }
    }
    Ok(if all.is_empty() { first } else { all.into() })
}

fn announced_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(axum::http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The path as a JSON pointer (RFC 6901).
pub(super) fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let part = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(format!("/{index}")),
        Segment::Map { key } => Some(format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().filter_map(part).collect()
}

#[cfg(test)]
pub(super) mod testing {
    use super::Payload;

    /// The body as if a request had brought it.
    pub(crate) fn payload(body: &str) -> Payload {
        Payload(body.to_owned().into())
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::response::Response;
    use axum::routing::post;
    use futures_util::stream;
    use serde::Deserialize;

    use super::*;
    use crate::http::layers::around;
    use crate::http::testing::{bytes_of, call, problem_of};

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Query {
        n: Option<i64>,
    }

    async fn echo(
        path: StreamPath,
        CommandName(command): CommandName,
        Parameters(query): Parameters<Query>,
        payload: Payload,
    ) -> Result<String, Problem> {
        let json = payload.json()?;
        Ok(format!("{} {} {command} {:?} {}", path.aggregate_type, path.stream_id, query.n, json.as_str()))
    }

    async fn send(path: &str, headers: &[(&str, &str)], body: Body) -> Response {
        let options = HttpOptions { max_body_bytes: 16, ..HttpOptions::default() };
        let routes = Router::new().route("/{type}/{id}/{command}", post(echo));
        let router = around(routes, &options).with_state(Arc::new(options));
        let request = headers.iter().fold(Request::post(path), |request, (name, value)| request.header(*name, *value));
        call(&router, request.body(body).expect("a request")).await
    }

    async fn text(path: &str, headers: &[(&str, &str)], body: &'static str) -> String {
        String::from_utf8(bytes_of(send(path, headers, body.into()).await).await).expect("UTF-8")
    }

    async fn problem(path: &str, headers: &[(&str, &str)], body: &'static str) -> (u16, String, String) {
        let (status, code, json) = problem_of(send(path, headers, body.into()).await).await;
        (status, code, json["detail"].as_str().expect("text").to_owned())
    }

    #[tokio::test]
    async fn path_query_and_body_are_taken_apart() {
        assert_eq!(text("/a/b/C?n=7", &[], r#"{"x" : 1.0}"#).await, r#"a b C Some(7) {"x" : 1.0}"#);
        assert_eq!(text("/a/x%2Fy%20%C3%AB%25/C", &[], "").await, "a x/y ë% C None {}");
        let form = ("content-type", "application/x-www-form-urlencoded");
        assert_eq!(text("/a/b/C", &[form], "").await, "a b C None {}", "an empty body has no type");
    }

    #[tokio::test]
    async fn a_faulty_path_is_refused_by_its_part() {
        let cases = [
            ("/a/b%zz/C", "% without two hexadecimal digits at byte 4"),
            ("/a/b%4", "% without"),
            ("/a/b%ff/C", "id"),
            ("/a%2Fb/c/C", "the aggregate type contains '/'"),
            ("/a/b%00/C", "the stream id contains '\\0'"),
        ];
        for (path, reason) in cases {
            let path = if path.ends_with("/C") { path.to_owned() } else { format!("{path}/C") };
            let (status, code, detail) = problem(&path, &[], "").await;
            assert_eq!((status, code.as_str()), (400, "invalid"), "{path}");
            assert!(detail.contains(reason), "{path}: {detail}");
        }
    }

    #[tokio::test]
    async fn an_unknown_or_faulty_query_parameter_is_refused_by_name() {
        let (status, code, detail) = problem("/a/b/C?m=1", &[], "").await;
        assert_eq!((status, code.as_str()), (400, "invalid"));
        assert!(detail.contains("unknown field `m`"), "{detail}");
        let (_, _, detail) = problem("/a/b/C?n=x", &[], "").await;
        assert!(detail.contains("n: invalid digit"), "{detail}");
    }

    #[tokio::test]
    async fn malformed_json_is_refused_with_its_place() {
        let response = send("/a/b/C", &[], r#"{"a":1,}"#.into()).await;
        let (status, code, json) = problem_of(response).await;
        assert_eq!((status, code.as_str(), &json["pointer"]), (400, "invalid", &"".into()));
        assert!(json["detail"].as_str().expect("text").contains("line 1 column 8"), "{json}");
    }

    #[tokio::test]
    async fn another_content_type_is_refused() {
        let (status, code, detail) = problem("/a/b/C", &[("content-type", "text/plain")], "{}").await;
        assert_eq!((status, code.as_str()), (415, "unsupported-media-type"));
        assert!(detail.contains("text/plain"));
    }

    #[tokio::test]
    async fn a_body_above_the_limit_is_refused_announced_or_not() {
        let announced = send("/a/b/C", &[("content-length", "17")], Body::empty()).await;
        let chunks = ["123456"; 3].map(Ok::<_, std::io::Error>);
        let chunked = send("/a/b/C", &[], Body::from_stream(stream::iter(chunks))).await;
        for response in [announced, chunked] {
            let (status, code, json) = problem_of(response).await;
            assert_eq!((status, code.as_str(), &json["limit"]), (413, "too-large", &16.into()));
        }
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_given_up() {
        let body = Body::from_stream(stream::pending::<Result<&str, std::io::Error>>());
        let (status, code, _) = problem_of(send("/a/b/C", &[("everfold-timeout", "20")], body).await).await;
        assert_eq!((status, code.as_str()), (503, "deadline"));
    }
}
