//! What a request carries: a text with placeholders, or a table that is sent as JSON, in whose texts they stand.

use serde_json::Value;

use super::template::{Placeholder, Template, TemplateError};

/// A text, or what is sent as JSON.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Values stand in it as they are.
    Text(Template),
    /// Values stand in its texts, and a text of one placeholder alone is the value itself: a number stays one.
    Json(Json),
}

/// JSON with placeholders in its texts.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// Neither text nor list nor table.
    Plain(Value),
    /// A text.
    Text(Template),
    /// A list.
    List(Vec<Json>),
    /// A table; its keys are no templates.
    Table(Vec<(String, Json)>),
}

impl Content {
    /// What `value` says.
    ///
    /// # Errors
    /// With the first text in it that cannot be.
    pub(super) fn read(value: &Value) -> Result<Content, TemplateError> {
        match value {
            Value::String(text) => Template::read(text).map(Content::Text),
            other => Json::read(other).map(Content::Json),
        }
    }

    /// What it names.
    pub fn placeholders(&self) -> Vec<&Placeholder> {
        let mut names = Vec::new();
        match self {
            Content::Text(template) => names.extend(template.placeholders()),
            Content::Json(json) => json.collect(&mut names),
        }
        names
    }
}

impl Json {
    fn read(value: &Value) -> Result<Json, TemplateError> {
        Ok(match value {
            Value::String(text) => Json::Text(Template::read(text)?),
            Value::Array(list) => {
                Json::List(list.iter().map(Json::read).collect::<Result<_, _>>()?)
            }
            Value::Object(table) => {
                let entries = table.iter();
                let entries = entries.map(|(key, value)| Ok((key.clone(), Json::read(value)?)));
                Json::Table(entries.collect::<Result<_, _>>()?)
            }
            other => Json::Plain(other.clone()),
        })
    }

    fn collect<'j>(&'j self, into: &mut Vec<&'j Placeholder>) {
        match self {
            Json::Plain(_) => {}
            Json::Text(template) => into.extend(template.placeholders()),
            Json::List(list) => list.iter().for_each(|one| one.collect(into)),
            Json::Table(table) => table.iter().for_each(|(_, one)| one.collect(into)),
        }
    }

    /// The JSON with what `value` says of each placeholder, which `text` makes a piece of a text.
    ///
    /// # Errors
    /// Those of `value`.
    pub fn fill<E>(
        &self,
        value: &mut impl FnMut(&Placeholder) -> Result<Value, E>,
        text: &impl Fn(&Value) -> String,
    ) -> Result<Value, E> {
        Ok(match self {
            Json::Plain(plain) => plain.clone(),
            Json::Text(template) => match template.only() {
                Some(name) => value(name)?,
                None => Value::String(template.fill(|name| Ok(text(&value(name)?)))?),
            },
            Json::List(list) => Value::Array(
                list.iter()
                    .map(|one| one.fill(value, text))
                    .collect::<Result<_, _>>()?,
            ),
            Json::Table(table) => Value::Object(
                table
                    .iter()
                    .map(|(key, one)| Ok((key.clone(), one.fill(value, text)?)))
                    .collect::<Result<_, _>>()?,
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_stay_what_they_are_and_stay_inside_their_quotes() {
        let said = json!({"n": "{slice}", "t": "a {x} b", "l": ["{x}", 7, null], "k{x}": true});
        let Content::Json(json) = Content::read(&said).unwrap() else {
            panic!("a table is JSON");
        };
        let mut value = |name: &Placeholder| match name {
            Placeholder::Named(name) if name == "slice" => Ok::<_, ()>(json!(3)),
            _ => Ok(json!("\"}, {slice}")),
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let filled = json.fill(&mut value, &text).unwrap();
        let evil = "\"}, {slice}";
        assert_eq!(
            filled,
            json!({"n": 3, "t": format!("a {evil} b"), "l": [evil, 7, null], "k{x}": true})
        );
        assert_eq!(Content::Json(json).placeholders().len(), 3);
    }
}
