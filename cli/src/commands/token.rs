//! `gridloom token`: a new token for the HTTP API, and what the configuration is to hold of it.

use gridloom_planner::api::access::{Token, digest};
use gridloom_shared::chain;
use serde_json::json;

use crate::args::TokenArgs;
use crate::context::Context;
use crate::fault::{Misuse, Verdict};

/// What each begins with: whoever finds one somewhere knows what it is.
const PREFIX: &str = "glt_";

/// Prints a token by chance, and its digest. Nothing is kept of it.
///
/// # Errors
/// When the name is none.
pub fn run(context: &Context, args: &TokenArgs) -> anyhow::Result<Verdict> {
    let (name, role) = (&args.name, args.role);
    let chance = || uuid::Uuid::new_v4().simple().to_string();
    let token = format!("{PREFIX}{}{}", chance(), chance());
    let sha256 = digest(&token);
    let checked = Token::new(name, role, &sha256);
    checked.map_err(|error| Misuse::error(chain(&error).to_string()))?;
    let document = json!({ "name": name, "role": role, "token": token, "sha256": sha256 });
    context.output.show(&document, |output| {
        output.say(&token);
        output.note("it is shown this once; the planners need to know, in their configuration:");
        output.say("");
        output.say("[[api.tokens]]");
        output.say(format!("name = \"{name}\""));
        output.say(format!("role = \"{role}\""));
        output.say(format!("sha256 = \"{sha256}\""));
        output.note(format!("or GRIDLOOM_API_TOKENS={name}={role}:{sha256}"));
    });
    Ok(Verdict::Fine)
}
