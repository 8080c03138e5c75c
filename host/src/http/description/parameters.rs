//! What the extractors take from a request, described beside one another: an operation names its extractors.

use serde_json::json;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Object, RefOr, Required, Schema};
use utoipa::{IntoParams, PartialSchema};

use super::schemas::{TEXT, name, text};
use crate::http::caching::KnownTag;
use crate::http::extract::{Caller, CommandName, Conditions, ModuleName, Provenance, StreamPath, TypePath};
use crate::http::limits::MAX_LABEL_BYTES;
use crate::model::{AggregateType, IdempotencyKey, StreamId, Tenant};

/// A quoted string, or a text that doesn't begin like one.
const KEY: &str = r#"^(?:[^"\x00-\x20\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*|"(?:[^"\\\x00-\x1f\x7f-\x9f]|\\["\\])+")$"#;

/// A version; no version has more digits.
const VERSION: &str = "[0-9]{1,18}";

fn header(name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .description(Some(description))
        .schema(Some(schema))
}

fn segment(name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(schema))
}

fn built(object: ObjectBuilder) -> Object {
    object.build()
}

impl IntoParams for Caller {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let tenant = header(
            "Everfold-Tenant",
            "Whose streams the request is about; `default` where it isn't sent.",
            Tenant::schema(),
        );
        let timeout = header(
            "Everfold-Timeout",
            "How long the caller waits, in milliseconds. The host has a default and a longest time of its own.",
            built(ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1))),
        );
        vec![tenant.build(), timeout.example(Some(json!(5000))).build()]
    }
}

impl IntoParams for Conditions {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let expected = header(
            "Expected-Version",
            "What is demanded of the stream: its version, `no-stream`, `exists` or `any` (the default). Where it is \
             elsewhere, the answer is 409. Send one of Expected-Version, If-Match and If-None-Match.",
            built(text(&format!("^(?:{VERSION}|no-stream|exists|any)$"))),
        );
        let matches = header(
            "If-Match",
            "The same demand in the words of HTTP: an `ETag` as it was answered, or `*` for a stream with events. Where \
             the stream is elsewhere, the answer is 412.",
            built(text(&format!(r#"^(?:\*|"{VERSION}(?:-[0-9a-f]{{16}})?")$"#))),
        );
        let none_matches = header(
            "If-None-Match",
            "`*` demands a stream without events; where it has some, the answer is 412.",
            built(ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["*"]))),
        );
        let key = header(
            "Idempotency-Key",
            "Makes a repeated request the same request: it is carried out once, and every repetition gets the first \
             outcome. Plain text or a quoted string, 1 to 200 bytes.",
            built(text(KEY).min_length(Some(1)).max_length(Some(IdempotencyKey::MAX_BYTES))),
        );
        vec![
            expected.example(Some(json!("no-stream"))).build(),
            matches.build(),
            none_matches.build(),
            key.example(Some(json!("payment-17"))).build(),
        ]
    }
}

impl IntoParams for Provenance {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let label = |header_name, description: &str| {
            header(header_name, description, built(name("A label, kept with the events", TEXT, MAX_LABEL_BYTES)))
                .build()
        };
        let traceparent = "W3C trace context, kept with the events. A malformed one is ignored.";
        vec![
            label("Everfold-Actor", "Who sends the request."),
            label("Everfold-Correlation-Id", "Ties together all that follows from one cause."),
            label("Everfold-Causation-Id", "What caused the request."),
            header("traceparent", traceparent, built(ObjectBuilder::new().schema_type(Type::String))).build(),
        ]
    }
}

impl IntoParams for StreamPath {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            segment("type", "The aggregate type.", AggregateType::schema()).example(Some(json!("account"))).build(),
            segment("id", "The stream's id, percent-encoded.", StreamId::schema()).example(Some(json!("ann"))).build(),
        ]
    }
}

impl IntoParams for ModuleName {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let name = built(ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)));
        vec![segment("name", "The module's name.", name).example(Some(json!("bank-account"))).build()]
    }
}

impl IntoParams for TypePath {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![segment("type", "The aggregate type.", AggregateType::schema()).example(Some(json!("account"))).build()]
    }
}

impl IntoParams for KnownTag {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "An `ETag` that was answered before, several separated by commas, or `*`: where the answer \
                           would be the same, it is 304 without a body.";
        let schema = built(ObjectBuilder::new().schema_type(Type::String));
        vec![header("If-None-Match", description, schema).build()]
    }
}

impl IntoParams for CommandName {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let command = built(ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)));
        vec![
            segment("command", "The command, as the module declares it.", command).example(Some(json!("Open"))).build(),
        ]
    }
}
