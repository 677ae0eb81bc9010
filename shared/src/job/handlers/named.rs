//! What the settings of a job name and a worker's configuration has: a database, a command, a service. What such a name is
//! for, and how it is mended where it is not known.

use serde_json::Value;

use super::http;

/// A kind of name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// `[sql] database`.
    Database,
    /// `[exec] command`.
    Command,
    /// The origin of `[http] url`.
    Service,
    /// `{secret.NAME}` in what a request to a service carries.
    Secret,
}

/// What a worker knows that knows every service.
pub const ANY: &str = "*";

impl Named {
    /// What jobs of the handler name.
    pub fn by(handler: &str) -> Option<Named> {
        match handler {
            "sql" => Some(Named::Database),
            "exec" => Some(Named::Command),
            "http" => Some(Named::Service),
            _ => None,
        }
    }

    /// The name in the settings of a job.
    pub fn name_in(self, settings: &Value) -> Option<String> {
        match self {
            Named::Database | Named::Command => {
                Some(settings.get(self.kind())?.as_str()?.to_owned())
            }
            Named::Service => http::wanted_by(settings),
            Named::Secret => None,
        }
    }

    /// Whether whoever knows `known` knows `name`.
    pub fn covers(self, known: &str, name: &str) -> bool {
        let is_any = self == Named::Service && known == ANY;
        known == name || (is_any && http::calling_back(name).is_none())
    }

    /// What it is. Of a database and a command that is the key of the handler's table as well.
    pub fn kind(self) -> &'static str {
        match self {
            Named::Database => "database",
            Named::Command => "command",
            Named::Service => "service",
            Named::Secret => "secret",
        }
    }

    /// Where a job names it.
    pub fn path(self) -> &'static str {
        match self {
            Named::Database => "sql.database",
            Named::Command => "exec.command",
            Named::Service => "http.url",
            Named::Secret => "http",
        }
    }

    /// What to do where some worker does not have `name`.
    pub fn advice(self, name: &str) -> String {
        match self {
            Named::Database => format!(
                "name one of theirs in [sql] database and apply the job, or give each worker of the queue this one \
                 (worker.databases, --database {name}=URL)"
            ),
            Named::Command if is_line(name) => format!(
                "[exec] command is a name and not a command line: give each worker of the queue the line under a name \
                 (worker.exec, --exec NAME='{name}'), and say command = \"NAME\""
            ),
            Named::Command => format!(
                "name one of theirs in [exec] command and apply the job, or give each worker of the queue this one \
                 (worker.exec, --exec {name}=COMMAND)"
            ),
            Named::Service if let Some(origin) = http::calling_back(name) => format!(
                "leave http.callback out of [http] and apply the job, or say on each worker of the queue where the service \
                 {origin} calls back (worker.http.NAME.callback, and the secret worker.http.NAME.secrets.callback)"
            ),
            Named::Service => format!(
                "ask one of theirs in [http] url and apply the job, or let each worker of the queue ask this one \
                 (worker.http, --http NAME={name})"
            ),
            Named::Secret => format!(
                "name one of theirs and apply the job, or give each worker of the queue this one for the service that is \
                 asked (worker.http.NAME.secrets, GRIDLOOM_WORKER_HTTP_SECRETS: NAME.{name}=VALUE)"
            ),
        }
    }
}

/// Whether a command's name is a program, perhaps with its arguments.
fn is_line(name: &str) -> bool {
    name.contains(|c: char| c.is_whitespace() || c == '/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_in_the_place_of_a_name_is_told_as_such() {
        for line in ["python3 wc.py", "./resize.sh"] {
            let advice = Named::Command.advice(line);
            assert!(
                advice.contains(&format!("--exec NAME='{line}'")),
                "{advice}"
            );
            assert!(advice.contains("a name and not a command line"), "{advice}");
        }
        assert!(Named::Command.advice("wc").contains("--exec wc=COMMAND"));
        assert!(Named::Database.advice("a b").contains("--database a b=URL"));
    }
}
