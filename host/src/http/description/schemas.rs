//! JSON Schemas of the model's own types, which keep to serde: what a name may hold is said here once.

use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::http::problem::Code;
use crate::model::{AggregateType, Digest, Direction, IdempotencyKey, Json, Rejection, StreamId, Tenant};

/// Letters, digits and the marks that need no escaping anywhere.
const IDENTIFIER: &str = "^[A-Za-z0-9._-]+$";

/// Text without control characters.
pub(super) const TEXT: &str = r"^[^\x00-\x1f\x7f-\x9f]+$";

/// A name of at most `max` bytes. JSON Schema counts characters, so that the text says what the bound is.
pub(super) fn name(what: &str, pattern: &str, max: usize) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(format!("{what}: 1 to {max} bytes of UTF-8.")))
        .pattern(Some(pattern))
        .min_length(Some(1))
        .max_length(Some(max))
}

/// A text of this form.
pub(super) fn text(pattern: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern))
}

fn built(object: ObjectBuilder) -> RefOr<Schema> {
    Object::from(object).into()
}

macro_rules! schema {
    ($type:ty, $name:literal, $schema:expr) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                built($schema)
            }
        }

        impl ToSchema for $type {
            fn name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
        }
    };
}

schema!(Tenant, "Tenant", name("Owner of streams that nobody else reads or writes", IDENTIFIER, Self::MAX_BYTES));
schema!(
    AggregateType,
    "AggregateType",
    name("Name of an aggregate type, as its module declares it", IDENTIFIER, Self::MAX_BYTES)
);
schema!(
    StreamId,
    "StreamId",
    name("A stream's id within its tenant and aggregate type, without control characters", TEXT, Self::MAX_BYTES)
);
schema!(
    IdempotencyKey,
    "IdempotencyKey",
    name("The key that makes a repeated request the same request", TEXT, Self::MAX_BYTES)
);
schema!(Digest, "Digest", text("^[0-9a-f]{64}$").description(Some("SHA-256 of a component, in hexadecimal digits.")));
schema!(
    Json,
    "Json",
    ObjectBuilder::new()
        .schema_type(SchemaType::AnyValue)
        .description(Some("Any JSON value, kept byte for byte; at most 127 levels deep."))
);
schema!(
    Direction,
    "Direction",
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["forward", "backward"]))
);
schema!(
    Code,
    "ProblemCode",
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("What went wrong: stable, so that a client can act on it."))
        .enum_values(Some(Code::ALL.map(Code::as_str)))
);
schema!(
    Rejection,
    "Rejection",
    ObjectBuilder::new()
        .description(Some("The domain's \"no\"."))
        .property("code", described("The stable code, as the module declares it."))
        .property("message", described("A sentence for people."))
        .property("details", Ref::from_schema_name("Json"))
        .required("code")
        .required("message")
);

fn described(what: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(what))
}

/// A version, or a time in milliseconds: numbers from `minimum` on.
pub(super) fn number(minimum: i64) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::Int64)))
        .minimum(Some(minimum))
}
