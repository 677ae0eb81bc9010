//! A list that is printed as it comes, however long it gets.

use serde::Serialize;

use gridloom_shared::chain;

use super::Output;

/// Prints items one by one: for programs they are one JSON array in the end.
#[derive(Debug)]
pub struct List {
    output: Output,
    items: u64,
}

impl List {
    pub(super) fn new(output: Output) -> List {
        List { output, items: 0 }
    }

    /// The next item, for programs.
    pub fn item<T: Serialize + ?Sized>(&mut self, item: &T) {
        match serde_json::to_string_pretty(item) {
            Ok(text) => {
                let before = if self.items == 0 { "[\n  " } else { ",\n  " };
                self.output
                    .json(&format!("{before}{}", text.replace('\n', "\n  ")));
                self.items += 1;
            }
            Err(error) => self
                .output
                .note(format!("cannot show this as JSON: {}", chain(&error))),
        }
    }

    /// A line for people.
    pub fn say(&mut self, text: impl AsRef<str>) {
        self.items += 1;
        self.output.say(text);
    }

    /// Nothing more comes. People are told `otherwise` where nothing came.
    pub fn end(self, otherwise: &str) {
        match (self.output.is_json(), self.items) {
            (true, 0) => self.output.json("[]\n"),
            (true, _) => self.output.json("\n]\n"),
            (false, 0) => self.output.note(otherwise),
            (false, _) => {}
        }
    }
}
