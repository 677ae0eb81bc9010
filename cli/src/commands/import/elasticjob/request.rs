//! What an HTTP job of ElasticJob becomes: the same request by the handler `http`, with the header `shardingContext`.

use std::fmt::Write as _;

use gridloom_shared::chain;
use gridloom_shared::duration::write_duration;
use gridloom_shared::job::handlers::http::order::METHODS;
use gridloom_shared::job::handlers::http::origin::{self, Origin};
use gridloom_shared::job::handlers::http::template::escaped;

use super::super::imported::{Code, Request, quoted};
use super::super::note::Kind;
use super::super::reading::Reading;

/// What is read of `props`. Its documentation calls the first `http.url`, its code `http.uri`.
pub(super) const PROPS: &[&str] = &[
    "http.uri",
    "http.url",
    "http.method",
    "http.data",
    "http.content.type",
    "http.connect.timeout.milliseconds",
    "http.read.timeout.milliseconds",
];
/// How long it waited where nothing was said, in milliseconds: for the connection, and for each piece of the answer.
const CONNECT_DEFAULT: u64 = 3_000;
const READ_DEFAULT: u64 = 5_000;

/// What Java's `HttpURLConnection` says that POST and DELETE carry, where the job does not say it.
const FORM: &str = "application/x-www-form-urlencoded";

/// Whether the job is one of HTTP.
pub(super) fn is_meant(reading: &mut Reading<'_>) -> bool {
    let flat = reading.props();
    let mut kinds = ["elasticJobType", "jobType"].into_iter();
    let kind = kinds.find_map(|field| reading.same_text(field));
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("HTTP"))
        || flat
            .iter()
            .any(|(name, _)| PROPS[..2].contains(&name.as_str()))
}

/// The request of the job that was called `was` there.
pub(super) fn code(reading: &mut Reading<'_>, was: &str) -> Code {
    let flat = reading.props();
    let prop = |wanted: &str| {
        let (_, value) = flat.iter().find(|(name, _)| name == wanted)?;
        (!value.trim().is_empty()).then(|| value.trim().to_owned())
    };
    let url = prop("http.uri").or_else(|| prop("http.url"));
    let method = prop("http.method").map(|method| method.to_ascii_uppercase());
    let data = prop("http.data");
    let kind = prop("http.content.type");
    let connect = prop(PROPS[5]);
    let read = prop(PROPS[6]);
    let Some(url) = url else {
        reading.note(
            Kind::Open,
            "http.uri",
            "is not there: where does the request go?",
        );
        return Code::Nothing("http".to_owned());
    };
    let origin = match origin::address(&url) {
        Ok(url) => Some(Origin::of(&url).as_str().to_owned()),
        Err(error) => {
            reading.note(Kind::Open, "http.uri", chain(&error).to_string());
            None
        }
    };
    let mut table = format!("[http]\nurl = {}\n", quoted(&escaped(&url)));
    let method = said_method(reading, method);
    let _ = writeln!(table, "method = {}", quoted(&method));
    let timeout = timeout(reading, connect, read);
    let _ = writeln!(table, "timeout = \"{timeout}\"");
    let carries = data.is_some() && matches!(method.as_str(), "POST" | "DELETE");
    match (data, method.as_str()) {
        (Some(_), "GET") => {
            reading.note(
                Kind::Dropped,
                "http.data",
                "GET carries nothing, there as here",
            );
        }
        (data, "POST" | "PUT" | "PATCH") => {
            let data = escaped(&data.unwrap_or_default());
            let _ = writeln!(table, "body = {}", quoted(&data));
        }
        (Some(data), _) => {
            let _ = writeln!(table, "body = {}", quoted(&escaped(&data)));
        }
        (None, _) => {}
    }
    table.push_str("[http.headers]\n");
    if let Some(kind) = kind.or_else(|| carries.then(|| FORM.to_owned())) {
        let _ = writeln!(table, "content-type = {}", quoted(&escaped(&kind)));
    }
    let _ = writeln!(table, "shardingContext = {}", context(reading, was));
    tell(reading);
    Code::Request(Request { table, origin })
}

fn said_method(reading: &mut Reading<'_>, method: Option<String>) -> String {
    match method {
        Some(method) if METHODS.contains(&method.as_str()) => method,
        other => {
            let text = match other {
                Some(method) => format!(
                    "{method}: a request here has one of {}: which is meant?",
                    METHODS.join(", ")
                ),
                None => "is not there, without which ElasticJob does not send it: which is it?"
                    .to_owned(),
            };
            reading.note(Kind::Open, "http.method", text);
            "GET".to_owned()
        }
    }
}

/// One time here for the two there.
fn timeout(reading: &mut Reading<'_>, connect: Option<String>, read: Option<String>) -> String {
    let mut of = |name: &str, said: Option<String>, usual: u64| match said
        .map(|text| (text.parse::<u64>(), text))
    {
        None => usual,
        Some((Ok(millis), _)) => millis,
        Some((Err(_), text)) => {
            reading.note(
                Kind::Open,
                name,
                format!("{text:?} is no number of milliseconds: which is meant?"),
            );
            usual
        }
    };
    let both =
        of(PROPS[5], connect, CONNECT_DEFAULT).saturating_add(of(PROPS[6], read, READ_DEFAULT));
    write_duration(both.clamp(1, 3_600_000))
}

/// What ElasticJob writes into the header, from what is known of the shard here.
fn context(reading: &mut Reading<'_>, was: &str) -> String {
    let told = |field: &str, placeholder: &str, reading: &mut Reading<'_>| {
        let is_there = reading.same_text(field).is_some();
        quoted(if is_there { placeholder } else { "" })
    };
    let parameter = told("jobParameter", "{jobParameter}", reading);
    let item = told(
        "shardingItemParameters",
        "{shardingItemParameters[slice]}",
        reading,
    );
    format!(
        "{{ jobName = {}, taskId = \"{{run}}\", shardingTotalCount = \"{{slices}}\", jobParameter = {parameter}, \
         shardingItem = \"{{slice}}\", shardingParameter = {item} }}",
        quoted(&escaped(was))
    )
}

/// What is otherwise for each of them.
fn tell(reading: &mut Reading<'_>) {
    for field in [
        "elasticJobClass",
        "jobClass",
        "label",
        "jobBootstrapBeanName",
    ] {
        reading.dropped(field, &["HTTP"], "the request is all that there is of it");
    }
    for (field, text) in [
        (
            "elasticJobType",
            "HTTP: its request is sent by the handler http, and the workers have to be told which service that may ask (gridloom.toml): \
             an answer of 400 and above fails, where it counted as done there; 408, 429 and 500-599 are tried again, others are not",
        ),
        (
            "shardingContext",
            "is in the header as there; its taskId is the run's id, and a letter beyond ASCII is written \\uXXXX",
        ),
        (
            "http.read.timeout.milliseconds",
            "with the time for the connection it is the time of the whole request, http.timeout",
        ),
        (
            "http.uri",
            "a redirection to another server is not followed",
        ),
    ] {
        reading.note(Kind::Changed, field, text);
    }
}
