//! What an ad-hoc job message may say.
//!
//! The message stands on `<ns>.submit.<job>`: an empty body, or JSON or MessagePack
//! `{"version": 1, "id": "...", "params": {...}, "grid": {...}, "overlap": "skip"}`, every field optional.

use serde_json::Value;

use super::ByHand;
use crate::chain;
use crate::exact;
use crate::id::{JobName, RunId};
use crate::job::handlers::{self, Said};
use crate::job::parse::{self, Faults};
use crate::job::{Allowed, GridSpec, JobSpec, SubmitSpec};

use crate::limits::PARAM_NAME_MAX;
pub use crate::limits::{BODY_MAX, REQUEST_ID_MAX};

/// The newest version of the message that this build reads.
pub const VERSION: u64 = 1;
/// The content type that says MessagePack; without one the first byte tells.
pub const MESSAGE_PACK: &str = "application/msgpack";

/// Why a submission is refused. Each says what to change.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum SubmissionError {
    /// Too many bytes.
    #[error(
        "the body has {found} bytes, over the limit of {BODY_MAX}: put large data where the handler reads it and name it in params"
    )]
    TooLarge {
        /// Bytes of the body.
        found: usize,
    },
    /// Neither JSON nor MessagePack, or nothing that is understood in one way only.
    #[error(
        "the body cannot be read ({reason}): send an empty body, or JSON or MessagePack of an object with id, params or grid"
    )]
    Unreadable {
        /// What the decoder stumbled over.
        reason: String,
    },
    /// Another version.
    #[error(
        "version {found} is newer than {VERSION}, the newest that this planner reads: upgrade the planner or send version {VERSION}"
    )]
    Newer {
        /// The version of the message.
        found: u64,
    },
    /// Something in it is wrong.
    #[error("{0}")]
    Faulty(String),
    /// `params` or `grid` is wrong.
    #[error(transparent)]
    Faults(Faults),
    /// The job does not let a submission change this.
    #[error(
        "{what}: job {job} does not let a submission change it ([submit] {submit}): leave it out, or allow it in the job file"
    )]
    NotAllowed {
        /// What the submission would change: `grid`, or a parameter.
        what: String,
        /// The job.
        job: JobName,
        /// What it lets a submission change.
        submit: Box<SubmitSpec>,
    },
}

/// A request for a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Submission {
    /// The submitter's id of the request: the same id never makes a second run.
    pub id: Option<String>,
    /// Parameters that are put over the job's own, key by key.
    pub params: Option<Value>,
    /// A grid that takes the place of the job's.
    pub grid: Option<GridSpec>,
    /// What becomes of it while another run of the job is open.
    pub overlap: ByHand,
}

impl Submission {
    /// Reads a message's body. `content_type` is its header of that name.
    pub fn parse(body: &[u8], content_type: Option<&str>) -> Result<Submission, SubmissionError> {
        if body.len() > BODY_MAX {
            return Err(SubmissionError::TooLarge { found: body.len() });
        }
        let Value::Object(mut fields) = read(body, content_type)? else {
            return Err(SubmissionError::Faulty("the body must be an object".into()));
        };
        match fields
            .remove("version")
            .map(|version| version.as_u64().ok_or(version))
        {
            None => {}
            Some(Ok(found)) if found > VERSION => return Err(SubmissionError::Newer { found }),
            Some(Ok(found)) if found == VERSION => {}
            Some(Ok(0)) | Some(Ok(_)) | Some(Err(_)) => {
                return Err(SubmissionError::Faulty(format!(
                    "version: must be {VERSION}"
                )));
            }
        }
        let id = match fields.remove("id") {
            None | Some(Value::Null) => None,
            Some(Value::String(id)) if !id.is_empty() && id.len() <= REQUEST_ID_MAX => Some(id),
            Some(_) => {
                let wrong = format!("id: must be a text of 1 to {REQUEST_ID_MAX} bytes");
                return Err(SubmissionError::Faulty(wrong));
            }
        };
        // An empty table says nothing: libraries differ in whether they write one.
        let is_said = |params: &Value| match params {
            Value::Null => false,
            Value::Object(params) => !params.is_empty(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => true,
        };
        let params = fields.remove("params").filter(is_said);
        let grid = fields.remove("grid").filter(|grid| !grid.is_null());
        let overlap = overlap(fields.remove("overlap"))?;
        if let Some((other, _)) = fields.iter().next() {
            return Err(SubmissionError::Faulty(refused(other)));
        }
        Ok(Submission {
            id,
            overlap,
            params: params
                .map(parse::params)
                .transpose()
                .map_err(SubmissionError::Faults)?,
            grid: grid
                .as_ref()
                .map(parse::grid)
                .transpose()
                .map_err(SubmissionError::Faults)?,
        })
    }

    /// The run that this submission makes; `sequence` is its place in the submit stream.
    pub fn run_id(&self, job: &JobName, sequence: u64) -> RunId {
        match &self.id {
            Some(id) => RunId::from_request(job, id),
            None => RunId::from_submission(job, sequence),
        }
    }

    /// The job with the submission's parameters and grid in it: what the run is frozen to.
    ///
    /// # Errors
    /// When it would change what the job does not let it, parameters grew too large, or the handler could
    /// not do what came of it.
    pub fn applied_to(&self, job: &JobSpec) -> Result<JobSpec, SubmissionError> {
        if let Some(what) = self.beyond(&job.submit) {
            return Err(SubmissionError::NotAllowed {
                what: what.to_string(),
                job: job.name.clone(),
                submit: Box::new(job.submit.clone()),
            });
        }
        let mut job = job.frozen();
        if let Some(grid) = &self.grid {
            job.grid = grid.clone();
        }
        if let (Some(Value::Object(over)), Value::Object(params)) = (&self.params, &mut job.params)
        {
            params.extend(over.clone());
            job.params = parse::params(job.params).map_err(SubmissionError::Faults)?;
        }
        let found = handlers::check(Said::by_run(&job)).faults;
        if !found.is_empty() {
            return Err(SubmissionError::Faults(Faults(found)));
        }
        Ok(job)
    }

    /// The first thing that it says and that `submit` does not allow, whatever its value.
    fn beyond(&self, submit: &SubmitSpec) -> Option<Allowed> {
        if self.grid.is_some() && !submit.allows_grid() {
            return Some(Allowed::Grid);
        }
        let params = self.params.as_ref().and_then(Value::as_object)?;
        let name = params.keys().find(|name| !submit.allows_param(name))?;
        Some(Allowed::Param(name.chars().take(PARAM_NAME_MAX).collect()))
    }

    /// A hash of what was asked for (FNV-1a): the same request id with another hash is a conflict.
    pub fn content(&self) -> u64 {
        hash(&serde_json::json!({"params": self.params, "grid": self.grid}))
    }
}

fn hash(asked: &Value) -> u64 {
    let text = asked.to_string();
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Whether two hashes of [`Submission::content`] are of the same request. Earlier builds took an empty table of parameters for
/// another one than none, and what they have recorded counts as well.
pub fn is_same_content(one: u64, other: u64) -> bool {
    let of_nothing = |hashed: u64| {
        let empty = serde_json::json!({"params": {}, "grid": null});
        hashed == Submission::default().content() || hashed == hash(&empty)
    };
    one == other || (of_nothing(one) && of_nothing(other))
}

fn overlap(said: Option<Value>) -> Result<ByHand, SubmissionError> {
    match said {
        None | Some(Value::Null) => Ok(ByHand::default()),
        Some(Value::String(word)) if ByHand::of(&word).is_some() => {
            Ok(ByHand::of(&word).unwrap_or_default())
        }
        Some(_) => {
            let words = ByHand::ALL.map(|(word, _)| word).join(", ");
            let wrong = format!("overlap: must be one of {words}");
            Err(SubmissionError::Faulty(wrong))
        }
    }
}

/// Why a submission has no field `name`. What else a job file says is its owner's to change: whoever may
/// start a run could otherwise lift the limits that others rely on, or run statements of their own.
fn refused(name: &str) -> String {
    if parse::is_section(name) {
        return format!(
            "{name}: a submission cannot change it; change the job (`gridloom job apply`) or leave it out"
        );
    }
    format!("{name}: unknown field; known are id, params, grid, overlap and version")
}

fn read(body: &[u8], content_type: Option<&str>) -> Result<Value, SubmissionError> {
    if body.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    let packed = match content_type {
        Some(text) => text.trim().eq_ignore_ascii_case(MESSAGE_PACK),
        // A MessagePack map begins with 0x80-0x8f, 0xde or 0xdf: no JSON text does.
        None => matches!(body[0], 0x80..=0x8f | 0xde | 0xdf),
    };
    let unreadable = |reason: String| SubmissionError::Unreadable { reason };
    if packed {
        exact::message_pack(body).map_err(unreadable)
    } else {
        exact::json(body).map_err(|error| unreadable(chain(&error).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(rest: &str) -> JobSpec {
        let head = "name = \"a\"\nhandler = \"resize\"\n[resize]\nwidth = 7\n[params]\nday = 1\n";
        parse::parse(&format!("{head}{rest}"), parse::Format::Toml).unwrap()
    }

    fn asked(body: &Value) -> Submission {
        Submission::parse(body.to_string().as_bytes(), None).unwrap()
    }

    #[test]
    fn empty_parameters_are_none_and_what_was_recorded_of_either_stays_the_same_request() {
        let none = asked(&json!({"id": "a"}));
        for empty in [
            json!({"id": "a", "params": {}}),
            json!({"id": "a", "params": null}),
        ] {
            assert_eq!(asked(&empty), none);
        }
        assert!(Submission::parse(br#"{"params": []}"#, None).is_err());
        // As ledgers have them.
        let (nothing, empty) = (none.content(), hash(&json!({"params": {}, "grid": null})));
        assert_eq!(nothing, hash(&json!({"params": null, "grid": null})));
        assert!(is_same_content(nothing, empty) && is_same_content(empty, nothing));
        let other = asked(&json!({"params": {"day": 1}})).content();
        assert!(is_same_content(other, other));
        assert!(!is_same_content(other, empty) && !is_same_content(nothing, other));
        let grid = asked(&json!({"grid": {"slices": 2}})).content();
        assert!(!is_same_content(grid, nothing));
    }

    /// What a run could not do is told to its submitter, and not by its shards.
    #[test]
    fn submission_with_which_its_handler_could_not_run_is_refused() {
        let text = "name = \"a\"\nhandler = \"sql\"\n[sql]\ndatabase = \"d\"\nstatement = \"SELECT :day\"\n\
                    [submit]\nallow = [\"params\", \"grid\"]";
        let mut job = parse::parse(text, parse::Format::Toml).unwrap();
        let refused = |job: &JobSpec, body: Value| match asked(&body).applied_to(job) {
            Err(SubmissionError::Faults(faults)) => Some(faults.0[0].path.clone()),
            other => other.map(|_| None).unwrap(),
        };
        let day = json!({"params": {"day": 2}});
        assert_eq!(refused(&job, day.clone()), None);
        for (body, path) in [
            (json!({}), "sql.statement"),
            (json!({"params": {"day": 2, "dya": 3}}), "params.dya"),
            (
                json!({"params": {"day": 2}, "grid": {"slices": 2}}),
                "sql.statement",
            ),
        ] {
            assert_eq!(refused(&job, body.clone()).as_deref(), Some(path), "{body}");
        }
        // A definition that is in the bucket from before anybody looked.
        job.grid.slices = 2;
        assert_eq!(refused(&job, day).as_deref(), Some("sql.statement"));
    }

    #[test]
    fn submission_changes_what_its_job_allows_and_nothing_else() {
        let day = asked(&json!({"params": {"day": 2}}));
        let other = asked(&json!({"params": {"day": 2, "night": 3}}));
        let grid = asked(&json!({"grid": {"slices": 2}}));
        let nothing = asked(&json!({"id": "x", "params": {}}));
        let beyond = |submission: &Submission, rest: &str| match submission.applied_to(&job(rest)) {
            Ok(_) => None,
            Err(SubmissionError::NotAllowed { what, .. }) => Some(what),
            Err(error) => panic!("{error}"),
        };
        let (usual, one) = ("", "[submit]\nallow = [\"params.day\"]");
        let (none, both) = (
            "[submit]\nallow = []",
            "[submit]\nallow = [\"params\", \"grid\"]",
        );
        for (rest, wanted) in [
            (usual, [None, None, Some("grid"), None]),
            (one, [None, Some("params.night"), Some("grid"), None]),
            (
                none,
                [Some("params.day"), Some("params.day"), Some("grid"), None],
            ),
            (both, [None, None, None, None]),
        ] {
            let found = [&day, &other, &grid, &nothing].map(|asked| beyond(asked, rest));
            assert_eq!(
                found,
                wanted.map(|what| what.map(str::to_owned)),
                "{rest:?}"
            );
        }
    }

    #[test]
    fn parameters_called_like_settings_leave_the_settings_as_they_are() {
        let asked = asked(&json!({"params": {"width": 9, "resize": {"width": 9}, "settings": {}}}));
        let frozen = asked.applied_to(&job("")).unwrap();
        assert_eq!(frozen.settings, json!({"width": 7}));
        assert_eq!(frozen.params["width"], 9);
    }

    #[test]
    fn empty_body_asks_for_the_job_as_it_is() {
        assert_eq!(Submission::parse(b"", None), Ok(Submission::default()));
    }

    #[test]
    fn json_and_message_pack_say_the_same() {
        let value = json!({"id": "a", "params": {"x": 1}});
        let packed = rmp_serde::to_vec_named(&value).unwrap();
        let plain = Submission::parse(value.to_string().as_bytes(), None).unwrap();
        assert_eq!(Submission::parse(&packed, None), Ok(plain.clone()));
        assert_eq!(
            Submission::parse(&packed, Some(MESSAGE_PACK)),
            Ok(plain.clone())
        );
        assert_eq!(plain.id.as_deref(), Some("a"));
    }

    #[test]
    fn each_kind_of_nonsense_has_its_own_answer() {
        let parse = |body: &[u8]| Submission::parse(body, None).unwrap_err();
        assert!(matches!(
            parse(b"hello"),
            SubmissionError::Unreadable { .. }
        ));
        assert!(matches!(
            parse(&[0xff, 0xfe]),
            SubmissionError::Unreadable { .. }
        ));
        assert!(matches!(
            parse(&vec![b' '; BODY_MAX + 1]),
            SubmissionError::TooLarge { .. }
        ));
        assert_eq!(
            parse(b"{\"version\": 7}"),
            SubmissionError::Newer { found: 7 }
        );
        for wrong in [
            "[]",
            "7",
            r#"{"id": 7}"#,
            r#"{"id": ""}"#,
            r#"{"overlap": "sometimes"}"#,
            r#"{"overlap": 7}"#,
            r#"{"paramz": {}}"#,
            r#"{"version": "x"}"#,
        ] {
            assert!(
                matches!(parse(wrong.as_bytes()), SubmissionError::Faulty(_)),
                "{wrong}"
            );
        }
        for section in [
            "limits", "sql", "exec", "noop", "handler", "queue", "name", "retry", "submit",
        ] {
            let refused = parse(json!({ section: {} }).to_string().as_bytes());
            assert!(
                matches!(&refused, SubmissionError::Faulty(reason) if reason.contains("job apply")),
                "{section}: {refused}"
            );
        }
        assert!(matches!(
            parse(br#"{"params": 7}"#),
            SubmissionError::Faults(_)
        ));
        assert!(matches!(
            parse(br#"{"grid": {"slices": 0}}"#),
            SubmissionError::Faults(_)
        ));
    }
}
