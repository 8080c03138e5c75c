//! `GET /v1/streams`: the tenant's streams.

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use serde::Deserialize;
use utoipa::IntoParams;

use super::body::Streams;
use super::description::problems::{READING, problems};
use super::extract::{Caller, Parameters};
use super::links::{Link, Links};
use super::problem::Problem;
use super::query;
use super::{Api, within};
use crate::model::{AggregateType, StreamId};
use crate::store::StreamsQuery;

problems!(Problems: READING);

/// Which streams are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Only those of this aggregate type.
    #[param(inline, nullable = false)]
    aggregate_type: Option<AggregateType>,
    /// Only those whose id begins so.
    #[param(max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    prefix: Option<String>,
    /// Those behind this one, as `type/id`.
    #[param(pattern = r"^[A-Za-z0-9._-]{1,100}/[^\x00-\x1f\x7f-\x9f]{1,200}$")]
    after: Option<String>,
    /// The most streams.
    limit: Option<i64>,
}

/// List streams
///
/// The tenant's streams by aggregate type and id, with a link to the next page.
#[utoipa::path(
    get,
    path = "/v1/streams",
    operation_id = "listStreams",
    tag = "streams",
    params(Which, Caller),
    responses(
        (
            status = 200,
            description = "A page of the list.",
            body = Streams,
            headers(("Link" = String, description = "The link to the next page.")),
        ),
        Problems,
    ),
)]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    uri: Uri,
    Parameters(which): Parameters<Which>,
) -> Result<(HeaderMap, JsonAnswer<Streams>), Problem> {
    let limit = api.options.page(which.limit)?;
    let query = StreamsQuery {
        tenant: caller.tenant,
        after: which.after.as_deref().map(place).transpose()?,
        aggregate_type: which.aggregate_type,
        prefix: query::prefix(which.prefix)?,
        limit,
    };
    let found = within(caller.deadline, api.store.list_streams(&query)).await?;
    let full = i64::try_from(found.len()).is_ok_and(|count| count >= limit);
    let last = found.last().filter(|_| full);
    let next = last.map(|last| next_page(uri.path(), &query, last.aggregate_type.as_str(), last.stream_id.as_str()));
    let links = Links { next, prev: None };
    let headers = links.header();
    Ok((headers, JsonAnswer(Streams { streams: found.into_iter().map(Into::into).collect(), links })))
}

/// A place in the list. An aggregate type has no slash, so the first one ends it.
fn place(after: &str) -> Result<(AggregateType, StreamId), Problem> {
    let (aggregate_type, id) = after.split_once('/').ok_or_else(|| {
        Problem::invalid(format!("the query string: after={after} is no place in the list: use type/id of a stream"))
    })?;
    Ok((AggregateType::new(aggregate_type)?, StreamId::new(id)?))
}

fn next_page(path: &str, query: &StreamsQuery, aggregate_type: &str, id: &str) -> String {
    Link::to(path)
        .with("after", format!("{aggregate_type}/{id}"))
        .with("limit", query.limit)
        .maybe("aggregate_type", query.aggregate_type.as_ref())
        .maybe("prefix", query.prefix.as_ref())
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Tenant;

    #[test]
    fn the_next_page_is_asked_for_with_the_same_filters() {
        let query = StreamsQuery {
            tenant: Tenant::default_tenant(),
            aggregate_type: Some(AggregateType::new("account").expect("valid")),
            prefix: Some("a&".into()),
            after: None,
            limit: 2,
        };
        let next = next_page("/v1/streams", &query, "account", "a&/ë");
        assert_eq!(next, "/v1/streams?after=account%2Fa%26%2F%C3%AB&limit=2&aggregate_type=account&prefix=a%26");
        let uri = next.parse().expect("a URI");
        let which = axum::extract::Query::<Which>::try_from_uri(&uri).expect("its own link").0;
        let (aggregate_type, id) = place(&which.after.expect("after")).expect("valid");
        assert_eq!((aggregate_type.as_str(), id.as_str()), ("account", "a&/ë"));
    }

    #[test]
    fn another_place_is_refused() {
        for after in ["account", "a b/1", "account/"] {
            assert_eq!(place(after).expect_err("refused").summary(), (400, "invalid"), "{after}");
        }
    }
}
