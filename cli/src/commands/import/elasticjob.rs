//! What each field of a job of ElasticJob becomes here. Every field is either taken, or said to be otherwise.

use std::fmt::Write as _;
use std::path::PathBuf;

use gridloom_shared::id::JobName;
use gridloom_shared::job::parse::{self, Format};
use serde::Serialize;

use super::found::Found;
use super::node::{Node, plain};
use super::note::{Kind, Note};
use clock::schedule;
use items::items;
use reading::Reading;

mod clock;
mod items;
mod reading;

/// Most bytes of a name.
const NAME_MAX: usize = 48;
/// Where SCRIPT jobs keep their command, and what HTTP jobs keep.
const SCRIPT: &str = "script.command.line";
/// Whether a `DataflowJob` fetches until there is nothing.
const STREAMS: &str = "streaming.process";

/// A job as it is here.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Imported {
    /// What it is called here.
    pub(super) name: String,
    /// What it was called there.
    pub(super) was: String,
    /// Whether it was disabled there, so that it is to be paused here.
    pub(super) paused: bool,
    pub(super) notes: Vec<Note>,
    /// What its description was.
    #[serde(skip)]
    description: String,
    handler: String,
    /// The command that it runs, if it is a script.
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<String>,
    /// All below the first two keys.
    #[serde(skip)]
    body: String,
}

impl Imported {
    /// Where its file goes.
    pub(super) fn place(&self) -> PathBuf {
        let dir = if self.paused { "paused" } else { "jobs" };
        PathBuf::from(dir).join(format!("{}.toml", self.name))
    }

    /// Gives it another name.
    pub(super) fn rename(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    /// Its job file.
    pub(super) fn file(&self) -> String {
        let mut text = format!("# From ElasticJob's {}.\n", one_line(&self.was));
        if !self.description.is_empty() {
            let _ = writeln!(text, "# {}", one_line(&self.description));
        }
        let (name, handler) = (quoted(&self.name), quoted(&self.handler));
        let _ = writeln!(text, "name = {name}\nhandler = {handler}");
        text.push_str(&self.body);
        if self.script.is_some() {
            let _ = writeln!(text, "[exec]\ncommand = {name}\ncontext = \"elasticjob\"");
        }
        text
    }

    /// Its line in the workers' configuration, if it has a command.
    pub(super) fn command(&self) -> Option<String> {
        let script = self.script.as_ref()?;
        Some(format!("{} = {}", self.name, quoted(script)))
    }
}

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A name as they are here, of one as they are in Java.
fn name_of(text: &str) -> String {
    let mut name = String::new();
    let mut before = None::<char>;
    for c in text.chars() {
        let begins_word = c.is_ascii_uppercase()
            && before.is_some_and(|before| before.is_ascii_lowercase() || before.is_ascii_digit());
        if (begins_word || !c.is_ascii_alphanumeric()) && !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        }
        before = Some(c);
    }
    name.truncate(NAME_MAX);
    name.trim_end_matches('-').to_owned()
}

/// What a job becomes; `timezone` is the one of jobs that name none.
pub(super) fn import(found: &Found<'_>, timezone: Option<&str>) -> Imported {
    let mut reading = Reading::of(found);
    let mut name = name_of(&found.name);
    if JobName::new(name.clone()).is_err() {
        name = "job".to_owned();
        let text = format!(
            "{:?} has nothing that a name may have: called job",
            found.name
        );
        reading.note(Kind::Open, "jobName", text);
    } else if name != found.name {
        let text = format!(
            "{:?} is called {name} here: names have a-z, 0-9 and -",
            found.name
        );
        reading.note(Kind::Changed, "jobName", text);
    }
    let description = reading.text("description").unwrap_or_default();
    let streams = streams(&mut reading);
    let params = params(&mut reading, streams.as_deref());
    let (handler, script) = handler(&mut reading, &name, streams.as_deref());
    let slices = slices(&mut reading);
    let schedule = schedule(&mut reading, timezone);
    let paused = reading.flag("disabled");
    if paused {
        let text =
            "true: apply and pause it at once, as is said below; gridloom job resume starts it";
        reading.note(Kind::Changed, "disabled", text);
    }
    leave_out(&mut reading);
    unknown(&mut reading);
    let mut body = String::new();
    if slices > 1 {
        let _ = writeln!(body, "[grid]\nslices = {slices}");
    }
    body.push_str(&schedule);
    if !params.is_empty() {
        let _ = writeln!(body, "[params]\n{params}");
    }
    let mut imported = Imported {
        name,
        was: found.name.clone(),
        paused,
        notes: reading.notes,
        description,
        handler,
        script,
        body,
    };
    if let Err(faults) = parse::parse(&imported.file(), Format::Toml) {
        imported.notes.extend(faults.0.iter().map(|fault| {
            Note::of(
                Kind::Open,
                "",
                format!("its job file would be refused: {fault}"),
            )
        }));
    }
    imported
}

fn slices(reading: &mut Reading<'_>) -> u32 {
    let field = "shardingTotalCount";
    match reading
        .text(field)
        .map(|text| (text.trim().parse::<u32>(), text))
    {
        Some((Ok(slices), _)) if slices > 0 => slices,
        Some((_, text)) => {
            reading.note(
                Kind::Open,
                field,
                format!("{text:?} is no number of shards: how many are there?"),
            );
            1
        }
        None => {
            let is_asked = reading.notes.iter().any(|note| note.field == field);
            if !is_asked {
                reading.note(
                    Kind::Open,
                    field,
                    "is not there: how many shards are there?",
                );
            }
            1
        }
    }
}

/// Whether a job fetches until there is nothing, where that is said.
fn streams(reading: &mut Reading<'_>) -> Option<String> {
    let props = reading.node("props").map(Node::flat).unwrap_or_default();
    let mut props = props.into_iter();
    let said = props.find_map(|(name, value)| (name == STREAMS).then_some(value));
    said.or_else(|| reading.text("streamingProcess"))
}

/// The lines of `[params]`: what a handler is told.
fn params(reading: &mut Reading<'_>, streams: Option<&str>) -> String {
    let mut lines = Vec::new();
    if let Some(parameter) = reading.text("jobParameter") {
        lines.push(format!("jobParameter = {}", quoted(&parameter)));
    }
    if let Some(text) = reading.text("shardingItemParameters") {
        let (items, faults) = items(&text);
        for fault in faults {
            reading.note(Kind::Open, "shardingItemParameters", fault);
        }
        let items: Vec<String> = items
            .iter()
            .map(|(item, value)| format!("{item} = {}", quoted(value)))
            .collect();
        lines.push(format!(
            "shardingItemParameters = {{ {} }}",
            items.join(", ")
        ));
    }
    let props = reading.node("props").map(Node::flat).unwrap_or_default();
    let mut props: Vec<(String, String)> = props
        .into_iter()
        .filter(|(name, _)| name != SCRIPT && name != STREAMS)
        .collect();
    // 2.x said it in a field of its own; whoever runs the class looks here.
    props.extend(streams.map(|streams| (STREAMS.to_owned(), streams.to_owned())));
    if !props.is_empty() {
        let props = props
            .iter()
            .map(|(name, value)| format!("{} = {}", quoted(name), quoted(value)));
        let props: Vec<String> = props.collect();
        lines.push(format!("props = {{ {} }}", props.join(", ")));
    }
    lines.join("\n")
}

/// Who does it, and the command of a script.
fn handler(
    reading: &mut Reading<'_>,
    name: &str,
    streams: Option<&str>,
) -> (String, Option<String>) {
    let flat = reading.node("props").map(Node::flat).unwrap_or_default();
    let prop = |wanted: &str| {
        flat.iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.clone())
    };
    let script = prop(SCRIPT).or_else(|| reading.text("scriptCommandLine"));
    let kind = reading
        .text("elasticJobType")
        .or_else(|| reading.text("jobType"))
        .unwrap_or_default();
    let class = ["elasticJobClass", "jobClass"]
        .iter()
        .filter_map(|field| reading.text(field))
        .next();
    let label = reading.text("label").filter(|label| label.contains('.'));
    let bean = reading.text("jobBootstrapBeanName");
    if kind.eq_ignore_ascii_case("SCRIPT") || script.is_some() {
        let Some(script) = script else {
            reading.note(Kind::Open, SCRIPT, "is not there: which command is it?");
            return ("exec".to_owned(), None);
        };
        let text = format!(
            "the command of the workers gets the sharding context as its last argument, as there: jobName in it is {name}, taskId the id of the run"
        );
        reading.note(Kind::Changed, SCRIPT, text);
        return ("exec".to_owned(), Some(script));
    }
    if kind.eq_ignore_ascii_case("HTTP") || prop("http.uri").is_some() {
        let text = format!(
            "HTTP jobs have no handler here: write one called {name} that sends the request of params.props; it decides what counts as failed, where ElasticJob took any answer for done"
        );
        reading.note(Kind::Open, "elasticJobType", text);
        return (name.to_owned(), None);
    }
    if kind.eq_ignore_ascii_case("DATAFLOW") || streams.is_some() {
        let text = match streams {
            Some("true") => {
                "streaming: the handler fetches and processes until there is nothing; its retry begins again where the data says"
            }
            _ => "the handler fetches once, and processes that",
        };
        reading.note(Kind::Changed, "DataflowJob", text);
    }
    let handler = class.as_deref().or(label.as_deref()).map_or_else(
        || name.to_owned(),
        |class| name_of(class.rsplit('.').next().unwrap_or(class)),
    );
    let handler = match JobName::new(handler.clone()) {
        Ok(_) => handler,
        Err(_) => name.to_owned(),
    };
    let who = class
        .or(label)
        .or(bean)
        .map_or_else(String::new, |who| format!("{who}: "));
    let text = format!("{who}its code is a handler called {handler} of your workers");
    reading.note(Kind::Changed, "elasticJobClass", text);
    (handler, None)
}

/// What has no counterpart, and why.
fn leave_out(reading: &mut Reading<'_>) {
    if !reading.flag("monitorExecution") {
        let text = "false: a run of it is watched like every other, so it does not run beside itself, and what is lost is taken over";
        reading.note(Kind::Changed, "monitorExecution", text);
    }
    if !reading.flag("failover") {
        reading.note(
            Kind::Changed,
            "failover",
            "false: shards of a worker that dies are taken over always",
        );
    }
    reading.dropped(
        "maxTimeDiffSeconds",
        &["-1"],
        "a clock that is off changes nothing; gridloom doctor says so",
    );
    reading.dropped(
        "reconcileIntervalMinutes",
        &["-1", "0"],
        "there is nothing to reconcile",
    );
    let strategy = "workers pull shards when they have room; nothing is assigned";
    reading.dropped("jobShardingStrategyType", &["AVG_ALLOCATION"], strategy);
    reading.dropped("jobShardingStrategyClass", &[], strategy);
    for field in [
        "jobExecutorServiceHandlerType",
        "jobExecutorThreadPoolSizeProviderType",
    ] {
        reading.dropped(
            field,
            &["CPU"],
            "the worker's --concurrency says how many shards it runs at once",
        );
    }
    reading.dropped(
        "overwrite",
        &[],
        "gridloom job apply always makes the job what the file says",
    );
    reading.dropped(
        "staticSharding",
        &["false"],
        "nothing is assigned, so nothing can be assigned for good",
    );
    reading.dropped("monitorPort", &["-1"], "gridloom snapshot is what dump was");
    errors(reading);
    for (field, text) in [
        (
            "jobListenerTypes",
            "listeners have no counterpart: what is done before and after each shard belongs into the handler; what is done once before the first or after the last shard is open",
        ),
        (
            "jobExtraConfigurations",
            "is not known to this import: what does it do?",
        ),
    ] {
        let all = reading.node(field).map(Node::flat).unwrap_or_default();
        if !all.is_empty() {
            let all: Vec<String> = all.into_iter().map(|(_, value)| value).collect();
            reading.note(Kind::Open, field, format!("{}: {text}", all.join(", ")));
        }
    }
}

/// What became of errors.
fn errors(reading: &mut Reading<'_>) {
    let old = reading
        .node("jobProperties")
        .map(Node::flat)
        .unwrap_or_default();
    for (name, value) in old {
        let field = format!("jobProperties.{name}");
        let is_usual = value.ends_with(".DefaultJobExceptionHandler")
            || value.ends_with(".DefaultExecutorServiceHandler");
        match plain(&name).as_str() {
            _ if is_usual => {}
            "jobexceptionhandler" => reading.note(Kind::Open, &field, format!("{value}: what does it do with an error? Here a failed shard is tried again, and stands in gridloom dead list at last")),
            "executorservicehandler" => reading.note(Kind::Dropped, &field, format!("{value}: the worker's --concurrency says how many shards it runs at once")),
            _ => reading.note(Kind::Open, &field, format!("{value}: is not known to this import: does the job depend on it?")),
        }
    }
    let Some(kind) = reading.text("jobErrorHandlerType") else {
        return;
    };
    let (grave, text) = match kind.to_ascii_uppercase().as_str() {
        "LOG" => return,
        "THROW" | "IGNORE" => (
            Kind::Changed,
            "a shard that fails is failed, tried again, and on record: gridloom dead list",
        ),
        "EMAIL" | "WECHAT" | "DINGTALK" => (
            Kind::Dropped,
            "alerts come from the metrics: deploy/prometheus has one for dead shards, and one for failed runs",
        ),
        _ => (
            Kind::Open,
            "a handler of your own: what does it do with an error?",
        ),
    };
    reading.note(grave, "jobErrorHandlerType", format!("{kind}: {text}"));
}

/// Fields that were not looked at.
fn unknown(reading: &mut Reading<'_>) {
    let Node::Table(entries) = reading.found.node else {
        return;
    };
    for (field, node) in entries {
        if *node != Node::Nothing && !reading.seen.contains(&plain(field)) {
            let text = "is not known to this import: does the job depend on it?";
            reading.notes.push(Note::of(Kind::Open, field, text));
        }
    }
}

#[cfg(test)]
mod tests;
