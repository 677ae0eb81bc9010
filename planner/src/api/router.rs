//! Which operations there are, from one list: where they are found, and how they are described (OpenAPI).

use axum::http::{HeaderValue, header};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{is_open, needs};
use super::link::Api;
use super::problem::{Problem, Told};
use super::settings::ROOT;
use super::{
    about, alarms, calendars, callbacks, crew, dead, doctor, events, gate, jobs, log, refused, runs,
};

/// Where the description is.
const DESCRIPTION: &str = "/openapi.json";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Gridloom",
        description = "What can be seen and ordered of an installation of Gridloom. The same answers on every planner, \
                       whether it leads or stands by.",
        version = "1",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    components(schemas(Told, jobs::pause::MissedWord)),
    tags(
        (name = "jobs", description = "Definitions, and when they fire"),
        (name = "runs", description = "Firings of jobs, their grids and their shards"),
        (name = "dead letters", description = "Shards whose attempts are used up"),
        (name = "calendars", description = "Days and times that schedules are bound to or kept off"),
        (name = "crew", description = "Queues, workers and planners"),
        (name = "installation", description = "What concerns all of it"),
    )
)]
struct Described;

fn operations() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Described::openapi())
        .routes(routes!(about::about))
        .routes(routes!(about::session, about::login, about::logout))
        .routes(routes!(jobs::list))
        .routes(routes!(
            jobs::show,
            jobs::define::apply,
            jobs::define::delete
        ))
        .routes(routes!(jobs::pause::pause))
        .routes(routes!(jobs::pause::resume))
        .routes(routes!(jobs::submit::submit))
        .routes(routes!(jobs::fires))
        .routes(routes!(jobs::prospect::next))
        .routes(routes!(jobs::prospect::why))
        .routes(routes!(jobs::soonest::soonest))
        .routes(routes!(jobs::backfills::list, jobs::backfills::begin))
        .routes(routes!(jobs::backfills::cancel))
        .routes(routes!(runs::list))
        .routes(routes!(runs::waiting))
        .routes(routes!(runs::waits::all))
        .routes(routes!(runs::show))
        .routes(routes!(runs::grid::grid))
        .routes(routes!(runs::work::work))
        .routes(routes!(runs::shards::list))
        .routes(routes!(runs::shards::show))
        .routes(routes!(runs::audit))
        .routes(routes!(runs::order::cancel))
        .routes(routes!(runs::order::retry))
        .routes(routes!(callbacks::call))
        .routes(routes!(dead::list))
        .routes(routes!(dead::order::retry))
        .routes(routes!(dead::order::drop))
        .routes(routes!(calendars::list))
        .routes(routes!(
            calendars::show,
            calendars::apply,
            calendars::delete
        ))
        .routes(routes!(crew::queues))
        .routes(routes!(crew::workers))
        .routes(routes!(crew::planners))
        .routes(routes!(refused::list))
        .routes(routes!(refused::drop))
        .routes(routes!(jobs::pauses))
        .routes(routes!(jobs::pause::freeze, jobs::pause::unfreeze))
        .routes(routes!(alarms::list))
        .routes(routes!(log::log))
        .routes(routes!(doctor::doctor))
        .routes(routes!(events::events))
}

/// All routes.
pub(super) fn routes(api: Api) -> Router {
    let (routes, _) = operations().split_for_parts();
    let routes = routes.route(DESCRIPTION, get(async || described()));
    let under = format!("{}{ROOT}", api.settings.base_path);
    Router::new()
        .nest(&under, routes)
        .fallback(async || Problem::absent("there is nothing under this path"))
        .layer(from_fn_with_state(api.clone(), gate::pass))
        .with_state(api)
}

fn described() -> impl IntoResponse {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], Json(description()))
}

/// The description of the API, as it is served and stands in the repository.
pub fn description() -> Value {
    let mut all = json!(operations().into_openapi());
    let paths = all["paths"].as_object_mut().into_iter().flatten();
    for (path, methods) in paths {
        let methods = methods.as_object_mut().into_iter().flatten();
        for (method, operation) in methods {
            if let Some(operation) = operation.as_object_mut() {
                complete(operation, &method.to_uppercase(), path);
            }
        }
    }
    unsigned(&mut all);
    all["components"]["securitySchemes"] = json!({
        "token": { "type": "http", "scheme": "bearer", "description": "A token of the configuration" },
    });
    all["servers"] = json!([{ "url": ROOT }]);
    all
}

/// Numbers without a sign are not those that OpenAPI has formats for.
fn unsigned(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(unsigned),
        Value::Object(fields) => {
            let is_unsigned = fields.get("minimum").is_some_and(|least| *least == 0);
            let format = fields.get("format").and_then(Value::as_str);
            if is_unsigned && matches!(format, Some("int32" | "int64")) {
                if format == Some("int32") {
                    fields.entry("maximum").or_insert(u32::MAX.into());
                }
                fields.remove("format");
            }
            fields.values_mut().for_each(unsigned);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What is the same of all operations: how a problem is told, and who may.
fn complete(operation: &mut serde_json::Map<String, Value>, method: &str, path: &str) {
    let needs = needs(method, path);
    let problem = json!({
        "description": "A problem (RFC 9457)",
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    operation["responses"]["default"] = problem;
    operation.insert("x-role".to_owned(), needs.role.as_str().into());
    // Where no tokens are set none is asked for.
    let security = match is_open(method, path) {
        true => json!([]),
        false => json!([{ "token": [] }, {}]),
    };
    operation.insert("security".to_owned(), security);
}

/// Every operation: its method, its path, and the role that it asks for.
pub fn all() -> Vec<(String, String, String)> {
    let description = description();
    let paths = description["paths"].as_object().into_iter().flatten();
    let of_path = |(path, methods): (&String, &Value)| {
        let methods = methods.as_object().into_iter().flatten();
        let of_method = |(method, operation): (&String, &Value)| {
            let role = operation["x-role"].as_str().unwrap_or_default();
            (method.to_uppercase(), path.clone(), role.to_owned())
        };
        methods.map(of_method).collect::<Vec<_>>()
    };
    paths.flat_map(of_path).collect()
}
