//! How a list goes on: a cursor names its list and the last item that was given, so that what comes or goes meanwhile
//! shifts nothing, and no other list goes on by it: the number of a record is none of a fire. Nobody has to know what is in
//! it, and whoever makes one up is refused. Pure.

use data_encoding::BASE64URL_NOPAD;
use gridloom_shared::id::{JobName, RunId};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What its text begins with, before it is made unreadable: of another build it is refused, not misread.
const VERSION: &str = "2";
/// No cursor is longer.
const MOST: usize = 1_024;

/// Which list: its name, and whose it is where there is one of each job or run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct List<'a>(pub(super) &'static str, pub(super) &'a str);

/// All lists that have cursors.
impl List<'_> {
    pub(super) const JOBS: List<'static> = List("jobs", "");
    pub(super) const RUNS: List<'static> = List("runs", "");
    pub(super) const DEAD: List<'static> = List("dead", "");
    pub(super) const LOG: List<'static> = List("log", "");
}

impl<'a> List<'a> {
    /// What was decided of a job's fires.
    pub(super) fn fires(job: &'a JobName) -> List<'a> {
        List("fires", job.as_str())
    }

    /// The shards of a run.
    pub(super) fn shards(run: &'a RunId) -> List<'a> {
        List("shards", run.as_str())
    }

    /// The cursor behind `last`.
    pub(super) fn behind(self, last: &impl Serialize) -> Option<String> {
        let text = serde_json::to_string(&(VERSION, self.0, self.1, last)).ok()?;
        Some(BASE64URL_NOPAD.encode(text.as_bytes()))
    }

    /// What a cursor names; `None`: it is none of this list.
    pub(super) fn read<T: DeserializeOwned>(self, text: &str) -> Option<T> {
        if text.len() > MOST {
            return None;
        }
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (version, list, of, last): (String, String, String, T) =
            serde_json::from_slice(&bytes).ok()?;
        let is_own = version == VERSION && list == self.0 && of == self.1;
        is_own.then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use gridloom_shared::id::RUN_ID_MAX;

    use super::*;

    #[test]
    fn cursor_is_read_as_it_was_made_and_no_other_text_is_one() {
        let last = (7_u64, "a_s_1".to_owned());
        let text = List::RUNS.behind(&last).unwrap();
        assert_eq!(List::RUNS.read::<(u64, String)>(&text), Some(last));
        assert_eq!(List::RUNS.read::<String>(&text), None);
        for none in ["", "x", "!!", &text[1..], &"A".repeat(MOST + 1)] {
            assert_eq!(List::RUNS.read::<(u64, String)>(none), None, "{none}");
        }
    }

    #[test]
    fn cursor_of_another_build_or_one_that_is_too_long_is_none() {
        let of = |version: &str, last: &str| {
            let text = serde_json::to_string(&(version, "runs", "", last)).unwrap();
            BASE64URL_NOPAD.encode(text.as_bytes())
        };
        let read = |text: String| List::RUNS.read::<String>(&text);
        assert_eq!(read(of(VERSION, "a")).as_deref(), Some("a"));
        assert_eq!(read(of("1", "a")), None);
        assert_eq!(read(of(VERSION, &"a".repeat(MOST))), None);
    }

    #[test]
    fn cursor_of_one_list_is_none_of_another() {
        let (ada, bob) = (JobName::new("ada").unwrap(), JobName::new("bob").unwrap());
        let (first, second) = (RunId::new("a_s_1").unwrap(), RunId::new("a_s_2").unwrap());
        let lists = [
            List::JOBS,
            List::RUNS,
            List::DEAD,
            List::LOG,
            List::fires(&ada),
            List::fires(&bob),
            List::shards(&first),
            List::shards(&second),
        ];
        for made in lists {
            let text = made.behind(&7_u64).unwrap();
            for list in lists {
                let wanted = (list == made).then_some(7);
                assert_eq!(list.read::<u64>(&text), wanted, "{made:?} in {list:?}");
            }
        }
    }

    #[test]
    fn cursor_with_the_longest_names_is_read() {
        let longest = "i".repeat(RUN_ID_MAX);
        let last = ("2026-03-01T02:00:00.000Z".to_owned(), longest.clone(), 7);
        let list = List("shards", &longest);
        let text = list.behind(&last).unwrap();
        assert_eq!(list.read::<(String, String, u32)>(&text), Some(last));
    }
}
