//! Values of JSON. An object keeps each of its fields, also one that is said twice: whoever reads it has to ask which is meant.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Deserializer as Read, Error as Fault, Number};

use super::Node;

/// The values of a text, one after another: one alone, or as tools write rows, one on each line.
///
/// # Errors
/// When one of them is none.
pub(super) fn all(text: &str) -> Result<Vec<Node>, Fault> {
    let values = Read::from_str(text).into_iter::<Written>();
    values
        .map(|value| value.map(|Written(node)| node))
        .collect()
}

/// A value as it is written.
struct Written(Node);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Written, D::Error> {
        from.deserialize_any(Forms).map(Written)
    }
}

struct Forms;

impl<'de> Visitor<'de> for Forms {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Node, E> {
        Ok(Node::Text(flag.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Node, E> {
        Ok(Node::Text(number.to_string()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Text(number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Node, E> {
        let number = Number::from_f64(number);
        Ok(number.map_or(Node::Nothing, |number| Node::Text(number.to_string())))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(Written(value)) = values.next_element()? {
            list.push(value);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Node, A::Error> {
        let mut table = Vec::new();
        while let Some((name, Written(value))) = fields.next_entry()? {
            table.push((name, value));
        }
        Ok(Node::Table(table))
    }
}
