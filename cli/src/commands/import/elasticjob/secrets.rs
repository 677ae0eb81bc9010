//! What of `props` must not get among the parameters without a word. They stand in the definition and in each run, for whoever may read
//! those, and are kept for as long.

use super::super::note::Kind;
use super::super::reading::Reading;

/// Kinds of error handlers that tell somebody, whose passwords and addresses stand in `props` below their names. Here alerts
/// come from the metrics.
pub(super) const TELLERS: &[&str] = &["EMAIL", "WECHAT", "DINGTALK"];

/// Words in the names of what is likely a secret.
const WORDS: &[&str] = &["password", "passwd", "secret", "token"];

/// The `props` without those of the job's error handler; asks about others that look like secrets. No value is told.
pub(super) fn without(reading: &mut Reading<'_>) -> Vec<(String, String)> {
    let kind = reading.same_text("jobErrorHandlerType");
    let kind = kind.map(|kind| kind.trim().to_ascii_uppercase());
    let teller = kind.filter(|kind| TELLERS.contains(&kind.as_str()));
    let of_teller = teller.map(|kind| format!("{}.", kind.to_ascii_lowercase()));
    let mut kept = Vec::new();
    for (name, value) in reading.props() {
        let field = format!("props.{name}");
        let low = name.to_ascii_lowercase();
        if of_teller
            .as_ref()
            .is_some_and(|begin| low.starts_with(begin))
        {
            let text =
                "is of the error handler, which is not needed here: it is not among the params";
            reading.note(Kind::Dropped, &field, text);
            continue;
        }
        if WORDS.iter().any(|word| low.contains(word)) {
            let text = "looks like a secret, and params are on record with the job and with each of its runs, for whoever may read those: can its code \
                        have it from elsewhere, as the worker's environment? If it is none, leave it";
            reading.note(Kind::Open, &field, text);
        }
        kept.push((name, value));
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::super::imported::Imported;
    use super::super::super::{found, node};
    use super::super::import;
    use super::*;

    fn one(text: &str) -> Imported {
        let tree = node::read(Path::new("a.yml"), text).unwrap();
        let found = found::jobs(&tree, &mut Vec::new());
        import(&found[0], None)
    }

    #[test]
    fn what_an_error_handler_was_told_is_not_among_the_params() {
        for (kind, name) in [
            ("EMAIL", "email.password"),
            ("email", "email.host"),
            ("WECHAT", "wechat.webhook"),
            ("DINGTALK", "dingtalk.secret"),
        ] {
            let job = one(&format!(
                "jobName: a\nshardingTotalCount: 1\njobErrorHandlerType: {kind}\nprops: {{{name}: hunter2, dir: /data}}\n"
            ));
            assert_eq!(
                job.spec().params["props"],
                serde_json::json!({"dir": "/data"})
            );
            let field = format!("props.{name}");
            assert!(
                job.said().contains(&(Kind::Dropped, field.as_str())),
                "{name}"
            );
            assert!(!job.is_open(), "{:?}", job.notes);
            assert!(job.notes.iter().all(|note| !note.text.contains("hunter2")));
        }
    }

    #[test]
    fn props_that_look_like_secrets_are_asked_about() {
        for name in ["db.Password", "API_TOKEN", "clientSecret", "email.password"] {
            let job = one(&format!(
                "jobName: a\nshardingTotalCount: 1\nprops: {{{name}: hunter2}}\n"
            ));
            let field = format!("props.{name}");
            assert!(job.said().contains(&(Kind::Open, field.as_str())), "{name}");
            assert_eq!(job.spec().params["props"][name], "hunter2");
        }
    }
}
