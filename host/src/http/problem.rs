//! RFC 9457 problem documents: their shape, and the one table of codes, statuses and titles.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::health::Check;
use crate::model::{ExpectedVersion, Rejection};

/// What went wrong: stable, so that a client can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The request can't be understood; `pointer` leads to the faulty part of the body.
    Invalid,
    /// No active module has the aggregate type; `known` lists those there are.
    UnknownAggregate,
    /// The aggregate type has no such command; `known` lists those there are.
    UnknownCommand,
    /// The stream has no events.
    StreamNotFound,
    /// Nothing is at this path, or the stream has no such version.
    NotFound,
    /// The path has other methods; the header `Allow` lists them.
    MethodNotAllowed,
    /// The stream isn't at the expected version: `expected` and `actual` say where it is.
    VersionConflict,
    /// The cursor is of a log that no longer is: `asked` and `current` name both.
    LogEpochChanged,
    /// The body, or something in it, is larger than `limit` allows.
    TooLarge,
    /// The body is of a type that isn't taken here.
    UnsupportedMediaType,
    /// The domain says no: `rejection` says why.
    Rejected,
    /// The idempotency key was used for another request.
    IdempotencyKeyReused,
    /// The host has more to do than it can queue. Nothing was executed.
    Overloaded,
    /// There was no time left. Nothing was executed.
    Deadline,
    /// The database can't be reached. Nothing was executed.
    DatabaseUnavailable,
    /// The host isn't ready for requests yet: `check` names what is missing.
    NotReady,
    /// It isn't known whether the request was executed.
    OutcomeUnknown,
    /// The module trapped. Nothing was executed.
    ModuleTrapped,
    /// The module took too long. Nothing was executed.
    ModuleDeadline,
    /// The module wanted more memory than it may have. Nothing was executed.
    ModuleMemory,
    /// The module answered what the contract doesn't allow. Nothing was executed.
    ModuleAnswerInvalid,
    /// The module failed so often that it isn't called for now: `since` says since when. Nothing was executed.
    ModuleQuarantined,
    /// The stream's history holds an event that the active module can't fold. Nothing was executed.
    UnfoldableEvent,
    /// A fault of the host, described in its log.
    Internal,
}

impl Code {
    /// Every code. Its length is that of the enum, so that a new code has to be put here too.
    pub const ALL: [Self; Self::Internal as usize + 1] = [
        Self::Invalid,
        Self::UnknownAggregate,
        Self::UnknownCommand,
        Self::StreamNotFound,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::VersionConflict,
        Self::LogEpochChanged,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::Rejected,
        Self::IdempotencyKeyReused,
        Self::Overloaded,
        Self::Deadline,
        Self::DatabaseUnavailable,
        Self::NotReady,
        Self::OutcomeUnknown,
        Self::ModuleTrapped,
        Self::ModuleDeadline,
        Self::ModuleMemory,
        Self::ModuleAnswerInvalid,
        Self::ModuleQuarantined,
        Self::UnfoldableEvent,
        Self::Internal,
    ];

    /// Text, status and title. The only place with status codes, but for a conflict asked by precondition headers.
    const fn row(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::Invalid => ("invalid", S::BAD_REQUEST, "The request is not valid"),
            Self::UnknownAggregate => ("unknown-aggregate", S::NOT_FOUND, "No active module has this aggregate type"),
            Self::UnknownCommand => ("unknown-command", S::NOT_FOUND, "The aggregate type has no such command"),
            Self::StreamNotFound => ("stream-not-found", S::NOT_FOUND, "The stream has no events"),
            Self::NotFound => ("not-found", S::NOT_FOUND, "Nothing is here"),
            Self::MethodNotAllowed => ("method-not-allowed", S::METHOD_NOT_ALLOWED, "The path has other methods"),
            Self::VersionConflict => ("version-conflict", S::CONFLICT, "The stream is not at the expected version"),
            Self::LogEpochChanged => ("log-epoch-changed", S::GONE, "The cursor belongs to a log that no longer is"),
            Self::TooLarge => ("too-large", S::PAYLOAD_TOO_LARGE, "The request is too large"),
            Self::UnsupportedMediaType => {
                ("unsupported-media-type", S::UNSUPPORTED_MEDIA_TYPE, "The body is not of a type taken here")
            }
            Self::Rejected => ("rejected", S::UNPROCESSABLE_ENTITY, "The domain rejects the command"),
            Self::IdempotencyKeyReused => {
                ("idempotency-key-reused", S::UNPROCESSABLE_ENTITY, "The idempotency key was used for another request")
            }
            Self::Overloaded => ("overloaded", S::TOO_MANY_REQUESTS, "The host is overloaded"),
            Self::Deadline => ("deadline", S::SERVICE_UNAVAILABLE, "There was no time left"),
            Self::DatabaseUnavailable => {
                ("database-unavailable", S::SERVICE_UNAVAILABLE, "The database can not be reached")
            }
            Self::NotReady => ("not-ready", S::SERVICE_UNAVAILABLE, "The host is not ready yet"),
            Self::OutcomeUnknown => {
                ("outcome-unknown", S::GATEWAY_TIMEOUT, "It is not known whether the request was executed")
            }
            Self::ModuleTrapped => ("module-trapped", S::INTERNAL_SERVER_ERROR, "The module trapped"),
            Self::ModuleDeadline => ("module-deadline", S::INTERNAL_SERVER_ERROR, "The module took too long"),
            Self::ModuleMemory => ("module-memory", S::INTERNAL_SERVER_ERROR, "The module wanted too much memory"),
            Self::ModuleAnswerInvalid => {
                ("module-answer-invalid", S::INTERNAL_SERVER_ERROR, "The module's answer breaks the contract")
            }
            Self::ModuleQuarantined => (
                "module-quarantined",
                S::INTERNAL_SERVER_ERROR,
                "The module failed too often and is not called for now",
            ),
            Self::UnfoldableEvent => {
                ("unfoldable-event", S::INTERNAL_SERVER_ERROR, "The active module can not fold an event of the stream")
            }
            Self::Internal => ("internal", S::INTERNAL_SERVER_ERROR, "A fault of the host"),
        }
    }

    /// The code's text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// What the code means, in one sentence.
    pub(super) const fn title(self) -> &'static str {
        self.row().2
    }

    /// The statuses that it is answered with: one, but for a conflict asked by precondition headers.
    pub(super) fn statuses(self) -> Vec<StatusCode> {
        let standard = (self == Self::VersionConflict).then_some(StatusCode::PRECONDITION_FAILED);
        [self.row().1].into_iter().chain(standard).collect()
    }

    /// Whether the answer says when to come back.
    pub(super) const fn says_when(self) -> bool {
        self.passes_soon() || matches!(self, Self::ModuleQuarantined)
    }

    /// Whether the same request may well succeed a moment later.
    const fn passes_soon(self) -> bool {
        matches!(self, Self::Overloaded | Self::DatabaseUnavailable | Self::NotReady)
    }
}

/// A problem document (RFC 9457). Members that don't belong to its code are absent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// A URI for the code.
    #[schema(example = "urn:everfold:problem:stream-not-found")]
    #[serde(rename = "type")]
    pub kind: String,
    /// What the code means.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this request, and what to do.
    pub detail: String,
    /// The stable code.
    #[schema(value_type = Code)]
    pub code: &'static str,
    /// JSON pointer (RFC 6901) to the faulty part of the body; empty for the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub pointer: Option<String>,
    /// The names there are, where the asked one isn't among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub known: Option<Vec<String>>,
    /// The expected version, as it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub expected: Option<Expected>,
    /// The stream's version; -1 where it has no events.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub actual: Option<i64>,
    /// The cursor that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub asked: Option<String>,
    /// The log's head.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub current: Option<String>,
    /// The domain's reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rejection: Option<Rejection>,
    /// The rejection is that of an earlier request with the same idempotency key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub replayed: Option<bool>,
    /// The limit in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub limit: Option<usize>,
    /// Since when the module isn't called.
    #[serde(skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    #[schema(nullable = false)]
    pub since: Option<OffsetDateTime>,
    /// The readiness check that fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub check: Option<&'static str>,
    /// Every readiness check, and how it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub checks: Option<Vec<Check>>,
}

/// An expected version in JSON: a number, or `no-stream`, `exists`, `any`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Expected {
    /// An exact version.
    Version(i64),
    /// One of the words.
    Word(String),
}

impl From<ExpectedVersion> for Expected {
    fn from(expected: ExpectedVersion) -> Self {
        match expected {
            ExpectedVersion::Exact(version) => Self::Version(version),
            word => Self::Word(word.to_string()),
        }
    }
}

/// A request's failure, ready to be answered.
#[derive(Debug)]
pub(super) struct Problem {
    code: Code,
    status: StatusCode,
    retry_after: Option<u64>,
    body: Box<ProblemBody>,
}

impl Problem {
    /// A problem with the status and title of its code; `detail` says what is wrong and what to do.
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        let (text, status, title) = code.row();
        let body = ProblemBody {
            kind: format!("urn:everfold:problem:{text}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            code: text,
            pointer: None,
            known: None,
            expected: None,
            actual: None,
            asked: None,
            current: None,
            rejection: None,
            replayed: None,
            limit: None,
            since: None,
            check: None,
            checks: None,
        };
        let retry_after = code.passes_soon().then_some(1);
        Self { code, status, retry_after, body: Box::new(body) }
    }

    /// Says after how many seconds the same request may go well.
    pub(super) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// A request that can't be understood.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Code::Invalid, detail)
    }

    /// Sets the members that belong to the code.
    pub(super) fn with(mut self, set: impl FnOnce(&mut ProblemBody)) -> Self {
        set(&mut self.body);
        self
    }

    /// A conflict asked by `If-Match` or `If-None-Match` is a failed precondition; everything else stays.
    pub(super) fn of_precondition(mut self) -> Self {
        if self.code == Code::VersionConflict {
            self.status = StatusCode::PRECONDITION_FAILED;
            self.body.status = self.status.as_u16();
        }
        self
    }

    /// The HTTP status of its answer.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// The document, for an answer that holds several.
    pub(super) fn into_body(self) -> ProblemBody {
        *self.body
    }

    #[cfg(test)]
    pub(super) fn summary(&self) -> (u16, &'static str) {
        (self.status.as_u16(), self.code.as_str())
    }

    /// What is answered.
    pub(super) fn body(&self) -> &ProblemBody {
        &self.body
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let content_type = HeaderValue::from_static("application/problem+json");
        let mut response = (self.status, [(header::CONTENT_TYPE, content_type)]).into_response();
        match serde_json::to_vec(&self.body) {
            Ok(json) => *response.body_mut() = json.into(),
            Err(error) => tracing::error!(%error, code = self.code.as_str(), "a problem has no JSON form"),
        }
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::json_of;
    use crate::model::Json;

    #[tokio::test]
    async fn a_problem_has_its_members_and_no_others() {
        let problem = Problem::new(Code::VersionConflict, "reload").with(|body| {
            body.expected = Some(ExpectedVersion::Exact(4).into());
            body.actual = Some(-1);
        });
        let response = problem.into_response();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert_eq!(
            json_of(response).await,
            serde_json::json!({
                "type": "urn:everfold:problem:version-conflict",
                "title": "The stream is not at the expected version",
                "status": 409, "detail": "reload", "code": "version-conflict", "expected": 4, "actual": -1,
            })
        );
    }

    #[test]
    fn only_a_conflict_becomes_a_failed_precondition() {
        let of = |code| Problem::new(code, "").of_precondition().summary().0;
        assert_eq!(of(Code::VersionConflict), 412);
        assert_eq!(of(Code::Rejected), 422);
    }

    #[tokio::test]
    async fn a_rejections_details_pass_through_unchanged() {
        let details = Json::parse(br#"{"b":1.0, "a" : 2}"#).expect("valid");
        let rejection = Rejection { code: "no".into(), message: "No.".into(), details: Some(details) };
        let problem = Problem::new(Code::Rejected, "No.").with(|body| body.rejection = Some(rejection));
        let bytes = crate::http::testing::bytes_of(problem.into_response()).await;
        assert!(String::from_utf8(bytes).expect("UTF-8").contains(r#""details":{"b":1.0, "a" : 2}"#));
    }

    #[test]
    fn overload_says_when_to_come_back() {
        let response = Problem::new(Code::Overloaded, "").into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }
}
