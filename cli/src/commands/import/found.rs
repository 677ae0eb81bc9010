//! Which jobs of ElasticJob a file has, and in which form: each by itself as 3.x keeps it in ZooKeeper, several below
//! `elasticjob.jobs` as Spring Boot has them, or as 2.x kept them, in JSON.

use super::node::{Node, plain};
use super::note::{Kind, Note};

/// A job as it was found.
#[derive(Debug)]
pub(super) struct Found<'n> {
    /// What it is called.
    pub(super) name: String,
    /// Its fields.
    pub(super) node: &'n Node,
}

/// The jobs of all documents of a file; says of everything else in them what it is.
pub(super) fn jobs<'n>(documents: &'n [Node], notes: &mut Vec<Note>) -> Vec<Found<'n>> {
    let mut found = Vec::new();
    for document in documents {
        look(document, notes, &mut found);
    }
    found
}

fn look<'n>(node: &'n Node, notes: &mut Vec<Note>, found: &mut Vec<Found<'n>>) {
    match node {
        Node::List(nodes) => {
            for (n, node) in nodes.iter().enumerate() {
                let before = (found.len(), notes.len());
                look(node, notes, found);
                if before == (found.len(), notes.len()) {
                    let text = "is no job: it has no jobName. What is it?";
                    notes.push(Note::of(Kind::Open, &format!("[{n}]"), text));
                }
            }
        }
        Node::Table(_) => match (node.get("jobName"), node.get("elasticjob")) {
            (Some(name), _) => found.push(Found {
                name: name.text().unwrap_or_default().to_owned(),
                node,
            }),
            (None, Some(all)) => spring(all, notes, found),
            (None, None) => {}
        },
        Node::Nothing | Node::Text(_) => {}
    }
}

/// What stands below `elasticjob` in a configuration of Spring Boot.
fn spring<'n>(all: &'n Node, notes: &mut Vec<Note>, found: &mut Vec<Found<'n>>) {
    let Node::Table(entries) = all else {
        let text = "is no table: which jobs are there?";
        notes.push(Note::of(Kind::Open, "elasticjob", text));
        return;
    };
    for (key, node) in entries {
        let field = format!("elasticjob.{key}");
        match plain(key).as_str() {
            "jobs" => named(&field, node, notes, found),
            "regcenter" => notes.push(Note::of(
                Kind::Dropped,
                &field,
                "ZooKeeper is not needed: the broker's address is --nats; its namespace is --namespace",
            )),
            "tracing" => notes.push(Note::of(
                Kind::Dropped,
                &field,
                "every outcome is in the ledger; traces go to a collector with --otlp-endpoint",
            )),
            "dump" => notes.push(Note::of(
                Kind::Dropped,
                &field,
                "gridloom snapshot writes what a bug report needs",
            )),
            "enabled" => notes.push(Note::of(
                Kind::Dropped,
                &field,
                "a worker that is not started does not work",
            )),
            _ => notes.push(Note::of(
                Kind::Open,
                &field,
                "is not known to this import: does a job depend on it?",
            )),
        }
    }
}

/// Jobs by their names.
fn named<'n>(field: &str, node: &'n Node, notes: &mut Vec<Note>, found: &mut Vec<Found<'n>>) {
    let Node::Table(jobs) = node else {
        let text = "is no table of jobs by their names: which jobs are there?";
        notes.push(Note::of(Kind::Open, field, text));
        return;
    };
    for (name, node) in jobs {
        match node {
            Node::Table(_) => found.push(Found {
                name: name.clone(),
                node,
            }),
            Node::Nothing | Node::Text(_) | Node::List(_) => {
                let text = "is no table with the fields of a job: what is it?";
                notes.push(Note::of(Kind::Open, &format!("{field}.{name}"), text));
            }
        }
    }
}
