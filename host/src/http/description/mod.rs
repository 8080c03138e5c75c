//! The OpenAPI description of the API, made from the handlers, and a page that shows it to people.
//!
//! `#[utoipa::path]` on a handler describes it where it stands; the router is made from the same declarations, so
//! that neither has a route that the other lacks. What many operations share is here: the schemas of the model's
//! types, the parameters that extractors read, the problems.

mod examples;
mod page;
mod parameters;
pub(super) mod problems;
mod schemas;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Extension;
use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, RefOr, Server};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::problems::problems;
use super::HttpOptions;
use super::problem::{Code, ProblemBody};
use crate::model::Json;

/// The tags of operations, in the page's order.
const TAGS: [(&str, &str); 7] = [
    ("aggregates", "Commands to a stream, and its state."),
    ("streams", "The events of one stream, read and appended as they are."),
    ("log", "The whole log of a tenant, in commit order."),
    ("bulk", "Commands and events in any number, a line each."),
    ("snapshots", "States that are kept to make reads faster, to look at and to drop."),
    ("modules", "What can be decided, and what was."),
    ("operations", "Health, and this description."),
];

/// The document, written once.
#[derive(Clone)]
struct Document(Bytes);

/// The routes with those that show their description, and the description.
pub(super) fn described<S: Clone + Send + Sync + 'static>(
    routes: OpenApiRouter<S>,
    options: &HttpOptions,
) -> (Router<S>, Bytes) {
    let own = OpenApiRouter::new().routes(routes!(document)).routes(routes!(page::page)).routes(routes!(page::part));
    let ((routes, of_routes), (own, of_own)) = (routes.split_for_parts(), own.split_for_parts());
    let mut document = base();
    document.merge(of_routes);
    document.merge(of_own);
    bound_pages(&mut document, options);
    let json = Bytes::from(serde_json::to_vec(&document).expect("a description has a JSON form"));
    (routes.merge(own.layer(Extension(Document(json.clone())))), json)
}

/// The description without any operation: the host, and what operations refer to.
fn base() -> OpenApi {
    let license = env!("CARGO_PKG_LICENSE");
    let info = InfoBuilder::new()
        .title("Everfold")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(include_str!("introduction.md")))
        .license(Some(LicenseBuilder::new().name(license).identifier(Some(license)).build()));
    let tags = TAGS.map(|(name, description)| TagBuilder::new().name(name).description(Some(description)).build());
    OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([Server::new("/")]))
        .tags(Some(tags))
        .components(Some(ComponentsBuilder::new().schemas_from_iter(schemas()).build()))
        .build()
}

/// What is referred to beside the bodies of operations, which bring their schemas themselves.
fn schemas() -> Vec<(String, RefOr<Schema>)> {
    let mut schemas = vec![(ProblemBody::name().into(), ProblemBody::schema()), (Json::name().into(), Json::schema())];
    ProblemBody::schemas(&mut schemas);
    schemas
}

/// The size of pages is this host's own setting.
fn bound_pages(document: &mut OpenApi, options: &HttpOptions) {
    let operations = document.paths.paths.values_mut().flat_map(operations);
    let parameters = operations.filter_map(|operation| operation.parameters.as_mut()).flatten();
    for parameter in parameters {
        let RefOr::T(parameter) = parameter else { continue };
        if parameter.name == "limit"
            && let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema
        {
            schema.minimum = Some(1.into());
            schema.maximum = Some(options.max_page_limit.into());
            schema.default = Some(options.page_limit.into());
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten()
}

problems!(Problems: &[Code::Internal]);

/// This description
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "operations",
    responses((status = 200, description = "The API in OpenAPI 3.1.", body = Object, content_type = "application/json"), Problems),
)]
async fn document(Extension(Document(json)): Extension<Document>) -> ([(HeaderName, &'static str); 1], Bytes) {
    ([(CONTENT_TYPE, "application/json")], json)
}
