//! What is refused in every form: a key that stands there twice, of which one reader takes the first and
//! another the last, and a number that is none.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A value that was read so.
pub(super) struct Strict(pub(super) Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strict, D::Error> {
        deserializer.deserialize_any(Reader).map(Strict)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table, a list, text, a number, true, false or null")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        Strict::deserialize(inner).map(|strict| strict.0)
    }

    fn visit_bool<E: Error>(self, found: bool) -> Result<Value, E> {
        Ok(Value::Bool(found))
    }

    fn visit_i64<E: Error>(self, found: i64) -> Result<Value, E> {
        Ok(Value::Number(found.into()))
    }

    fn visit_u64<E: Error>(self, found: u64) -> Result<Value, E> {
        Ok(Value::Number(found.into()))
    }

    fn visit_f64<E: Error>(self, found: f64) -> Result<Value, E> {
        let number = Number::from_f64(found).map(Value::Number);
        number.ok_or_else(|| E::custom(format_args!("must be a finite number, found {found}")))
    }

    fn visit_str<E: Error>(self, found: &str) -> Result<Value, E> {
        Ok(Value::String(found.to_owned()))
    }

    fn visit_string<E: Error>(self, found: String) -> Result<Value, E> {
        Ok(Value::String(found))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut table = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if table.contains_key(&key) {
                let key: String = key.chars().take(super::SHOWN).collect();
                return Err(A::Error::custom(format_args!(
                    "the key {key:?} stands there twice"
                )));
            }
            let Strict(value) = entries.next_value()?;
            table.insert(key, value);
        }
        Ok(Value::Object(table))
    }
}
