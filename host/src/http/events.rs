//! `GET /v1/events`: the tenant's whole log by position, forward or backward, in JSON pages or as one stream of lines.

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::IntoParams;

use super::body::{LogEvent, LogEvents};
use super::caching::{self, Freshness, KnownTag, Validator};
use super::description::problems::{READING, UPCASTING, problems};
use super::extract::{Caller, Parameters};
use super::headers::wants_ndjson;
use super::links::{Link, Links};
use super::problem::{Code, Problem};
use super::{Api, lines, query, upcast, within};
use crate::model::{Cursor, Direction};
use crate::store::{LogPage, LogQuery};

problems!(Problems: READING, UPCASTING, &[Code::LogEpochChanged]);

/// Which events are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// `forward`, from old to new, or `backward`.
    #[param(inline)]
    #[serde(default)]
    direction: Direction,
    /// Forward: those behind this cursor. Send `after` or `from_time`, not both.
    #[param(pattern = "^[0-9]{1,18}-[0-9]{1,18}$")]
    after: Option<String>,
    /// Forward: those committed at this time or later.
    #[param(format = DateTime)]
    from_time: Option<String>,
    /// Backward: those before this cursor.
    #[param(pattern = "^[0-9]{1,18}-[0-9]{1,18}$")]
    before: Option<String>,
    /// Backward: those committed before this time.
    #[param(format = DateTime)]
    before_time: Option<String>,
    /// The most events of a page; of the lines as a whole any number, and all there are where it isn't sent.
    limit: Option<i64>,
    /// Only these event types, separated by commas.
    #[param(pattern = r"^[^,\x00-\x1f\x7f-\x9f]{1,200}(?:,[^,\x00-\x1f\x7f-\x9f]{1,200})*$")]
    event_type: Option<String>,
    /// Only these aggregate types, separated by commas.
    #[param(pattern = r"^[A-Za-z0-9._-]{1,100}(?:,[A-Za-z0-9._-]{1,100})*$")]
    aggregate_type: Option<String>,
    /// Whether events are shown in the newest form that the active modules know. Filters and limits are about events
    /// as they are stored.
    #[serde(default)]
    upcast: bool,
}

/// Read the log
///
/// The tenant's events in commit order, forward or backward: a page, or all there are as one JSON object a line where
/// the caller accepts `application/x-ndjson`.
#[utoipa::path(
    get,
    path = "/v1/events",
    operation_id = "readLog",
    tag = "log",
    params(Which, Caller, KnownTag),
    responses(
        (
            status = 200,
            description = "A page of the log, or its lines.",
            content((LogEvents = "application/json"), (LogEvent = "application/x-ndjson")),
            headers(
                ("ETag" = String, description = "Of a page, for `If-None-Match`."),
                ("Link" = String, description = "Of a page: the links to those beside it."),
            ),
        ),
        (status = 304, description = "The caller has this page already.", headers(("ETag" = String))),
        Problems,
    ),
)]
pub(super) async fn read(
    State(api): State<Api>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    Parameters(which): Parameters<Which>,
) -> Result<Response, Problem> {
    let as_lines = wants_ndjson(&headers);
    let query = LogQuery {
        tenant: caller.tenant,
        direction: which.direction,
        from: which.from(&api, caller.deadline).await?,
        limit: if as_lines { lines::PER_PAGE } else { api.options.page(which.limit)? },
        event_types: query::event_types(which.event_type.as_deref())?,
        aggregate_types: query::aggregate_types(which.aggregate_type.as_deref())?,
    };
    if as_lines {
        return lines::answer(&api, query, which.limit, which.upcast, caller.deadline).await;
    }
    let page = within(caller.deadline, api.store.read_log(&query)).await?;
    let links = which.links(uri.path(), &query, &page);
    let shown = upcast::show(&api.pipeline, page.events, which.upcast, caller.deadline).await?;
    // The same positions hold the same events for good: what can differ is how far the log goes.
    let (epoch, limit) = (page.head.epoch.to_be_bytes(), query.limit.to_be_bytes());
    // A time may lead to another place than it did before.
    let from = query.from.map_or(0, |from| from.position).to_be_bytes();
    let parts = [query.tenant.as_str().as_bytes(), &epoch, &limit, &from, shown.modules.as_bytes()];
    let validator = Validator::new(page.head.position, &parts);
    let body = LogEvents {
        events: shown.events.into_iter().map(|event| LogEvent::of(page.head.epoch, event)).collect(),
        next: page.next.to_string(),
        head: page.head.to_string(),
        links,
    };
    Ok(caching::answer(&headers, &validator, Freshness::AskAgain, body.links.header(), &body))
}

impl Which {
    /// Where to begin.
    async fn from(&self, api: &Api, deadline: Instant) -> Result<Option<Cursor>, Problem> {
        let (cursor, time, name) = match self.direction {
            Direction::Forward if self.before.is_some() || self.before_time.is_some() => {
                return Err(Problem::invalid("the query string: before and before_time are for direction=backward"));
            }
            Direction::Forward => (&self.after, &self.from_time, "after"),
            Direction::Backward if self.after.is_some() || self.from_time.is_some() => {
                return Err(Problem::invalid(
                    "the query string: after and from_time are for reading forward, before and before_time for \
                     direction=backward",
                ));
            }
            Direction::Backward => (&self.before, &self.before_time, "before"),
        };
        match (cursor, time) {
            (Some(_), Some(_)) => Err(Problem::invalid(format!("the query string: send {name} or a time, not both"))),
            (Some(cursor), None) => {
                cursor.parse().map(Some).map_err(|error| Problem::invalid(format!("{name}: {error}")))
            }
            (None, Some(time)) => {
                let last = within(deadline, api.store.position_before(query::time(time)?)).await?;
                Ok(Some(match self.direction {
                    Direction::Forward => last,
                    Direction::Backward => Cursor { position: last.position + 1, ..last },
                }))
            }
            (None, None) => Ok(None),
        }
    }

    /// The pages beside this one. Turned around, the place before the page's first position is the last to be seen.
    fn links(&self, path: &str, query: &LogQuery, page: &LogPage) -> Links {
        let begin = query.from.map(|from| from.position);
        let prev = match query.direction {
            Direction::Forward => begin.filter(|begin| *begin > 0).map(|begin| (Direction::Backward, begin + 1)),
            Direction::Backward => {
                let begin = begin.filter(|begin| (1..=page.head.position).contains(begin));
                begin.map(|begin| (Direction::Forward, begin - 1))
            }
        };
        let prev = prev.map(|(way, position)| self.link(path, query.limit, way, Cursor { position, ..page.head }));
        let next = page.more.then(|| self.link(path, query.limit, query.direction, page.next));
        Links { next, prev }
    }

    fn link(&self, path: &str, limit: i64, direction: Direction, cursor: Cursor) -> String {
        let link = match direction {
            Direction::Forward => Link::to(path).with("after", cursor),
            Direction::Backward => Link::to(path).with("direction", "backward").with("before", cursor),
        };
        link.with("limit", limit)
            .maybe("event_type", self.event_type.as_ref())
            .maybe("aggregate_type", self.aggregate_type.as_ref())
            .maybe("upcast", self.upcast.then_some(true))
            .finish()
    }
}
