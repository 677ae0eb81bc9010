//! How names, numbers and moments of our own are described to programs (OpenAPI). What is a plain structure describes
//! itself where it stands.

use std::borrow::Cow;

use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, Schema, SchemaType};
use utoipa::openapi::{ObjectBuilder, RefOr, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::id::{
    CalendarName, HandlerName, JobName, Namespace, QueueName, ResourceName, RunId, ShareName,
    WorkerName,
};
use crate::job::Rate;
use crate::limits::{NAME_MAX, RUN_ID_MAX};

/// Where the broker, a job or a queue has a name, it looks like this.
const NAME: &str = "^[a-z0-9][a-z0-9-]*$";
/// What a run's id looks like.
const RUN: &str = "^[a-z0-9][a-z0-9-]*_[A-Za-z0-9_]+$";

macro_rules! text {
    ($($type:ident, $pattern:expr, $most:expr;)*) => {$(
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .pattern(Some($pattern))
                    .min_length(Some(1))
                    .max_length(Some($most))
                    .into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                stringify!($type).into()
            }
        }
    )*};
}

text! {
    Namespace, NAME, NAME_MAX;
    JobName, NAME, NAME_MAX;
    QueueName, NAME, NAME_MAX;
    HandlerName, NAME, NAME_MAX;
    ShareName, NAME, NAME_MAX;
    ResourceName, NAME, NAME_MAX;
    CalendarName, "^[a-z][a-z0-9-]*$", NAME_MAX;
    WorkerName, NAME, NAME_MAX;
    RunId, RUN, RUN_ID_MAX;
    Rate, "^[0-9]+/[smh]$", 16;
}

/// An integer of any size.
pub fn integer() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::Integer).into()
}

/// Integers of any size, by name.
pub fn integers() -> RefOr<Schema> {
    let any = AdditionalProperties::RefOr(integer());
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(any))
        .into()
}

/// The first and the last key of a page: texts or numbers; or nothing.
pub fn bounds() -> RefOr<Schema> {
    let key = ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([
            Type::String,
            Type::Integer,
            Type::Number,
        ]))
        .build();
    ArrayBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Array, Type::Null]))
        .items(key)
        .min_items(Some(2))
        .max_items(Some(2))
        .into()
}

/// Whatever JSON can say.
pub fn anything() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(SchemaType::AnyValue)
        .into()
}
