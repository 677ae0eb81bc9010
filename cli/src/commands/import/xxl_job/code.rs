//! What executes a job: its handler, the script that its table keeps, or one of the two handlers that XXL-JOB's samples have, which
//! are built in here.

use gridloom_shared::chain;
use gridloom_shared::job::handlers::http::origin::{self, Origin};
use gridloom_shared::job::handlers::http::template::escaped;

use super::super::imported::{Code, Own, Request, Script, cut, handler_of, quoted};
use super::super::note::Kind;
use super::super::reading::Reading;

/// How long the sample's request waited for its connection and for the answer, together.
const SAMPLE_TIMEOUT: &str = "8s";

/// The column that says which handler it is.
const HANDLER: &str = "executor_handler";

/// Scripts by their type: the ending of their files, and what runs them.
const SCRIPTS: &[(&str, &str, &str)] = &[
    ("GLUE_SHELL", "sh", "bash"),
    ("GLUE_PYTHON", "py", "python3"),
    ("GLUE_PYTHON2", "py", "python2"),
    ("GLUE_PHP", "php", "php"),
    ("GLUE_NODEJS", "js", "node"),
    ("GLUE_POWERSHELL", "ps1", "pwsh"),
];

/// What executes it, and the parameter that it is told.
pub(super) fn code(
    reading: &mut Reading<'_>,
    handler: Option<&str>,
    name: &str,
) -> (Code, Option<String>) {
    let parameter = reading.exact("executor_param");
    let source = reading.exact("glue_source");
    let kind = reading
        .exact("glue_type")
        .unwrap_or_else(|| "BEAN".to_owned());
    let kind = kind.trim().to_ascii_uppercase();
    if let Some((_, ending, interpreter)) = SCRIPTS.iter().find(|(known, ..)| *known == kind) {
        let Some(text) = source else {
            reading.note(
                Kind::Open,
                "glue_source",
                "is not there: what does the script do?",
            );
            return (Code::Nothing("exec".to_owned()), parameter);
        };
        let note = format!(
            "{kind}: the script is a file in scripts, and a command of the workers (gridloom.toml), which {interpreter} runs with the same three arguments: \
             the parameter, the number of the shard, how many there are; a parameter of one run does not reach it"
        );
        reading.note(Kind::Changed, "glue_type", note);
        let script = Script {
            ending,
            text,
            interpreter,
            argument: parameter.unwrap_or_default(),
        };
        return (Code::Script(script), None);
    }
    match (kind.as_str(), handler) {
        ("BEAN", Some("commandJobHandler")) => command(reading, parameter),
        ("BEAN", Some("httpJobHandler")) => request(reading, parameter),
        ("BEAN", Some(handler)) => {
            let own = Some(handler_of(handler)).filter(|own| !own.is_empty());
            let own = own.unwrap_or_else(|| handler_of(name));
            let cut = cut(handler);
            let text =
                format!("{handler}: its code is a handler called {own} of your workers{cut}");
            reading.note(Kind::Changed, HANDLER, text);
            if parameter.is_some() {
                let text = "is params.executorParam, as text; there it was asked for with XxlJobHelper.getJobParam()";
                reading.note(Kind::Changed, "executor_param", text);
            }
            if source.is_some_and(|text| !text.trim().is_empty()) {
                reading.note(Kind::Dropped, "glue_source", "is not used by a BEAN");
            }
            let original = handler.to_owned();
            (of(own, original), parameter)
        }
        ("BEAN", None) => {
            reading.note(Kind::Open, HANDLER, "is not there: which code is it?");
            (of(name.to_owned(), format!("the job {name}")), parameter)
        }
        (kind, _) => {
            let text = match kind {
                "GLUE_GROOVY" => "GLUE(Java): its code was kept in the table (glue_source) and compiled there: write it as a handler of your workers; which is it?".to_owned(),
                other => format!("{other}: is not known to this import: which code is it?"),
            };
            reading.note(Kind::Open, "glue_type", text);
            (of(name.to_owned(), format!("the job {name}")), parameter)
        }
    }
}

/// A handler of the workers' own, and what it is there.
fn of(handler: String, original: String) -> Code {
    Code::Own(Own {
        handler,
        original,
        field: HANDLER,
    })
}

/// `commandJobHandler`: its parameter is a command line.
fn command(reading: &mut Reading<'_>, parameter: Option<String>) -> (Code, Option<String>) {
    let Some(line) = parameter else {
        reading.note(
            Kind::Open,
            "executor_param",
            "is not there: which command is it?",
        );
        return (Code::Nothing("exec".to_owned()), None);
    };
    let text = "commandJobHandler: its parameter is a command of the workers (gridloom.toml), which no run can change; words are as in a shell, and there is none";
    reading.note(Kind::Changed, "executor_handler", text);
    let context = None;
    (Code::Line { line, context }, None)
}

/// `httpJobHandler`: its parameter says a request, in three lines or as JSON.
fn request(reading: &mut Reading<'_>, parameter: Option<String>) -> (Code, Option<String>) {
    let said = parameter.clone().unwrap_or_default();
    let line = |wanted: &str| {
        let mut lines = said.lines().map(str::trim);
        let text = lines.find_map(|line| line.strip_prefix(wanted)?.strip_prefix(':'));
        text.map(|text| text.trim().to_owned())
    };
    let (url, method, data) = (line("url"), line("method"), line("data"));
    let address = url.as_deref().map(origin::address);
    let (Some(url), Some(Ok(address))) = (&url, &address) else {
        let text = match address {
            Some(Err(error)) => chain(&error).to_string(),
            _ => "has no lines url:, method: and data:, as httpJobHandler of the samples reads them: which request is it?".to_owned(),
        };
        reading.note(Kind::Open, "executor_param", text);
        return (Code::Nothing("http".to_owned()), parameter);
    };
    let method = method.unwrap_or_default().to_ascii_uppercase();
    if !["GET", "POST"].contains(&method.as_str()) {
        let text = format!(
            "{method:?}: httpJobHandler of the samples sends GET and POST: which is meant?"
        );
        reading.note(Kind::Open, "executor_param", text);
    }
    let text = "httpJobHandler: its request is sent by the handler http, and the workers have to be told which service that may ask (gridloom.toml): 200 is a success as there; \
                408, 429 and 500-599 are tried again, others are not, and a redirection to another server is not followed";
    reading.note(Kind::Changed, "executor_handler", text);
    let (method, body) = match method.as_str() {
        "POST" => (
            "POST",
            format!("body = {}\n", quoted(&escaped(&data.unwrap_or_default()))),
        ),
        _ => ("GET", String::new()),
    };
    let table = format!(
        "[http]\nurl = {}\nmethod = \"{method}\"\nsuccess = [200]\ntimeout = \"{SAMPLE_TIMEOUT}\"\n{body}headers = {{ content-type = \"application/json;charset=UTF-8\" }}\n",
        quoted(&escaped(url)),
    );
    let origin = Some(Origin::of(address).as_str().to_owned());
    (Code::Request(Request { table, origin }), None)
}
