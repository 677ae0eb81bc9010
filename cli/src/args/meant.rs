//! What somebody may have meant whose words cannot be read.

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue};
use gridloom_shared::id::JobName;

use super::Line;

/// The word of `gridloom job` that was typed without its `job`.
pub fn word_of_job(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let line = Line::command();
    let job = line.find_subcommand("job")?;
    let known = job.find_subcommand(word)?;
    Some(known.get_name().to_owned())
}

/// The job whose name was typed where the id of a run belongs.
pub fn job_for_run(error: &clap::Error) -> Option<JobName> {
    let of = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let argument = of(ContextKind::InvalidArg)?;
    let is_run = argument.trim_matches(['[', ']', '<', '>']) == "RUN";
    JobName::new(of(ContextKind::InvalidValue).filter(|_| is_run)?).ok()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn word_of_job_is_known_where_it_stands_alone() {
        let of = |words: &[&str]| word_of_job(&Line::try_parse_from(words).unwrap_err());
        assert_eq!(
            of(&["gridloom", "apply", "a.toml"]).as_deref(),
            Some("apply")
        );
        assert_eq!(of(&["gridloom", "aply", "a.toml"]), None);
    }
}
