//! What each field of a job of ElasticJob becomes here. Every field is either taken, or said to be otherwise.

use std::fmt::Write as _;

use gridloom_shared::id::JobName;

use super::found::Found;
use super::imported::{Code, Imported, Own, cut, handler_of, job_name, name_of, quoted};
use super::node::{Node, plain};
use super::note::Kind;
use super::reading::Reading;
use clock::schedule;
use items::items;

mod clock;
mod items;
mod request;
mod secrets;

/// Where SCRIPT jobs keep their command.
const SCRIPT: &str = "script.command.line";
/// Whether a `DataflowJob` fetches until there is nothing.
const STREAMS: &str = "streaming.process";

/// What a job becomes; `timezone` is the one of jobs that name none.
pub(super) fn import(found: &Found<'_>, timezone: Option<&str>) -> Imported {
    let mut reading = Reading::of(found.node, "jobName");
    let mut name = name_of(&found.name);
    if found.name.contains("${") {
        let text = format!("{:?} has a placeholder: which name is meant?", found.name);
        reading.note(Kind::Open, "jobName", text);
    }
    if JobName::new(name.clone()).is_err() {
        name = "job".to_owned();
        let text = format!(
            "{:?} has nothing that a name may have: called job",
            found.name
        );
        reading.note(Kind::Open, "jobName", text);
    } else if name != found.name {
        let text = format!(
            "{:?} is called {name} here: names have a-z, 0-9 and -{}",
            found.name,
            cut(&found.name)
        );
        reading.note(Kind::Changed, "jobName", text);
    }
    let description = reading.text("description").unwrap_or_default();
    let is_request = request::is_meant(&mut reading);
    let streams = streams(&mut reading);
    let was = (name != found.name).then_some(found.name.as_str());
    // A request has it in its header.
    let known_as = (was.is_none() && !is_request).then(|| found.name.clone());
    let params = params(&mut reading, was, is_request, streams.as_deref());
    let code = match is_request {
        true => request::code(&mut reading, &found.name),
        false => code(&mut reading, &found.name, streams.as_deref()),
    };
    let slices = slices(&mut reading);
    let schedule = schedule(&mut reading, timezone);
    let paused = paused(&mut reading, !schedule.is_empty());
    leave_out(&mut reading);
    reading.ask_of_the_rest();
    let mut body = String::new();
    if slices > 1 {
        let _ = writeln!(body, "[grid]\nslices = {slices}");
    }
    body.push_str(&schedule);
    let imported = Imported {
        name,
        was: found.name.clone(),
        from: format!("ElasticJob's {}", found.name),
        known_as,
        paused,
        notes: reading.notes,
        description,
        code,
        queue: None,
        body,
        params,
    };
    imported.checked()
}

/// Whether it is to be paused: one without a schedule stands still anyway.
fn paused(reading: &mut Reading<'_>, fires: bool) -> bool {
    if !reading.flag("disabled") {
        return false;
    }
    let text = match fires {
        true => "true: apply it paused, as is said below; gridloom job resume starts it",
        false => "true: it has no schedule, and runs only when it is told to",
    };
    reading.note(Kind::Changed, "disabled", text);
    fires
}

fn slices(reading: &mut Reading<'_>) -> u32 {
    let field = "shardingTotalCount";
    match reading
        .text(field)
        .map(|text| (text.trim().parse::<u32>(), text))
    {
        // With a zero in front it is an octal number in YAML, and a decimal one elsewhere.
        Some((Ok(slices), text)) if slices > 0 && !text.trim().starts_with('0') => slices,
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
    let mut props = reading.props().into_iter();
    let said = props.find_map(|(name, value)| (name == STREAMS).then_some(value));
    said.or_else(|| reading.text("streamingProcess"))
}

/// The lines of `[params]`: what a handler is told. `was` is the name that it had there, where that is another: what it did may be known
/// by that.
fn params(
    reading: &mut Reading<'_>,
    was: Option<&str>,
    is_request: bool,
    streams: Option<&str>,
) -> String {
    let mut lines = Vec::new();
    // A request has it in its header.
    if let Some(was) = was.filter(|_| !is_request) {
        lines.push(job_name(was));
    }
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
    let props = secrets::without(reading).into_iter();
    let mut props: Vec<(String, String)> = props
        .filter(|(name, _)| name != SCRIPT && name != STREAMS)
        .filter(|(name, _)| !is_request || !request::PROPS.contains(&name.as_str()))
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

/// Who does it. `job` is what the job is called there.
fn code(reading: &mut Reading<'_>, job: &str, streams: Option<&str>) -> Code {
    let flat = reading.props();
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
            return Code::Nothing("exec".to_owned());
        };
        let text = "the command of the workers gets the sharding context as its last argument, as there: taskId in it is the id of the run";
        reading.note(Kind::Changed, SCRIPT, text);
        return Code::Line {
            line: script,
            context: Some("elasticjob"),
        };
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
    own(reading, job, class.or(label), bean)
}

/// The handler of a class, or of the job where none is named.
fn own(reading: &mut Reading<'_>, job: &str, class: Option<String>, bean: Option<String>) -> Code {
    const FIELD: &str = "elasticJobClass";
    let short = class.as_deref();
    let short = short.map(|class| class.rsplit('.').next().unwrap_or(class));
    let is_name = |text: &&str| JobName::new(handler_of(text)).is_ok();
    let named = short.filter(is_name).or_else(|| Some(job).filter(is_name));
    let handler = named.map_or_else(|| "job".to_owned(), handler_of);
    let cut = cut(named.unwrap_or_default());
    let who = class.clone().or(bean);
    let who = who.map_or_else(String::new, |who| format!("{who}: "));
    let text = format!("{who}its code is a handler called {handler} of your workers{cut}");
    reading.note(Kind::Changed, FIELD, text);
    Code::Own(Own {
        handler,
        original: class.unwrap_or_else(|| format!("the job {job}")),
        field: FIELD,
    })
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
            "listeners have no counterpart: what is done before and after each shard belongs into the handler; what is done once, before the first or after \
             the last shard (DistributeOnce), would be a finish step, which is not there yet: what does it do?",
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
        kind if secrets::TELLERS.contains(&kind) => (
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

#[cfg(test)]
mod tests;
