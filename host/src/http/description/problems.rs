//! The problem documents that an operation can answer: it names its codes, and their statuses, bodies and examples
//! follow from the one table of codes.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

use super::examples::example;
use super::schemas::number;
use crate::http::problem::Code;

/// Codes of the operations that read from PostgreSQL.
pub(in crate::http) const READING: &[Code] =
    &[Code::Invalid, Code::Deadline, Code::DatabaseUnavailable, Code::Internal];

/// Codes of the operations that fold a stream.
pub(in crate::http) const FOLDING: &[Code] = &[
    Code::UnknownAggregate,
    Code::ModuleTrapped,
    Code::ModuleDeadline,
    Code::ModuleMemory,
    Code::ModuleAnswerInvalid,
    Code::ModuleQuarantined,
    Code::UnfoldableEvent,
    Code::Overloaded,
];

/// Codes of the operations that may ask modules for the newest form of events.
pub(in crate::http) const UPCASTING: &[Code] = &[
    Code::ModuleTrapped,
    Code::ModuleDeadline,
    Code::ModuleMemory,
    Code::ModuleAnswerInvalid,
    Code::UnfoldableEvent,
    Code::Overloaded,
];

/// Codes of the operations that append to a stream.
pub(in crate::http) const APPENDING: &[Code] = &[
    Code::VersionConflict,
    Code::TooLarge,
    Code::UnsupportedMediaType,
    Code::IdempotencyKeyReused,
    Code::Overloaded,
    Code::OutcomeUnknown,
];

/// Declares `Problems`, which stands for these codes in the `responses` of an operation.
///
/// ```ignore
/// problems!(Problems: READING, &[Code::StreamNotFound]);
/// #[utoipa::path(…, responses((status = 200, body = State), Problems))]
/// ```
macro_rules! problems {
    ($name:ident: $($codes:expr),+ $(,)?) => {
        struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses() -> std::collections::BTreeMap<
                String,
                utoipa::openapi::RefOr<utoipa::openapi::Response>,
            > {
                $crate::http::description::problems::responses(&[$($codes),+])
            }
        }
    };
}
pub(in crate::http) use problems;

/// A response for each status, with the codes that have it.
pub(in crate::http) fn responses(groups: &[&[Code]]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status = BTreeMap::<u16, Vec<Code>>::new();
    for code in groups.iter().copied().flatten().copied() {
        for status in code.statuses() {
            let codes = by_status.entry(status.as_u16()).or_default();
            if !codes.contains(&code) {
                codes.push(code);
            }
        }
    }
    by_status.into_iter().map(|(status, codes)| (status.to_string(), response(status, &codes).into())).collect()
}

fn response(status: u16, codes: &[Code]) -> Response {
    let meanings: Vec<String> = codes.iter().map(|code| format!("`{}`: {}.", code.as_str(), code.title())).collect();
    let narrowed = ObjectBuilder::new()
        .property("status", ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([status])))
        .property(
            "code",
            ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes.iter().map(|code| code.as_str()))),
        )
        .required("status")
        .required("code");
    let schema = AllOfBuilder::new().item(Ref::from_schema_name("Problem")).item(narrowed);
    let examples = codes.iter().map(|code| {
        (
            code.as_str(),
            utoipa::openapi::example::ExampleBuilder::new()
                .summary(code.title())
                .value(Some(example_of(*code, status))),
        )
    });
    let content = ContentBuilder::new().schema(Some(Schema::from(schema))).examples_from_iter(examples);
    let mut response =
        ResponseBuilder::new().description(meanings.join(" ")).content("application/problem+json", content.build());
    if codes.iter().any(|code| code.says_when()) {
        let header = HeaderBuilder::new()
            .schema(Some(number(1)))
            .description(Some("After how many seconds the same request may well succeed."));
        response = response.header("Retry-After", header.build());
    }
    response.build()
}

fn example_of(code: Code, status: u16) -> Value {
    let problem = example(code);
    let problem = if problem.status().as_u16() == status { problem } else { problem.of_precondition() };
    serde_json::to_value(problem.body()).unwrap_or_default()
}
