//! How the request of a shard is made of what its job says: every placeholder gets its value, and none can become another part
//! of the request than the one it stands in.

use bytes::Bytes;
use gridloom_shared::chain;
use gridloom_shared::job::handlers::http::content::Content;
use gridloom_shared::job::handlers::http::order::{Order, has_dots};
use gridloom_shared::job::handlers::http::{Origin, Placeholder, Template};
use hyper::header::{
    CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use hyper::{Method, Request, Uri};
use serde_json::Value;
use url::{Position, Url};

use super::escapes::{encoded, in_ascii};
use super::secrets::Secrets;
use crate::failure::Failure;
use crate::handlers::task::Task;
use crate::shard::Shard;

/// The header by which a server knows a request that it has seen.
pub(super) const KEY: &str = "idempotency-key";
/// The header that says where to call back.
const CALLBACK: &str = gridloom_shared::callback::HEADER;
/// The header that says of which trace a request is a part.
const TRACE: &str = "traceparent";
const AGENT: &str = concat!("gridloom/", env!("CARGO_PKG_VERSION"));

/// What is sent, wherever the server says that it is to be sent.
pub(super) struct Message {
    pub(super) method: Method,
    pub(super) url: Url,
    headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What stands for placeholders.
struct Values<'v, 's> {
    shard: &'v Shard,
    told: &'v Value,
    secrets: &'v mut Secrets<'s>,
}

impl Message {
    /// The message of a shard.
    ///
    /// # Errors
    /// When a value cannot stand where it is to, or a secret is not there.
    pub(super) fn of(
        order: &Order,
        shard: &Shard,
        secrets: &mut Secrets<'_>,
    ) -> Result<Message, Failure> {
        let task = Task::of(shard);
        let mut values = Values {
            shard,
            told: task.value(),
            secrets,
        };
        let url = url(order, &mut values)?;
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        for (name, content) in &order.headers {
            let (name, value) = header(name, content, &mut values)?;
            headers.insert(name, value);
        }
        let (kind, body) = body(order, &task, &mut values)?;
        if let (Some(kind), false) = (kind, headers.contains_key(CONTENT_TYPE)) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        let own = [(KEY, Some(shard.key())), (TRACE, shard.traceparent())];
        for (name, text) in own {
            if let Some(Ok(value)) = text.map(|text| HeaderValue::from_str(&text)) {
                headers.insert(name, value);
            }
        }
        let method = Method::from_bytes(order.method.as_bytes());
        Ok(Message {
            method: method.map_err(|_| Failure::permanent("read http.method: it is none"))?,
            url,
            headers,
            body,
        })
    }

    /// Says where to call back. Whoever knows that may end the shard.
    pub(super) fn calls_back(&mut self, url: &str) -> Result<(), Failure> {
        let value = HeaderValue::from_str(url);
        let mut value =
            value.map_err(|_| Failure::permanent("say where to call back: it is no header"))?;
        value.set_sensitive(true);
        self.headers.insert(CALLBACK, value);
        Ok(())
    }

    /// What is sent over a connection to the server of `url`.
    pub(super) fn request(&self, url: &Url) -> Result<Request<Bytes>, Failure> {
        let path = &url[Position::BeforePath..Position::AfterQuery];
        let unusual =
            |cause: String| Failure::permanent(format!("ask {}: {cause}", self.told(url)));
        let uri: Uri = path
            .parse()
            .map_err(|error: hyper::http::uri::InvalidUri| unusual(chain(&error).to_string()))?;
        let host = &url[Position::BeforeHost..Position::AfterPort];
        let host =
            HeaderValue::from_str(host).map_err(|error| unusual(chain(&error).to_string()))?;
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(HOST, host);
        request
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
        Ok(request)
    }

    /// For people: what is asked of whom.
    pub(super) fn told(&self, url: &Url) -> String {
        format!("{} {url}", self.method)
    }
}

fn url(order: &Order, values: &mut Values<'_, '_>) -> Result<Url, Failure> {
    let fault = |cause: &str| Failure::permanent(format!("make the address of http.url: {cause}"));
    let text = order
        .url
        .fill(|name| Ok::<_, Failure>(encoded(&text(&values.of(name)?))))?;
    if has_dots(&text) {
        return Err(fault(
            "a value makes it . or .. between two slashes, which is another place",
        ));
    }
    let url = Url::parse(&text).map_err(|error| fault(&chain(&error).to_string()))?;
    match Origin::of(&url) == order.origin {
        true => Ok(url),
        false => Err(fault("a value makes it that of another server")),
    }
}

fn header(
    name: &str,
    content: &Content,
    values: &mut Values<'_, '_>,
) -> Result<(HeaderName, HeaderValue), Failure> {
    let fault = |cause: &str| Failure::permanent(format!("make the header {name}: {cause}"));
    let is_secret = content
        .placeholders()
        .iter()
        .any(|name| matches!(name, Placeholder::Secret(_)));
    let said = match content {
        Content::Text(template) => {
            template.fill(|name| Ok::<_, Failure>(text(&values.of(name)?)))?
        }
        Content::Json(json) => {
            let value = json.fill(&mut |name| values.of(name), &text)?;
            in_ascii(&value.to_string())
        }
    };
    // Without the value: there may be a secret in it.
    let value = HeaderValue::from_bytes(said.as_bytes());
    let mut value =
        value.map_err(|_| fault("a value has a line's end or another sign that no header has"))?;
    value.set_sensitive(is_secret);
    let name = HeaderName::from_bytes(name.as_bytes());
    Ok((name.map_err(|_| fault("that is no name of one"))?, value))
}

/// What is carried, and what it is called where the job does not say.
fn body(
    order: &Order,
    task: &Task,
    values: &mut Values<'_, '_>,
) -> Result<(Option<&'static str>, Bytes), Failure> {
    const JSON: &str = "application/json";
    Ok(match &order.body {
        None if order.tells_the_shard() => (Some(JSON), task.input().into()),
        None => (None, Bytes::new()),
        Some(Content::Json(json)) => {
            let value = json.fill(&mut |name| values.of(name), &text)?;
            (Some(JSON), value.to_string().into())
        }
        Some(Content::Text(template)) => {
            let is_form = order.header("content-type").is_some_and(is_form);
            let said = template.fill(|name| {
                let value = text(&values.of(name)?);
                Ok::<_, Failure>(if is_form { encoded(&value) } else { value })
            })?;
            let kind = (!said.is_empty()).then_some("text/plain; charset=utf-8");
            (kind, said.into())
        }
    })
}

/// Whether a body is pairs of names and values, as forms of pages send them.
fn is_form(kind: &Content) -> bool {
    let of_text = |kind: &Template| {
        kind.beginning()
            .to_ascii_lowercase()
            .starts_with("application/x-www-form-urlencoded")
    };
    matches!(kind, Content::Text(kind) if of_text(kind))
}

impl Values<'_, '_> {
    fn of(&mut self, placeholder: &Placeholder) -> Result<Value, Failure> {
        let lacks = |what: &str| Err(Failure::permanent(format!("fill in {placeholder}: {what}")));
        match placeholder {
            Placeholder::Secret(name) => self.secrets.get(name, self.shard).map(Value::String),
            Placeholder::Named(name) if name == "key" => Ok(Value::String(self.shard.key())),
            Placeholder::Named(name) => {
                // The shard's own words come before those of its parameters.
                let given = self.told.get(name);
                let found = given.or_else(|| self.told["params"].get(name));
                found.cloned().map_or_else(|| lacks("it has no value"), Ok)
            }
            Placeholder::OfSlice(name) => match &self.told["params"][name.as_str()] {
                Value::Null => lacks("there is no such parameter"),
                Value::Array(list) => {
                    let own = list.get(self.shard.slice() as usize);
                    Ok(own.cloned().unwrap_or_default())
                }
                Value::Object(table) => {
                    let own = table.get(&self.shard.slice().to_string());
                    Ok(own.cloned().unwrap_or_default())
                }
                _ => lacks("the parameter is neither a list nor a table by numbers"),
            },
        }
    }
}

/// A value as a piece of a text.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use gridloom_shared::job::handlers::named::Named;
    use gridloom_shared::job::{GridSpec, PagesSpec};
    use serde_json::json;

    use super::*;
    use crate::Trial;
    use crate::handlers::lacking::Lacking;

    fn made(settings: Value, params: Value) -> Result<Message, Failure> {
        let order = Order::read(&settings).unwrap();
        let trial = Trial::new("sizes", "http").slices(4).slice(2).page(7);
        let secrets = [("token".to_owned(), "hunter2".into())].into();
        let lacking = Lacking::new(Named::Secret);
        let mut secrets = Secrets::of(&secrets, &lacking);
        let shard = trial.settings(settings).params(params).shard();
        Message::of(&order, &shard, &mut secrets)
    }

    fn asked(settings: Value, params: Value) -> (String, Request<Bytes>) {
        let message = made(settings, params).unwrap();
        let url = message.url.clone();
        (url.to_string(), message.request(&url).unwrap())
    }

    fn body_of(request: &Request<Bytes>) -> String {
        String::from_utf8(request.body().to_vec()).unwrap()
    }

    #[test]
    fn value_is_never_another_part_of_the_request() {
        let evil = "a/../?b&c=d#e\r\nx-evil: 1\"} é";
        let at = "https://h:8443/{x}?q={x}";
        let (url, request) = asked(json!({"url": at, "method": "GET"}), json!({"x": evil}));
        let one = "a%2F..%2F%3Fb%26c%3Dd%23e%0D%0Ax-evil%3A%201%22%7D%20%C3%A9";
        assert_eq!(url, format!("https://h:8443/{one}?q={one}"));
        assert_eq!(request.uri().to_string(), format!("/{one}?q={one}"));
        assert_eq!(request.headers()[HOST], "h:8443");
        assert_eq!(body_of(&request), "");
        let json = json!({"url": "https://h/", "body": {"x": "{x}", "y": ["<{x}>"]}});
        let (_, request) = asked(json, json!({"x": evil}));
        let read: Value = serde_json::from_slice(request.body()).unwrap();
        assert_eq!(read, json!({"x": evil, "y": [format!("<{evil}>")]}));
        let form = json!({
            "url": "https://h/", "body": "x={x}", "headers": {"content-type": "application/x-www-form-urlencoded"},
        });
        let (_, request) = asked(form, json!({"x": evil}));
        assert_eq!(body_of(&request), format!("x={one}"));
        let header = json!({"url": "https://h/", "headers": {"x-a": "{x}"}});
        let failure = made(header, json!({"x": evil})).err().unwrap();
        assert!(failure.is_permanent() && failure.text().contains("header x-a"));
    }

    #[test]
    fn value_that_would_be_another_place_is_refused() {
        let at = |x: &str| {
            let settings = json!({"url": "https://h/a/{x}{y}/b", "method": "GET"});
            made(settings, json!({"x": x, "y": ""}))
        };
        for dots in [".", ".."] {
            let failure = at(dots).err().unwrap();
            assert!(failure.is_permanent(), "{failure}");
        }
        assert_eq!(at("...").ok().unwrap().url.path(), "/a/.../b");
        assert_eq!(at("%2e%2e").ok().unwrap().url.path(), "/a/%252e%252e/b");
    }

    #[test]
    fn shard_is_told_by_the_words_of_exec_where_nothing_else_is_said() {
        let (_, request) = asked(
            json!({"url": "https://h/{slice}-{page}"}),
            json!({"day": "x"}),
        );
        assert_eq!(request.uri(), "/2-7");
        assert_eq!(request.method(), Method::POST);
        assert_eq!(request.headers()[CONTENT_TYPE], "application/json");
        let told: Value = serde_json::from_slice(request.body()).unwrap();
        assert_eq!(
            (
                &told["slice"],
                &told["slices"],
                &told["page"],
                &told["params"]["day"]
            ),
            (&json!(2), &json!(4), &json!(7), &json!("x"))
        );
        let (_, request) = asked(json!({"url": "https://h/", "method": "DELETE"}), json!({}));
        assert_eq!(body_of(&request), "");
    }

    #[test]
    fn what_is_each_slices_own_is_found_by_its_number() {
        let said = json!({"url": "https://h/", "headers": {"context": {
            "item": "{slice}", "parameter": "{city[slice]}", "of": "{slices} in {job}", "none": "{others[slice]}",
        }}});
        let params = json!({"city": {"2": "Zürich"}, "others": ["a"]});
        let (_, request) = asked(said, params);
        let told = request.headers()["context"].to_str().unwrap();
        assert!(told.contains("Z\\u00fcrich"), "{told}");
        assert_eq!(
            serde_json::from_str::<Value>(told).unwrap(),
            json!({"item": 2, "parameter": "Zürich", "of": "4 in sizes", "none": null})
        );
    }

    #[test]
    fn secret_goes_where_it_is_named_and_one_that_is_not_there_is_waited_for() {
        let said = |name: &str| json!({"url": "https://h/", "headers": {"authorization": format!("Bearer {{secret.{name}}}")}});
        let (_, request) = asked(said("token"), json!({}));
        assert_eq!(request.headers()["authorization"], "Bearer hunter2");
        assert!(!format!("{request:?}").contains("hunter2"));
        let failure = made(said("other"), json!({})).err().unwrap();
        assert!(
            failure.is_hold() && failure.text().contains("\"other\""),
            "{failure}"
        );
    }

    #[test]
    fn last_page_of_a_slice_has_no_limit() {
        let grid = GridSpec {
            slices: 1,
            pages: PagesSpec::Rows {
                rows: vec![1_500],
                page_size: 1_000,
            },
            tile: None,
        };
        let said =
            json!({"url": "https://h/{offset}", "body": {"limit": "{limit}", "text": "<{limit}>"}});
        let order = Order::read(&said).unwrap();
        let told = |page| {
            let trial = Trial::new("sizes", "http")
                .pages(grid.pages.clone())
                .page(page);
            let nothing = Default::default();
            let lacking = Lacking::new(Named::Secret);
            let mut secrets = Secrets::of(&nothing, &lacking);
            let message = Message::of(&order, &trial.shard(), &mut secrets).unwrap();
            let body: Value = serde_json::from_slice(&message.body).unwrap();
            (message.url.path().to_owned(), body)
        };
        assert_eq!(
            told(0),
            ("/0".into(), json!({"limit": 1_000, "text": "<1000>"}))
        );
        assert_eq!(
            told(1),
            ("/1000".into(), json!({"limit": null, "text": "<>"}))
        );
    }
}
