//! How a text is read that was written for another program: YAML, JSON, or Java properties. Each value stays the text that it was
//! written as, so that `007` and `0=A` are what they were.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use gridloom_shared::chain;
use saphyr_parser::{Event, Parser, ScalarStyle};

mod dotted;
mod json;
mod properties;
mod zookeeper;

/// So deep things may stand in each other.
const DEPTH_MAX: usize = 64;
/// So many values a file may have, with those that it repeats by a name (`*anchor`).
const NODES_MAX: usize = 200_000;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// `null`, or nothing.
    Nothing,
    Text(String),
    List(Vec<Node>),
    /// In the order in which it was written.
    Table(Vec<(String, Node)>),
}

impl Node {
    /// What stands under a name, however its words are joined: `shardingTotalCount`, `sharding-total-count`.
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        let Node::Table(entries) = self else {
            return None;
        };
        let name = plain(name);
        entries
            .iter()
            .rev()
            .find(|(key, _)| plain(key) == name)
            .map(|(_, node)| node)
    }

    /// Its text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Each text below it, with its path: names joined by dots, as Java's properties have them.
    pub(super) fn flat(&self) -> Vec<(String, String)> {
        fn walk(node: &Node, path: &str, into: &mut Vec<(String, String)>) {
            let below = |name: &str| match path {
                "" => name.to_owned(),
                path => format!("{path}.{name}"),
            };
            match node {
                Node::Nothing => {}
                Node::Text(text) => into.push((path.to_owned(), text.clone())),
                Node::List(nodes) => {
                    for (n, node) in nodes.iter().enumerate() {
                        walk(node, &format!("{path}[{n}]"), into);
                    }
                }
                Node::Table(entries) => {
                    for (name, node) in entries {
                        walk(node, &below(name), into);
                    }
                }
            }
        }
        let mut into = Vec::new();
        walk(self, "", &mut into);
        into
    }
}

/// A name without what joins its words.
pub(super) fn plain(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// What a file says: a list of its documents.
///
/// # Errors
/// When it cannot be read; the text says where.
pub(super) fn read(path: &Path, text: &str) -> Result<Vec<Node>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = &*zookeeper::without_its_own(text);
    let ending = path.extension().and_then(|ending| ending.to_str());
    match ending {
        Some("properties") => Ok(vec![properties::read(text)?]),
        _ if text.trim_start().starts_with(['{', '[']) => match json::all(text) {
            Ok(nodes) => Ok(nodes),
            // A file in YAML may begin so, too.
            Err(error) => yaml(text).map_err(|_| chain(&error).to_string()),
        },
        None if properties::is_likely(text) => Ok(vec![properties::read(text)?]),
        _ => yaml(text),
    }
}

/// What is not whole yet: its anchor, and what it has so far.
struct Half {
    anchor: usize,
    node: Node,
    /// What another table gives it (`<<`), where it does not say the same itself.
    merged: Vec<(String, Node)>,
    /// The name of a value that comes next.
    name: Option<String>,
}

fn yaml(text: &str) -> Result<Vec<Node>, String> {
    let (mut documents, mut halves) = (Vec::new(), Vec::<Half>::new());
    let mut anchors: HashMap<usize, Node> = HashMap::new();
    let mut count = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| chain(&error).to_string())?;
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let is_plain = style == ScalarStyle::Plain;
                let is_nothing = is_plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let text = Node::Text(text.into_owned());
                (if is_nothing { Node::Nothing } else { text }, anchor)
            }
            Event::Alias(anchor) => match anchors.get(&anchor) {
                Some(node) => {
                    // What is repeated counts each time.
                    count += size(node) - 1;
                    (node.clone(), 0)
                }
                None => {
                    return Err(format!(
                        "line {}: *NAME stands for nothing that is whole before it: nothing can hold itself",
                        span.start.line()
                    ));
                }
            },
            Event::SequenceStart(..) | Event::MappingStart(..) if halves.len() >= DEPTH_MAX => {
                return Err(format!("is nested deeper than {DEPTH_MAX}"));
            }
            Event::SequenceStart(anchor, _) => {
                halves.push(Half::new(anchor, Node::List(Vec::new())));
                continue;
            }
            Event::MappingStart(anchor, _) => {
                halves.push(Half::new(anchor, Node::Table(Vec::new())));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match halves.pop() {
                Some(half) => half.whole(),
                None => continue,
            },
            _ => continue,
        };
        count += 1;
        if count > NODES_MAX {
            return Err(format!("has more than {NODES_MAX} values"));
        }
        if anchor != 0 {
            anchors.insert(anchor, node.clone());
        }
        match halves.last_mut() {
            Some(half) => half.take(node, span.start.line())?,
            None => documents.push(dotted::spread(node)?),
        }
    }
    Ok(documents)
}

fn size(node: &Node) -> usize {
    1 + match node {
        Node::List(nodes) => nodes.iter().map(size).sum(),
        Node::Table(entries) => entries.iter().map(|(_, node)| size(node)).sum(),
        _ => 0,
    }
}

impl Half {
    fn new(anchor: usize, node: Node) -> Half {
        Half {
            anchor,
            node,
            merged: Vec::new(),
            name: None,
        }
    }

    /// Itself, with what it does not say itself, and its anchor.
    fn whole(mut self) -> (Node, usize) {
        if let Node::Table(entries) = &mut self.node
            && !self.merged.is_empty()
        {
            let mut said: HashSet<String> = entries.iter().map(|(name, _)| name.clone()).collect();
            // Of what several tables give it the last one counts.
            self.merged.reverse();
            self.merged.retain(|(name, _)| said.insert(name.clone()));
            self.merged.reverse();
            entries.splice(0..0, self.merged).for_each(drop);
        }
        (self.node, self.anchor)
    }

    fn take(&mut self, node: Node, line: usize) -> Result<(), String> {
        match (&mut self.node, self.name.take()) {
            (Node::List(nodes), _) => nodes.push(node),
            (Node::Table(_), Some(name)) if name == "<<" => match node {
                Node::Table(more) => self.merged.extend(more),
                // Of several the first one counts, and the later of two entries is what is taken.
                Node::List(several) => {
                    for more in several.into_iter().rev() {
                        let Node::Table(more) = more else {
                            return Err(format!("line {line}: << of what is no table"));
                        };
                        self.merged.extend(more);
                    }
                }
                _ => return Err(format!("line {line}: << of what is no table")),
            },
            (Node::Table(entries), Some(name)) => entries.push((name, node)),
            (Node::Table(_), None) => {
                self.name = Some(match node {
                    Node::Text(text) => text,
                    Node::Nothing => String::new(),
                    _ => return Err(format!("line {line}: a list or table for a name")),
                });
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Node {
        Node::Text(text.to_owned())
    }

    #[test]
    fn values_stay_as_they_were_written() {
        let yaml = read(
            Path::new("a.yml"),
            "a: 007\nb: 0=A,1=B\nc: ~\nd: 'null'\ne: [1, x]\n",
        )
        .unwrap();
        let [node] = &yaml[..] else {
            panic!("{yaml:?}")
        };
        assert_eq!(node.get("a"), Some(&text("007")));
        assert_eq!(node.get("b"), Some(&text("0=A,1=B")));
        assert_eq!(node.get("c"), Some(&Node::Nothing));
        assert_eq!(node.get("d"), Some(&text("null")));
        assert_eq!(node.get("e"), Some(&Node::List(vec![text("1"), text("x")])));
        let json = read(Path::new("-"), "{\"a\": 7, \"b\": {\"c\": true}}").unwrap();
        assert_eq!(
            json[0].flat(),
            [("a".into(), "7".into()), ("b.c".into(), "true".into())]
        );
    }

    #[test]
    fn values_of_json_one_after_another_are_documents() {
        for lines in [
            "{\"a\": 7}\n{\"a\": \"b\"}\n",
            "{\"a\": 7}{\"a\": \"b\"}",
            "{\n  \"a\": 7\n}\n\n{\n  \"a\": \"b\"\n}",
        ] {
            let read = read(Path::new("-"), lines).unwrap();
            let found: Vec<_> = read.iter().map(|node| node.get("a")).collect();
            assert_eq!(found, [Some(&text("7")), Some(&text("b"))], "{lines}");
        }
        let broken = read(Path::new("a.json"), "{\"a\": 7}\n{\"a\": \n").unwrap_err();
        assert!(broken.contains("line 3"), "{broken}");
        let alone = read(Path::new("a.yml"), "{a: 7}\n").unwrap();
        assert_eq!(alone[0].get("a"), Some(&text("7")), "as YAML has it");
    }

    #[test]
    fn names_are_the_same_however_their_words_are_joined() {
        let yaml = read(Path::new("a.yml"), "sharding-total-count: 3\nitem_x: 1").unwrap();
        assert_eq!(yaml[0].get("shardingTotalCount"), Some(&text("3")));
        assert_eq!(yaml[0].get("itemX"), Some(&text("1")));
    }

    #[test]
    fn anchors_documents_and_merged_tables_are_read_and_bombs_refused() {
        let all = "base: &b {cron: x, total: 2}\njob:\n  <<: *b\n  total: 3\n---\nother: 1\n";
        let yaml = read(Path::new("a.yml"), all).unwrap();
        assert_eq!(yaml.len(), 2);
        let job = yaml[0].get("job").unwrap();
        assert_eq!(
            (job.get("cron"), job.get("total")),
            (Some(&text("x")), Some(&text("3")))
        );
        let two = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], z: 3}\n";
        let two = read(Path::new("a.yml"), two).unwrap();
        let c = two[0].get("c").unwrap();
        assert_eq!(
            ["x", "y", "z"].map(|name| c.get(name)),
            [Some(&text("1")), Some(&text("1")), Some(&text("3"))]
        );
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let before = format!("*a{}, ", n - 1).repeat(10);
            bomb += &format!("a{n}: &a{n} [{before}]\n");
        }
        let error = read(Path::new("a.yml"), &bomb).unwrap_err();
        assert!(error.contains("values"), "{error}");
        let many = "[x, x, x, x, x, x, x, x, x]\n".repeat(15_000);
        let many = many.lines().enumerate();
        let many: String = many.map(|(n, list)| format!("a{n}: {list}\n")).collect();
        assert!(
            read(Path::new("a.yml"), &many).is_ok(),
            "what stands in others counts once"
        );
        let deep = "[".repeat(10_000);
        assert!(read(Path::new("a.yml"), &deep).is_err());
        assert!(read(Path::new("a.yml"), "a: [1\nb: 2").is_err());
        assert!(read(Path::new("a.yml"), "a: *nobody").is_err());
    }
}
