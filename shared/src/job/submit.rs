//! What a submission may change of its job: a closed list, and nothing of the handler's settings ever.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::PARAM_NAME_MAX;

const PARAMS: &str = "params";
const GRID: &str = "grid";

/// What a submission may change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Allowed {
    /// The grid.
    Grid,
    /// Every parameter, those that the job does not name too.
    Params,
    /// The parameter of this name, with all that is in it.
    Param(String),
}

/// A text that names nothing that a submission could be allowed to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is nothing that a submission may change: must be \"params\", \"params.NAME\" (a whole parameter) or \"grid\""
)]
pub struct AllowedError(pub String);

/// What submissions of a job may change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitSpec {
    /// Each thing once. Empty: nothing.
    pub allow: BTreeSet<Allowed>,
}

impl Default for SubmitSpec {
    fn default() -> Self {
        SubmitSpec {
            allow: [Allowed::Params].into(),
        }
    }
}

impl SubmitSpec {
    /// Whether a submission may bring a grid of its own.
    pub fn allows_grid(&self) -> bool {
        self.allow.contains(&Allowed::Grid)
    }

    /// Whether a submission may say the parameter `name`.
    pub fn allows_param(&self, name: &str) -> bool {
        let named = |allowed: &Allowed| matches!(allowed, Allowed::Param(own) if own == name);
        self.allow.contains(&Allowed::Params) || self.allow.iter().any(named)
    }
}

/// As a job file's `[submit]` says it.
impl fmt::Display for SubmitSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.allow.iter().map(|one| format!("\"{one}\"")).collect();
        write!(f, "allow = [{}]", names.join(", "))
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Allowed::Grid => f.write_str(GRID),
            Allowed::Params => f.write_str(PARAMS),
            Allowed::Param(name) => write!(f, "{PARAMS}.{name}"),
        }
    }
}

impl FromStr for Allowed {
    type Err = AllowedError;

    fn from_str(text: &str) -> Result<Self, AllowedError> {
        let refused = || AllowedError(text.chars().take(PARAM_NAME_MAX).collect());
        match text.split_once('.') {
            None if text == PARAMS => Ok(Allowed::Params),
            None if text == GRID => Ok(Allowed::Grid),
            Some((PARAMS, name)) if is_name(name) => Ok(Allowed::Param(name.to_owned())),
            None | Some(_) => Err(refused()),
        }
    }
}

/// A parameter with a dot in its name can be allowed together with all others only: `params.a.b` would be
/// read as a piece of a parameter, which nothing allows.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= PARAM_NAME_MAX && !name.contains('.')
}

impl TryFrom<String> for Allowed {
    type Error = AllowedError;

    fn try_from(text: String) -> Result<Self, AllowedError> {
        text.parse()
    }
}

impl From<Allowed> for String {
    fn from(allowed: Allowed) -> String {
        allowed.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_of_what_may_change_is_closed() {
        for text in ["params", "grid", "params.day", "params.größe"] {
            assert_eq!(text.parse::<Allowed>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "sql",
            "sql.statement",
            "handler",
            "queue",
            "Params",
            "params.",
            "params.a.b",
            "*",
            "grid.slices",
        ] {
            assert!(text.parse::<Allowed>().is_err(), "{text}");
        }
    }

    #[test]
    fn one_parameter_that_is_allowed_opens_no_other() {
        let one = SubmitSpec {
            allow: [Allowed::Param("day".into())].into(),
        };
        assert!(one.allows_param("day") && !one.allows_param("da") && !one.allows_grid());
        let none = SubmitSpec {
            allow: BTreeSet::new(),
        };
        assert!(!none.allows_param("day"));
        let usual = SubmitSpec::default();
        assert!(usual.allows_param("whatever") && !usual.allows_grid());
    }
}
