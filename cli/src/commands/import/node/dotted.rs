//! Names with dots in YAML: Spring Boot reads `elasticjob.jobs.a: {cron: x}` as tables in tables, as it does in properties.

use std::collections::HashMap;

use super::{DEPTH_MAX, Node, plain};

/// The first part of the names that this is about: of everything else of an application nothing is read.
const ROOT: &str = "elasticjob";
/// What has names with dots of its own.
const OWN: &[&str] = &["props", "jobproperties"];

/// An entry on its way into a table: the names that lead to it, the next one last.
type Entry = (Vec<String>, Node);

/// A document, with tables for the dots of its names.
pub(super) fn spread(document: Node) -> Result<Node, String> {
    let Node::Table(entries) = document else {
        return Ok(document);
    };
    let is_meant = |name: &str| plain(name.split(['.', '[']).next().unwrap_or_default()) == ROOT;
    let (meant, mut others): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|(name, _)| is_meant(name));
    others.extend(table(split(meant)?, DEPTH_MAX)?);
    Ok(Node::Table(others))
}

/// Entries, with tables for the dots of their names.
pub(super) fn tables(entries: Vec<(String, Node)>) -> Result<Node, String> {
    Ok(Node::Table(table(split(entries)?, DEPTH_MAX)?))
}

fn split(entries: Vec<(String, Node)>) -> Result<Vec<Entry>, String> {
    let entries = entries.into_iter().map(|(name, node)| {
        let mut names = path(&name)?;
        names.reverse();
        Ok((names, node))
    });
    entries.collect()
}

/// Entries of the same first name, in the order in which that came first: one table, and beside it each value of its own. So many
/// tables may stand in it, one in another.
fn table(entries: Vec<Entry>, deep: usize) -> Result<Vec<(String, Node)>, String> {
    let Some(deeper) = deep.checked_sub(1) else {
        return Err(format!("is nested deeper than {DEPTH_MAX}"));
    };
    let mut groups: Vec<(String, Vec<Entry>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (mut names, node) in entries {
        let name = names.pop().unwrap_or_default();
        let place = *places.entry(name.clone()).or_insert(groups.len());
        if place == groups.len() {
            groups.push((name, Vec::new()));
        }
        groups[place].1.push((names, node));
    }
    let mut done = Vec::new();
    for (name, group) in groups {
        let is_own = OWN.contains(&plain(&name).as_str());
        let (mut below, mut has_table) = (Vec::new(), false);
        for (names, node) in group {
            match node {
                node if !names.is_empty() => {
                    has_table = true;
                    below.push((names, node));
                }
                Node::Table(entries) if !is_own => {
                    has_table = true;
                    below.extend(split(entries)?);
                }
                node => done.push((name.clone(), node)),
            }
        }
        if has_table {
            done.push((name, Node::Table(table(below, deeper)?)));
        }
    }
    Ok(done)
}

/// The names of a path.
fn path(name: &str) -> Result<Vec<String>, String> {
    let (mut names, mut name_now, mut in_brackets) = (Vec::new(), String::new(), false);
    let mut end = |name: &mut String| {
        if !name.is_empty() {
            names.push(std::mem::take(name));
        }
    };
    for c in name.chars() {
        match c {
            '[' if !in_brackets => {
                end(&mut name_now);
                in_brackets = true;
            }
            ']' if in_brackets => {
                end(&mut name_now);
                in_brackets = false;
            }
            '.' if !in_brackets => end(&mut name_now),
            c => name_now.push(c),
        }
    }
    end(&mut name_now);
    match names.len() > DEPTH_MAX {
        true => Err(format!("a name leads deeper than {DEPTH_MAX} tables")),
        false => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::read;

    fn flat(yaml: &str) -> Vec<String> {
        let documents = read(Path::new("a.yml"), yaml).unwrap();
        let all = documents.iter().flat_map(super::Node::flat);
        all.map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn dots_lead_into_tables_wherever_they_stand() {
        let yaml = "elasticjob.jobs.a.cron: x\nserver.port: 1\nelasticjob:\n  jobs.a: {shardingTotalCount: 3}\n  jobs:\n    b.cron: y\n    '[c.d]': {cron: z}\n";
        let wanted = [
            "server.port=1",
            "elasticjob.jobs.a.cron=x",
            "elasticjob.jobs.a.shardingTotalCount=3",
            "elasticjob.jobs.b.cron=y",
            "elasticjob.jobs.c.d.cron=z",
        ];
        assert_eq!(flat(yaml), wanted);
    }

    #[test]
    fn what_is_said_twice_stays_so_and_properties_of_a_job_keep_their_names() {
        let yaml = "elasticjob:\n  jobs:\n    a:\n      cron: x\n      cron: y\n      props: {p: 1, p.q: 2}\n";
        let wanted = ["cron=x", "cron=y", "props.p=1", "props.p.q=2"];
        assert_eq!(
            flat(yaml),
            wanted.map(|end| format!("elasticjob.jobs.a.{end}"))
        );
    }

    #[test]
    fn name_of_endless_dots_is_refused() {
        let deep = format!("elasticjob{}: x\n", ".a".repeat(100_000));
        assert!(read(Path::new("a.yml"), &deep).is_err());
        assert!(read(Path::new("a.properties"), &deep).is_err());
    }
}
