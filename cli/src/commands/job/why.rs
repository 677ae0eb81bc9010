//! `job why`: what became of one nominal time, or will. A run is told by its nominal time, one by hand in [`by_hand`].

use gridloom_planner::prospect::why;
use gridloom_shared::schedule::fired::nominal_of;

use super::fires::on_record;
use super::stopped;
use super::times::moment;
use crate::args::WhyArgs;
use crate::context::Context;
use crate::fault::Misuse;

mod by_hand;

/// Says what was decided of one nominal time, and why.
pub(super) async fn why(context: &Context, args: &WhyArgs) -> anyhow::Result<()> {
    let broker = context.ask().await?;
    let (fires, plan) = on_record(&broker, &args.job).await?;
    let at = match by_hand::run(args)? {
        None => moment(&plan, &args.time)?,
        Some(run) => match nominal_of(&run) {
            Some(at) => at,
            None => return by_hand::why(context, &broker, &fires, &run).await,
        },
    };
    let answer = why::of_moment(&broker, &args.job, (&fires, &plan), at).await?;
    if let Some(stopped) = &fires.stopped {
        stopped::say(context, stopped);
    }
    if context.output.is_json() {
        context.output.document(&answer);
    }
    match answer.is_an_answer() {
        true if context.output.is_json() => {}
        true => context.output.say(answer.paragraph()),
        false => return Err(Misuse::error(answer.paragraph())),
    }
    Ok(())
}
