//! Whether somebody really wants what would be done: asked at a terminal, and a program has to say `--yes`.

use std::io::{self, BufRead, IsTerminal};

use crate::context::Context;
use crate::fault::Misuse;

/// Asks `question` at a terminal. Elsewhere nobody can be asked whether to do `what`.
///
/// # Errors
/// When nobody can be asked.
pub(super) fn is_wanted(context: &Context, question: &str, what: &str) -> anyhow::Result<bool> {
    let somebody = io::stdin().is_terminal() && io::stderr().is_terminal();
    if context.output.is_json() || !somebody {
        return Err(Misuse::error(format!(
            "nobody can be asked here whether to {what}: add --yes"
        )));
    }
    context.output.ask(&format!("{question} [y/N] "));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    let answer = answer.trim().to_lowercase();
    Ok(answer == "y" || answer == "yes")
}
