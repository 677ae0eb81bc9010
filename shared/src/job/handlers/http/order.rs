//! What a job's settings say: which request, and which answers are meant.

use std::time::Duration;

use serde_json::{Map, Value};

use super::content::Content;
use super::origin::{self, Origin};
use super::statuses::Statuses;
use super::template::{Placeholder, Template};
use crate::chain;
use crate::duration::parse_duration;
use crate::job::Fault;

/// The settings.
const KEYS: &[&str] = &[
    "url", "method", "headers", "body", "success", "retry", "timeout", "callback",
];
/// The methods that a request may have.
pub const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE"];
/// The method where none is said.
pub const METHOD_DEFAULT: &str = "POST";
/// Those that carry nothing unless something is said: an answer is asked for, or something is to be gone.
const WITHOUT_BODY: &[&str] = &["GET", "DELETE"];
/// How long an answer may take, with all that it takes to ask, unless something else is said.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// The most that may be said.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(3_600);
/// The longest wait for a callback that may be said.
pub const CALLBACK_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Most headers that a job says.
pub const HEADERS_MAX: usize = 64;
/// Headers that the handler says itself.
pub const TAKEN: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "gridloom-callback",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-connection",
    "te",
    "traceparent",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A job's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// One of [`METHODS`].
    pub method: String,
    /// Where it goes, before anything is filled in.
    pub origin: Origin,
    /// The address; its placeholders stand behind the origin, and none is a secret.
    pub url: Template,
    /// By their names in small letters.
    pub headers: Vec<(String, Content)>,
    /// What it carries, where the job says.
    pub body: Option<Content>,
    /// Which answers are a success.
    pub success: Statuses,
    /// Which answers say that another attempt may have one.
    pub retry: Statuses,
    /// How long the answer may take.
    pub timeout: Duration,
    /// How long a service may take that answers 202 and calls back; `None`: it does not, and a 202 is as any other status.
    pub callback: Option<Duration>,
}

impl Order {
    /// Reads settings.
    ///
    /// # Errors
    /// The first thing in them that is no setting.
    pub fn read(settings: &Value) -> Result<Order, Fault> {
        let nothing = Map::new();
        let settings = settings.as_object().unwrap_or(&nothing);
        if let Some(other) = settings.keys().find(|key| !KEYS.contains(&key.as_str())) {
            let message = format!("is no setting; they are {}", KEYS.join(", "));
            return Err(fault(other, message));
        }
        let method = method(settings)?;
        let (url, origin) = url(settings)?;
        let body = settings.get("body").map(Content::read).transpose();
        let body = body.map_err(|error| fault("body", chain(&error).to_string()))?;
        if body.is_some() && method == "GET" {
            return Err(fault(
                "body",
                "cannot be with the method GET: name another one",
            ));
        }
        let success = Statuses::of([200..=299]);
        let retry = Statuses::of([408..=408, 429..=429, 500..=599]);
        Ok(Order {
            method,
            origin,
            url,
            headers: headers(settings)?,
            body,
            success: statuses(settings, "success")?.unwrap_or(success),
            retry: statuses(settings, "retry")?.unwrap_or(retry),
            timeout: timeout(settings)?,
            callback: callback(settings)?,
        })
    }

    /// What a worker has to know for it: the service, and where that calls back if it does.
    pub fn wants(&self) -> String {
        wanted(self.origin.as_str(), self.callback.is_some())
    }

    /// Whether the request carries what is known of the shard, as nothing else is said.
    pub fn tells_the_shard(&self) -> bool {
        self.body.is_none() && !WITHOUT_BODY.contains(&self.method.as_str())
    }

    /// A header that the job says.
    pub fn header(&self, name: &str) -> Option<&Content> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, content)| content)
    }

    /// All that it names, each with where.
    pub(super) fn placeholders(&self) -> Vec<(String, &Placeholder)> {
        let url = self.url.placeholders();
        let mut all: Vec<_> = url.map(|name| ("http.url".to_owned(), name)).collect();
        let parts = self.headers.iter();
        let parts = parts.map(|(name, content)| (format!("http.headers.{name}"), content));
        let body = self.body.iter();
        for (path, content) in parts.chain(body.map(|body| ("http.body".to_owned(), body))) {
            let names = content.placeholders().into_iter();
            all.extend(names.map(|name| (path.clone(), name)));
        }
        all
    }
}

/// What a worker has to know for a job, if its settings say an origin: see [`Order::wants`].
pub fn wanted_by(settings: &Value) -> Option<String> {
    let settings = settings.as_object()?;
    let (_, origin) = url(settings).ok()?;
    Some(wanted(origin.as_str(), settings.contains_key("callback")))
}

/// What a worker is known by that knows where services of that origin call back.
const CALLING_BACK: &str = " with callback";

/// What a worker knows of an origin, with where its service calls back or without.
pub fn wanted(origin: &str, calls_back: bool) -> String {
    match calls_back {
        true => format!("{origin}{CALLING_BACK}"),
        false => origin.to_owned(),
    }
}

/// The origin, where it is wanted with where its service calls back.
pub fn calling_back(wanted: &str) -> Option<&str> {
    wanted.strip_suffix(CALLING_BACK)
}

fn method(settings: &Map<String, Value>) -> Result<String, Fault> {
    let method = match settings.get("method") {
        None => Some(METHOD_DEFAULT),
        Some(value) => value.as_str().filter(|method| METHODS.contains(method)),
    };
    method.map(str::to_owned).ok_or_else(|| {
        let words: Vec<String> = METHODS.iter().map(|word| format!("{word:?}")).collect();
        fault("method", format!("must be {}", words.join(" or ")))
    })
}

fn url(settings: &Map<String, Value>) -> Result<(Template, Origin), Fault> {
    let fault = |message: String| fault("url", message);
    let text = settings.get("url").ok_or_else(|| {
        fault(
            "is missing: say where the request goes, as https://api.example/charges/{slice}"
                .to_owned(),
        )
    })?;
    let text = text.as_str().unwrap_or_default();
    let template = Template::read(text).map_err(|error| fault(chain(&error).to_string()))?;
    if let Some(secret) = template
        .placeholders()
        .find(|name| matches!(name, Placeholder::Secret(_)))
    {
        return Err(fault(format!(
            "names {secret}: addresses are written down by all that they pass; say secrets in headers or body"
        )));
    }
    let example = template.fill(|_| Ok::<_, std::convert::Infallible>("x".to_owned()));
    let example = example.unwrap_or_default();
    let address = origin::address(&example).map_err(|error| fault(chain(&error).to_string()))?;
    if address.fragment().is_some() {
        return Err(fault(
            "has a part behind #, which no server is sent".to_owned(),
        ));
    }
    if template.placeholders().next().is_some() && !names_its_host(template.beginning()) {
        return Err(fault(
            "must name host and port as they are, and a / behind them before the first placeholder: where a request \
             goes is not for a submission to say"
                .to_owned(),
        ));
    }
    if has_dots(&example) {
        return Err(fault(
            "must be without . and .. between its slashes".to_owned(),
        ));
    }
    Ok((template, Origin::of(&address)))
}

/// Whether host and port end within `beginning`.
fn names_its_host(beginning: &str) -> bool {
    let behind = beginning.split_once("://").map(|(_, rest)| rest);
    behind.is_some_and(|rest| rest.contains(['/', '?']))
}

/// Whether some of what stands between the slashes of an address is `.` or `..`, which servers take for another place.
pub fn has_dots(address: &str) -> bool {
    let path = address.split(['?', '#']).next().unwrap_or_default();
    let is_dots = |part: &str| {
        let plain = part.to_ascii_lowercase().replace("%2e", ".");
        matches!(plain.as_str(), "." | "..")
    };
    path.split(['/', '\\']).any(is_dots)
}

fn headers(settings: &Map<String, Value>) -> Result<Vec<(String, Content)>, Fault> {
    let Some(said) = settings.get("headers") else {
        return Ok(Vec::new());
    };
    let must =
        "must be a table of names and texts, as { authorization = \"Bearer {secret.shop}\" }";
    let said = said.as_object().ok_or_else(|| fault("headers", must))?;
    if said.len() > HEADERS_MAX {
        return Err(fault("headers", format!("must be at most {HEADERS_MAX}")));
    }
    let mut all: Vec<(String, Content)> = Vec::new();
    for (name, value) in said {
        let fault = |message: &str| fault(&format!("headers.{name}"), message);
        let plain = name.to_ascii_lowercase();
        if !is_token(&plain) {
            return Err(fault("is no name of a header"));
        }
        if TAKEN.contains(&plain.as_str()) {
            return Err(fault("is said by the handler itself"));
        }
        if all.iter().any(|(known, _)| *known == plain) {
            return Err(fault("is there twice"));
        }
        if !matches!(value, Value::String(_) | Value::Object(_)) {
            return Err(fault("must be a text, or a table that is sent as JSON"));
        }
        let content = Content::read(value);
        let content = content.map_err(|error| fault(&chain(&error).to_string()))?;
        all.push((plain, content));
    }
    Ok(all)
}

/// Whether a name is made of what names of headers are made of.
fn is_token(name: &str) -> bool {
    let is_sign = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !name.is_empty() && name.len() <= 128 && name.chars().all(is_sign)
}

fn statuses(settings: &Map<String, Value>, key: &str) -> Result<Option<Statuses>, Fault> {
    let Some(value) = settings.get(key) else {
        return Ok(None);
    };
    let must =
        "must be a list of statuses from 100 to 599 and of their ranges, as [\"200-299\", 404]";
    Statuses::read(value)
        .map(Some)
        .ok_or_else(|| fault(key, must))
}

fn timeout(settings: &Map<String, Value>) -> Result<Duration, Fault> {
    let Some(value) = settings.get("timeout") else {
        return Ok(TIMEOUT_DEFAULT);
    };
    let span = value.as_str().and_then(|text| parse_duration(text).ok());
    let span = span.map(Duration::from_millis);
    span.filter(|span| *span > Duration::ZERO && *span <= TIMEOUT_MAX)
        .ok_or_else(|| fault("timeout", "must be a duration from 1ms to 1h, as \"30s\""))
}

fn callback(settings: &Map<String, Value>) -> Result<Option<Duration>, Fault> {
    let Some(value) = settings.get("callback") else {
        return Ok(None);
    };
    let span = value.as_str().and_then(|text| parse_duration(text).ok());
    let span = span.map(Duration::from_millis);
    let span = span.filter(|span| *span > Duration::ZERO && *span <= CALLBACK_MAX);
    let must =
        "must be how long the service may take until it calls back, from 1ms to 7d, as \"30m\"";
    span.map(Some).ok_or_else(|| fault("callback", must))
}

fn fault(key: &str, message: impl Into<String>) -> Fault {
    Fault::new(format!("http.{key}"), message)
}
