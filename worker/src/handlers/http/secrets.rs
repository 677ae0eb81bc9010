//! The secrets that a request carries: read when they are needed, and taken out of whatever is told of its answer.

use std::collections::BTreeMap;

use gridloom_shared::chain;
use gridloom_shared::secret::Secret;
use serde_json::Value;

use super::escapes::encoded;
use super::service::{HttpService, SECRET};
use crate::failure::Failure;
use crate::handlers::lacking::Lacking;
use crate::shard::Shard;

/// Those of one service, and which of them were used.
pub(super) struct Secrets<'s> {
    known: &'s BTreeMap<String, Secret>,
    lacking: &'s Lacking,
    used: Vec<(String, String)>,
    /// Whether one of them is that by which callbacks are known.
    calls_back: bool,
}

impl<'s> Secrets<'s> {
    /// `known` are those of the service; `lacking` says what becomes of a shard whose job names another one.
    pub(super) fn of(known: &'s BTreeMap<String, Secret>, lacking: &'s Lacking) -> Secrets<'s> {
        Secrets {
            known,
            lacking,
            used: Vec::new(),
            calls_back: false,
        }
    }

    /// Those of `service`.
    pub(super) fn of_service(service: &'s HttpService, lacking: &'s Lacking) -> Secrets<'s> {
        Secrets {
            calls_back: service.callback.is_some(),
            ..Secrets::of(&service.secrets, lacking)
        }
    }

    /// The secret of that name, as it stands now.
    pub(super) fn get(&mut self, name: &str, shard: &Shard) -> Result<String, Failure> {
        if self.calls_back && name == SECRET {
            return Err(Failure::permanent(format!(
                "fill in {{secret.{SECRET}}}: callbacks are known by it, so no request carries it"
            )));
        }
        if let Some((_, text)) = self.used.iter().find(|(known, _)| known == name) {
            return Ok(text.clone());
        }
        let place = self.known.get(name);
        let place = place.ok_or_else(|| self.lacking.failure(name, self.known.keys(), shard))?;
        let text = place.read("the secret");
        // It is being written anew, perhaps.
        let text = text.map_err(|error| Failure::retry(chain(&error).to_string()))?;
        self.used.push((name.to_owned(), text.clone()));
        Ok(text)
    }

    /// Something else that is sent is told as the secret of that name, too.
    pub(super) fn hide(&mut self, name: &str, text: String) {
        self.used.push((name.to_owned(), text));
    }

    /// The text without what was sent of secrets: servers repeat what they do not understand.
    pub(super) fn out_of(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        let mut used: Vec<_> = self.used.iter().collect();
        // Of one that another one begins with nothing is to stay.
        used.sort_by_key(|(_, secret)| std::cmp::Reverse(secret.len()));
        for (name, secret) in used {
            let json = Value::from(secret.as_str()).to_string();
            let forms = [
                secret.clone(),
                json.trim_matches('"').to_owned(),
                encoded(secret),
            ];
            for form in forms {
                clean = clean.replace(&form, &format!("(secret {name})"));
            }
        }
        clean
    }
}

#[cfg(test)]
mod tests {
    use gridloom_shared::job::handlers::named::Named;

    use super::*;
    use crate::Trial;

    #[test]
    fn secret_that_a_server_repeats_is_told_by_its_name_however_it_is_written() {
        let known = [("token".to_owned(), Secret::from("hunter 2\""))].into();
        let lacking = Lacking::new(Named::Secret);
        let mut secrets = Secrets::of(&known, &lacking);
        let told = "no: hunter 2\" {\"a\": \"hunter 2\\\"\"} hunter%202%22";
        assert_eq!(secrets.out_of(told), told, "it was not sent");
        let shard = Trial::new("sizes", "http").shard();
        assert_eq!(secrets.get("token", &shard).unwrap(), "hunter 2\"");
        let clean = secrets.out_of(told);
        assert!(!clean.contains("hunter"), "{clean}");
        assert_eq!(clean.matches("(secret token)").count(), 3);
    }

    #[test]
    fn secret_that_begins_as_another_one_is_told_by_its_own_name() {
        let known = [("a", "hunter"), ("b", "hunter-and-more")];
        let known = known.map(|(name, secret)| (name.to_owned(), Secret::from(secret)));
        let (known, lacking) = (known.into(), Lacking::new(Named::Secret));
        let mut secrets = Secrets::of(&known, &lacking);
        let shard = Trial::new("sizes", "http").shard();
        for name in ["a", "b"] {
            secrets.get(name, &shard).unwrap();
        }
        let clean = secrets.out_of("no: hunter-and-more, hunter");
        assert_eq!(clean, "no: (secret b), (secret a)");
    }
}
