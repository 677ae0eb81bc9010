//! What does not leave the house. Secrets never do: values under keys that are called so, and users and passwords of
//! addresses. Names of hosts and addresses get a name that says nothing, one host the same one everywhere. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use serde_json::Value;

/// What stands in the place of a secret.
const REMOVED: &str = "(removed)";
/// A key that has one of these in it holds one.
const SECRET: [&str; 21] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "credential",
    "creds",
    "apikey",
    "accesskey",
    "privatekey",
    "signingkey",
    "accountkey",
    "sharedkey",
    "masterkey",
    "cryptionkey",
    "hmackey",
    "sshkey",
    "authorization",
    "bearer",
    "cookie",
];
/// And one that ends so.
const SECRET_END: [&str; 5] = ["nkey", "pwd", "private", "pass", "jwt"];

fn is_secret(key: &str) -> bool {
    let plain: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_lowercase();
    SECRET.iter().any(|word| plain.contains(word))
        || SECRET_END.iter().any(|word| plain.ends_with(word))
}

/// Takes secrets out.
pub(super) fn secrets(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if is_secret(key) && !value.is_null() {
                    *value = REMOVED.into();
                } else {
                    secrets(value);
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(secrets),
        Value::String(text) => *text = without_assigned(&without_users(&without_blocks(text))),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// How a block of PEM begins, before its name; credentials of NATS are two of them.
const BLOCK: &str = "-----BEGIN ";
/// And how it ends.
const BLOCK_END: &str = "-----END ";
/// What stands in the names of those that hold a secret.
const SECRET_BLOCK: [&str; 3] = ["PRIVATE KEY", "SEED", "JWT"];

/// The text without what stands in its private keys and credentials, under whatever name they are given.
fn without_blocks(text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(BLOCK) {
        all.push_str(before);
        all.push_str(BLOCK);
        rest = after;
        let Some((name, _)) = after.split_once('-') else {
            break;
        };
        if SECRET_BLOCK.iter().any(|secret| name.contains(secret)) {
            all.push_str(name);
            all.push_str(REMOVED);
            // One that was cut off hides all that follows.
            rest = &after[after.find(BLOCK_END).unwrap_or(after.len())..];
        }
    }
    all + rest
}

/// The text with `scheme://user:password@` as `scheme://`.
fn without_users(text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        all.push_str(before);
        all.push_str("://");
        let word = after.find(|c: char| c.is_whitespace() || "\"<>".contains(c));
        let word = &after[..word.unwrap_or(after.len())];
        let authority = word.split('/').next().unwrap_or_default();
        // Not escaped, a password may have a slash in it: what stands behind the colon is no port then.
        let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
        let is_port = port.bytes().all(|b| b.is_ascii_digit() || b == b']');
        let is_cut = !is_port && !authority.contains('@');
        let user = if is_cut { word } else { authority };
        rest = user.rfind('@').map_or(after, |at| &after[at + 1..]);
    }
    all + rest
}

/// The text with `password=x`, `"password": "x"` and the like without what is given there: messages that could not be
/// understood, records and errors are texts.
fn without_assigned(text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    let mut from = 0;
    for (at, _) in text.match_indices([':', '=']) {
        let name = text[..at].trim_end_matches(|c: char| c.is_whitespace() || "\\\"'".contains(c));
        let is_end = |c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c);
        let name = name.rsplit(is_end).next().unwrap_or_default();
        if at < from || !is_secret(name) {
            continue;
        }
        if let Some((begin, end)) = given(text, at + 1) {
            all.push_str(&text[from..begin]);
            all.push_str(REMOVED);
            from = end;
        }
    }
    all + &text[from..]
}

/// Where a value stands that begins behind `at`, without its quotes.
fn given(text: &str, at: usize) -> Option<(usize, usize)> {
    let rest = text[at..].trim_start();
    let open = rest.trim_start_matches('\\');
    let slashes = rest.len() - open.len();
    let begin = text.len() - open.len();
    let quote = open.chars().next().filter(|c| "\"'".contains(*c));
    let Some(quote) = quote else {
        let ends = |c: char| c.is_whitespace() || ",;&}])\"'".contains(c);
        let first = open.find(ends).unwrap_or(open.len());
        // The name of a scheme, and what is given by it.
        let scheme = ["bearer", "basic"].contains(&open[..first].to_ascii_lowercase().as_str());
        let more = open[first..].trim_start();
        let end = match scheme {
            true => text.len() - more.len() + more.find(ends).unwrap_or(more.len()),
            false => begin + first,
        };
        let is_address = open.starts_with("//");
        return (end > begin && !is_address).then_some((begin, end));
    };
    // As many backslashes as before the first quote stand before the last.
    let begin = begin + 1;
    let closes = |place: &usize| {
        let before = &text[begin..begin + place];
        before.len() - before.trim_end_matches('\\').len() == slashes
    };
    let mut quotes = text[begin..].match_indices(quote).map(|(place, _)| place);
    let end = quotes.find(closes).map(|place| begin + place - slashes);
    let end = end.unwrap_or(text.len());
    (end > begin).then_some((begin, end))
}

/// Hosts, and what each is called instead.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    names: BTreeMap<String, String>,
}

/// Hosts that say nothing of anybody.
const ANYBODY: [&str; 4] = ["localhost", "127.0.0.1", "0.0.0.0", "::1"];

impl Hosts {
    /// Those that `address` names.
    pub(super) fn of(address: &str) -> Hosts {
        let mut hosts = Hosts::default();
        for one in address.split(',') {
            let behind = one.split_once("://").map_or(one, |(_, rest)| rest);
            let behind = behind.rsplit_once('@').map_or(behind, |(_, rest)| rest);
            let host = behind.split(['/', '?']).next().unwrap_or_default();
            hosts.add(without_port(host));
        }
        hosts
    }

    fn add(&mut self, host: &str) {
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        if host.is_empty() || ANYBODY.contains(&host.as_str()) || self.names.contains_key(&host) {
            return;
        }
        let name = format!("masked-{}", self.names.len() + 1);
        self.names.insert(host, name);
    }

    /// Learns hosts from what a document says: from names of processes, of brokers and their clusters, and from whatever
    /// looks like an address.
    pub(super) fn learn(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    if let Value::String(text) = value {
                        self.learn_named(key, text);
                    }
                    if key == "replicas" {
                        self.learn_members(value);
                    }
                    self.learn(value);
                }
            }
            Value::Array(all) => all.iter().for_each(|value| self.learn(value)),
            Value::String(text) => {
                words(text).for_each(|(at, word)| self.learn_word(text, at, word))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn learn_named(&mut self, key: &str, text: &str) {
        match key {
            "worker" | "holder_name" | "name" | "by" => {
                if let Some(host) = host_of_process(text) {
                    self.add(host);
                }
            }
            // Of a stream on a cluster: its members.
            "leader" | "host" | "server_name" => self.add(text),
            _ => {}
        }
    }

    /// Members of a stream on a cluster, beside the one that leads it.
    fn learn_members(&mut self, members: &Value) {
        for member in members.as_array().into_iter().flatten() {
            self.add(member["name"].as_str().unwrap_or_default());
        }
    }

    /// An address by its looks.
    fn learn_word(&mut self, text: &str, at: usize, word: &str) {
        let is_address = word.parse::<IpAddr>().is_ok();
        let behind_scheme = text[..at].ends_with("://") || text[..at].ends_with('@');
        let rest = &text[at + word.len()..];
        let port = rest
            .strip_prefix(':')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let is_name = word.starts_with(|c: char| c.is_ascii_alphabetic()) && word.contains('.');
        let named = ["host=", "server="]
            .iter()
            .any(|key| text[..at].ends_with(key));
        if is_address || behind_scheme || named || (port && is_name) {
            self.add(word);
        }
    }

    /// Gives each host that is known its other name.
    pub(super) fn mask(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => fields.values_mut().for_each(|value| self.mask(value)),
            Value::Array(all) => all.iter_mut().for_each(|value| self.mask(value)),
            Value::String(text) => *text = self.masked(text),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn masked(&self, text: &str) -> String {
        let mut all = String::with_capacity(text.len());
        let mut from = 0;
        for (at, word) in words(text) {
            all.push_str(&text[from..at]);
            all.push_str(&self.masked_word(word));
            from = at + word.len();
        }
        all + &text[from..]
    }

    /// A word that is a host, or the name of a process on one: `web-1-4711-7f3a`. The longest host counts.
    fn masked_word(&self, word: &str) -> String {
        let lower = word.to_ascii_lowercase();
        let fits = |host: &&String| {
            let rest = lower.strip_prefix(host.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']))
        };
        let longest = self.names.keys().filter(fits).max_by_key(|host| host.len());
        match longest.and_then(|host| self.names.get_key_value(host)) {
            Some((host, name)) => format!("{name}{}", &word[host.len()..]),
            None => word.to_owned(),
        }
    }
}

/// The host of a process that nobody named: `host-1234-7f3a`.
fn host_of_process(name: &str) -> Option<&str> {
    let (rest, chance) = name.rsplit_once('-')?;
    let (host, id) = rest.rsplit_once('-')?;
    let is_chance = chance.len() == 4 && chance.bytes().all(|b| b.is_ascii_hexdigit());
    let is_id = !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
    (is_chance && is_id).then_some(host)
}

/// An address without its port.
fn without_port(host: &str) -> &str {
    if host.starts_with('[') {
        return host.split(']').next().unwrap_or(host);
    }
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) => {
            name
        }
        _ => host,
    }
}

/// What could be a host in a text, and where: runs of the letters of names and addresses.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-.:_".contains(c);
    let mut from = 0;
    let runs = std::iter::from_fn(move || {
        let start = from + text[from..].find(is_part)?;
        let length = text[start..]
            .find(|c| !is_part(c))
            .unwrap_or(text.len() - start);
        from = start + length;
        Some((start, &text[start..from]))
    });
    runs.flat_map(|(at, run)| {
        // An IPv6 address is a word with its colons; anywhere else they stand between words.
        let trimmed = run.trim_end_matches([':', '.']);
        if trimmed.parse::<Ipv6Addr>().is_ok() {
            return vec![(at, trimmed)];
        }
        let mut place = at;
        let mut parts = Vec::new();
        for part in run.split(':') {
            let word = part.trim_end_matches('.');
            if !word.is_empty() {
                parts.push((place, word));
            }
            place += part.len() + 1;
        }
        parts
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn masked(address: &str, mut document: Value) -> Value {
        let mut hosts = Hosts::of(address);
        hosts.learn(&document);
        hosts.mask(&mut document);
        document
    }

    #[test]
    fn secrets_are_removed_wherever_they_stand() {
        let mut document = json!({
            "params": { "db_password": "x1", "apiKey": "x2", "note": "see postgres://me:x3@db/a?b" },
            "list": [ { "Token": "x4" }, "nats://x5@10.0.0.1:4222,nats://u:x6@b" ],
            "empty": { "secret": null },
        });
        secrets(&mut document);
        let text = document.to_string();
        for number in 1..=6 {
            assert!(!text.contains(&format!("x{number}")), "{text}");
        }
        assert!(text.contains("see postgres://db/a?b"), "{text}");
        assert!(text.contains("nats://10.0.0.1:4222,nats://b"), "{text}");
        assert_eq!(document["empty"]["secret"], Value::Null);
    }

    #[test]
    fn secrets_are_removed_from_texts_and_under_all_their_usual_names() {
        let mut document = json!({
            "private_key": "Z1", "aws_secret_access_key": "Z2", "passphrase": "Z3", "pwd": "Z4",
            "Authorization": "Bearer Z5", "db_password2": "Z6", "tokens": ["Z7"],
            "comma": "postgres://me:Z8,Z8'Z8@db/a", "slash": "mysql://me:Z9/Z9@db/a",
            "excerpt": "{\"id\":\"y\",\"params\":{\"password\":\"Z10\"}", "cut": "{\"token\": \"Z11",
            "dsn": "host=db password=Z12 user=me", "args": "--password=Z13 authorization: Bearer Z14 end",
            "debug": "Kept { body: \"{\\\"secret\\\":\\\"Z15\\\"}\" }", "option": "?sslmode=a&password=Z16&b=c",
            "escaped": "{\"password\":\"a\\\"Z17\"}", "db_pass": "Z18", "AccountKey": "Z19", "encryption-key": "Z20",
            "blob": "DefaultEndpointsProtocol=https;AccountKey=Z21==;End=a",
            "pem": "a\n-----BEGIN RSA PRIVATE KEY-----\nZ22\n-----END RSA PRIVATE KEY-----\nb",
            "login": "-----BEGIN NATS USER JWT-----\nZ23\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\nZ24",
        });
        secrets(&mut document);
        let text = document.to_string();
        assert!(!text.contains('Z'), "{text}");
        assert!(
            text.contains("host=db password=(removed) user=me"),
            "{text}"
        );
        assert!(
            text.contains("(removed) end") && text.contains("&b=c"),
            "{text}"
        );
        for plain in [
            "at 12:30, token",
            "password",
            "a=b",
            "see token://a/b:1",
            "secret: ",
        ] {
            assert_eq!(without_assigned(plain), plain);
        }
        for plain in [
            "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----",
            "-----BEGIN ",
        ] {
            assert_eq!(without_blocks(plain), plain);
        }
    }

    #[test]
    fn host_is_one_host_wherever_it_stands_and_no_other() {
        let document = json!({
            "nats": "nats://broker.example.org:4222",
            "workers": [ { "worker": "web-1-4711-7f3a" }, { "worker": "web-2-9-00ff" }, { "worker": "named" } ],
            "error": "reach broker.example.org: refused by 10.1.2.3:4222 and [2001:db8::7]:4222, not db.internal:5432.",
            "log": "web-1-4711-7f3a is dead, web-12 is not; queue web-1.ledger",
            "cluster": { "leader": "member-0", "replicas": [ { "name": "member-1" } ] },
        });
        let told = masked("nats://user@broker.example.org:4222", document);
        let text = told.to_string();
        for host in [
            "broker.example.org",
            "web-1-",
            "10.1.2.3",
            "2001:db8",
            "db.internal",
            "member-",
        ] {
            assert!(!text.contains(host), "{host} in {text}");
        }
        let of = |place: &str| {
            told.pointer(place)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let broker = of("/nats").replace("nats://", "").replace(":4222", "");
        assert!(
            of("/error").starts_with(&format!("reach {broker}: refused")),
            "{text}"
        );
        let worker = of("/workers/0/worker");
        assert!(worker.ends_with("-4711-7f3a"), "{worker}");
        assert!(
            of("/log").starts_with(&format!("{worker} is dead, web-12 is not")),
            "{text}"
        );
        let host = |worker: &str| worker.split('-').take(2).collect::<Vec<_>>().join("-");
        assert_ne!(host(&worker), host(&of("/workers/1/worker")));
        assert_eq!(of("/workers/2/worker"), "named");
    }

    #[test]
    fn times_subjects_and_this_machine_stay_as_they_are() {
        let document = json!({
            "at": "2026-11-29T05:24:56.492Z", "subject": "test.ledger.default.a_r_00.plan",
            "nats": "nats://127.0.0.1:4222", "ratio": "1:2", "words": "retention: limits; at 12:30:01.",
        });
        assert_eq!(masked("nats://127.0.0.1:4222", document.clone()), document);
    }
}
