//! `/v1/quarantine`: streams and modules that failed too often to be called, and how to have them called again.

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::Api;
use super::description::problems::problems;
use super::error::told;
use super::extract::{Caller, ModuleName, StreamPath};
use super::problem::{Code, Problem};
use crate::model::{AggregateType, Digest, StreamId};
use crate::pipeline::{self, BreakerState, Held, HeldBy, ModuleFault};

problems!(ListProblems: &[Code::Invalid, Code::Internal]);
problems!(ResetProblems: &[Code::Invalid, Code::NotFound, Code::Internal]);

/// What isn't called for now, of what concerns the tenant, on this host.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Quarantine {
    /// The tenant's streams in quarantine, by aggregate type and id.
    streams: Vec<QuarantinedStream>,
    /// The active modules, each with its breaker.
    modules: Vec<ModuleHealth>,
}

/// A stream in quarantine: its commands and state reads are answered `module-quarantined`.
#[derive(Debug, Serialize, ToSchema)]
struct QuarantinedStream {
    /// The aggregate type.
    aggregate_type: AggregateType,
    /// The stream's id.
    stream_id: StreamId,
    /// Name of the module that failed on it.
    module: String,
    /// Faults in a row.
    faults: u64,
    /// The last of them.
    last_fault: Fault,
    /// Since when it is in quarantine.
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
    /// From when on one request is let through as a probe.
    #[serde(with = "time::serde::rfc3339")]
    probe_at: OffsetDateTime,
}

/// An active module, as this tenant meets it.
#[derive(Debug, Serialize, ToSchema)]
struct ModuleHealth {
    /// Its name.
    name: String,
    /// Its version.
    version: String,
    /// SHA-256 of its component.
    digest: Digest,
    /// `closed`: requests reach it; `open`: they are answered `module-quarantined`; `half-open`: one is let through as a
    /// probe.
    #[schema(value_type = String)]
    breaker: &'static str,
    /// Whether the breaker is open for every tenant, not for this one alone.
    everyone: bool,
    /// Faults in this tenant's requests since the module became active.
    faults: u64,
    /// The last of them.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    last_fault: Option<Fault>,
    /// When that was.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    last_fault_at: Option<OffsetDateTime>,
    /// Since when the breaker isn't closed.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    since: Option<OffsetDateTime>,
    /// From when on one request is let through as a probe.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    probe_at: Option<OffsetDateTime>,
}

/// How a module failed.
#[derive(Debug, Serialize, ToSchema)]
struct Fault {
    /// The code that the request was answered with.
    #[schema(value_type = String)]
    code: &'static str,
    /// What happened.
    message: String,
}

/// What a reset changed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Reset {
    /// The tenant's streams that were taken out of quarantine.
    released_streams: usize,
}

/// List what isn't called
///
/// The tenant's streams in quarantine, and the breakers of the active modules. Each host judges for itself: what another host on the same database keeps out isn't listed here.
#[utoipa::path(
    get,
    path = "/v1/quarantine",
    operation_id = "listQuarantine",
    tag = "modules",
    params(Caller),
    responses((status = 200, description = "What isn't called for now.", body = Quarantine), ListProblems),
)]
pub(super) async fn list(State(api): State<Api>, caller: Caller) -> JsonAnswer<Quarantine> {
    let report = api.pipeline.quarantine(&caller.tenant);
    JsonAnswer(Quarantine {
        streams: report.streams.into_iter().map(Into::into).collect(),
        modules: report.modules.into_iter().map(Into::into).collect(),
    })
}

/// Release a stream from quarantine
///
/// Its next request reaches the module again. Only this host forgets; ask each host that has the stream in quarantine.
#[utoipa::path(
    delete,
    path = "/v1/quarantine/{type}/{id}",
    operation_id = "releaseStream",
    tag = "modules",
    params(StreamPath, Caller),
    responses((status = 204, description = "The stream is out of quarantine."), ResetProblems),
)]
pub(super) async fn release(State(api): State<Api>, caller: Caller, path: StreamPath) -> Result<StatusCode, Problem> {
    let stream = path.of(caller.tenant);
    match api.pipeline.release(&stream) {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::new(Code::NotFound, format!("{stream} is not in quarantine on this host"))),
    }
}

/// Close a module's breaker
///
/// Takes the tenant's streams that it failed on out of quarantine too. Only this host forgets.
#[utoipa::path(
    post,
    path = "/v1/modules/{name}/reset",
    operation_id = "resetModule",
    tag = "modules",
    params(ModuleName, Caller),
    responses((status = 200, description = "The module is called again.", body = Reset), ResetProblems),
)]
pub(super) async fn reset_module(
    State(api): State<Api>,
    caller: Caller,
    ModuleName(name): ModuleName,
) -> Result<JsonAnswer<Reset>, Problem> {
    match api.pipeline.reset_module(&caller.tenant, &name) {
        Some(released_streams) => Ok(JsonAnswer(Reset { released_streams })),
        None => Err(Problem::new(
            Code::NotFound,
            format!("no active module is called {name:?}: GET /v1/modules lists those there are"),
        )),
    }
}

impl From<ModuleFault> for Fault {
    fn from(fault: ModuleFault) -> Self {
        let (code, message) = told(&fault);
        Self { code: code.as_str(), message }
    }
}

impl From<pipeline::QuarantinedStream> for QuarantinedStream {
    fn from(of: pipeline::QuarantinedStream) -> Self {
        Self {
            aggregate_type: of.stream.aggregate_type,
            stream_id: of.stream.stream_id,
            module: of.module,
            faults: of.faults,
            last_fault: of.last.into(),
            since: of.since,
            probe_at: of.probe_at,
        }
    }
}

impl From<pipeline::ModuleHealth> for ModuleHealth {
    fn from(of: pipeline::ModuleHealth) -> Self {
        let (last_fault, last_fault_at) = of.last.map(|(fault, at)| (fault.into(), at)).unzip();
        let (since, probe_at) = of.open.unzip();
        let breaker = match of.breaker {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half-open",
        };
        Self {
            name: of.name,
            version: of.version,
            digest: of.digest,
            breaker,
            everyone: of.everyone,
            faults: of.faults,
            last_fault,
            last_fault_at,
            since,
            probe_at,
        }
    }
}

impl Problem {
    /// A request that was answered without calling the module.
    pub(super) fn of_held(held: &Held) -> Self {
        let module = format!("module {} {}", held.module, held.module_version);
        let last =
            held.last.as_ref().map(told).map_or_else(String::new, |(code, message)| {
                format!(", the last time with {}: {message}", code.as_str())
            });
        let faults = held.faults;
        let (what, release) = match &held.by {
            HeldBy::Stream(stream) => (
                format!("{module} failed on {stream} {faults} times in a row{last}"),
                format!("DELETE /v1/quarantine/{}/{}", stream.aggregate_type, encoded(stream.stream_id.as_str())),
            ),
            HeldBy::Tenant => (
                format!("{module} failed on several streams, {faults} times in all{last}"),
                format!("POST /v1/modules/{}/reset", held.module),
            ),
            HeldBy::Everyone => (
                format!("{module} fails for most of those who use it"),
                format!("POST /v1/modules/{}/reset", held.module),
            ),
        };
        let wait = (held.probe_at - OffsetDateTime::now_utc()).whole_seconds().max(0).unsigned_abs() + 1;
        let detail = format!(
            "{what}; nothing was executed. It is tried again after {wait} s, and at once when another version of the module \
             is active or by {release}"
        );
        Self::new(Code::ModuleQuarantined, detail).with(|body| body.since = Some(held.since)).retry_after(wait)
    }
}

/// A path's segment, percent-encoded.
fn encoded(segment: &str) -> String {
    form_urlencoded::byte_serialize(segment.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use time::Duration;

    use super::*;
    use crate::http::testing::problem_of;
    use crate::model::{StreamKey, Tenant};

    async fn problem(by: HeldBy, last: Option<ModuleFault>) -> (u64, serde_json::Value) {
        let now = OffsetDateTime::now_utc();
        let held = Held {
            by,
            module: "bank".into(),
            module_version: "1.0.0".into(),
            faults: 5,
            last,
            since: now,
            probe_at: now + Duration::seconds(30),
        };
        let response = Problem::of_held(&held).into_response();
        let wait = response.headers()["retry-after"].to_str().expect("text").parse().expect("a number");
        let (status, code, json) = problem_of(response).await;
        assert_eq!((status, code.as_str()), (500, "module-quarantined"));
        assert!(json["since"].is_string(), "{json}");
        (wait, json)
    }

    #[tokio::test]
    async fn who_is_kept_out_learns_why_how_long_and_what_to_do() {
        let stream = StreamKey {
            tenant: Tenant::default_tenant(),
            aggregate_type: AggregateType::new("account").expect("a name"),
            stream_id: StreamId::new("a b/1").expect("a name"),
        };
        let (wait, json) = problem(HeldBy::Stream(stream), Some(ModuleFault::Trapped("oh no".into()))).await;
        assert!((29..=31).contains(&wait), "{wait}");
        let detail = json["detail"].as_str().expect("text");
        for part in ["5 times in a row", "module-trapped: oh no", "DELETE /v1/quarantine/account/a%20b%2F1"] {
            assert!(detail.contains(part), "{part}: {detail}");
        }
        let (_, json) = problem(HeldBy::Everyone, None).await;
        assert!(json["detail"].as_str().expect("text").contains("POST /v1/modules/bank/reset"), "{json}");
    }
}
