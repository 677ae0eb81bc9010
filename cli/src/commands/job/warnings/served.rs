//! Whether somebody is there who could do what a job says: a queue that is pulled from, and there a handler of its name.
//! Where nobody is there at all nothing is missed, but for what can only be a slip of the pen.

use std::collections::BTreeSet;

use gridloom_shared::id::{HandlerName, QueueName};
use gridloom_shared::job::JobSpec;
use gridloom_shared::job::handlers::BUILT_IN;
use gridloom_shared::presence::Presence;
use gridloom_shared::suggest;

/// What is to be said, as `KEY: WORDS`.
pub(super) fn of(spec: &JobSpec, here: &[Presence]) -> Option<String> {
    let here: Vec<&Presence> = here.iter().filter(|worker| !worker.stopping).collect();
    let queues = here.iter().flat_map(|worker| &worker.queues);
    let queues: BTreeSet<&str> = queues.map(QueueName::as_str).collect();
    let (queue, handler) = (spec.queue.as_str(), spec.handler.as_str());
    if here.is_empty() || queues.contains(queue) {
        return of_handler(handler, queue, &here);
    }
    Some(format!(
        "queue: no worker that is here serves queue {queue:?} (they serve {}){}: start one with gridloom worker --queue \
         {queue}",
        listed(&queues),
        suggest::hint(queue, queues.iter().copied())
    ))
}

fn of_handler(handler: &str, queue: &str, here: &[&Presence]) -> Option<String> {
    let of_queue = here.iter().filter(|worker| {
        let mut queues = worker.queues.iter();
        queues.any(|served| served.as_str() == queue)
    });
    let known = of_queue.flat_map(|worker| &worker.handlers);
    let known: BTreeSet<&str> = known.map(HandlerName::as_str).collect();
    if known.contains(handler) {
        return None;
    }
    let hint = match BUILT_IN.contains(&handler) {
        true => String::new(),
        false => suggest::hint(handler, known.iter().copied().chain(BUILT_IN)),
    };
    let flag = match handler {
        "sql" => " with --database NAME=URL",
        "exec" => " with --exec NAME=COMMAND",
        "http" => " with --http NAME=ORIGIN",
        _ => "",
    };
    match (known.is_empty(), hint.is_empty()) {
        (true, true) => None,
        (true, false) => Some(format!(
            "handler: {handler:?} is none of the built-in handlers{hint}"
        )),
        (false, _) => Some(format!(
            "handler: no worker of queue {queue:?} has handler {handler:?} (they have {}){hint}: its runs wait until one \
             is started{flag}",
            listed(&known)
        )),
    }
}

fn listed(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use gridloom_shared::clock::UnixMs;
    use gridloom_shared::holdings::Packed;
    use gridloom_shared::id::Session;
    use gridloom_shared::job::parse::from_value;
    use serde_json::json;

    use super::*;

    fn worker(queue: &str, handlers: &[&str]) -> Presence {
        Presence {
            worker: "w".parse().unwrap(),
            session: Session(1),
            queues: vec![queue.parse().unwrap()],
            handlers: handlers.iter().map(|name| name.parse().unwrap()).collect(),
            capacity: 4,
            in_flight: 0,
            version: "1".into(),
            wire: Default::default(),
            started_at: UnixMs(0),
            at: UnixMs(0),
            stopping: false,
            gone: false,
            named: Packed::default(),
            tolls: Vec::new(),
            ack_deadlines_ms: Vec::new(),
            knows: Vec::new(),
            trouble: String::new(),
        }
    }

    fn told(handler: &str, queue: &str, here: &[Presence]) -> String {
        let job = json!({ "name": "a", "handler": handler, "queue": queue });
        of(&from_value(job).unwrap(), here).unwrap_or_default()
    }

    #[test]
    fn handler_and_queue_that_nobody_has_are_told_with_what_was_meant() {
        let here = [worker("default", &["noop", "resize"])];
        assert!(told("nooop", "default", &here).contains("did you mean \"noop\"?"));
        assert!(told("resise", "default", &here).contains("did you mean \"resize\"?"));
        assert!(told("backup", "default", &here).contains("they have noop, resize"));
        assert!(told("noop", "defualt", &here).contains("did you mean \"default\"?"));
        assert!(told("noop", "night", &here).contains("gridloom worker --queue night"));
        assert_eq!(told("noop", "default", &here), "");
        let others = [worker("default", &["noop"]), worker("night", &["resize"])];
        assert!(told("resize", "default", &others).contains("they have noop"));
        assert_eq!(told("resize", "night", &others), "");
    }

    #[test]
    fn nothing_is_missed_where_nobody_is_there_but_slips_of_the_pen() {
        assert!(told("nooop", "default", &[]).contains("did you mean \"noop\"?"));
        assert_eq!(told("backup", "night", &[]), "");
        let mut leaving = worker("default", &["noop"]);
        leaving.stopping = true;
        assert_eq!(told("backup", "default", &[leaving]), "");
    }
}
