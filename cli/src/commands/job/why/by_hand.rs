//! What became of a run that was asked for by hand with an overlap policy: it has no nominal time, and is known by its id.

use gridloom_planner::prospect::why::{Decided, decisions};
use gridloom_shared::broker::Broker;
use gridloom_shared::id::RunId;
use gridloom_shared::reads::fires::Fires;
use serde_json::json;

use crate::args::WhyArgs;
use crate::context::Context;
use crate::fault::Misuse;

/// The run that is asked about, where it is one and no time: a time has no underscore.
pub(super) fn run(args: &WhyArgs) -> anyhow::Result<Option<RunId>> {
    if !args.time.contains('_') {
        return Ok(None);
    }
    let run = RunId::new(&args.time).ok();
    let of_job = run.filter(|run| run.job() == args.job.as_str());
    let wrong = || Misuse::error(format!("{} is no run of job {}", args.time, args.job));
    of_job.map(Some).ok_or_else(wrong)
}

/// Says what was decided of it.
pub(super) async fn why(
    context: &Context,
    broker: &Broker,
    fires: &Fires,
    run: &RunId,
) -> anyhow::Result<()> {
    let decisions = decisions(broker, fires, |told| told.run.as_ref() == Some(run)).await;
    let Some(last) = decisions.last() else {
        return Err(Misuse::error(format!(
            "nothing is on record of run {run}: only runs that were asked for with --overlap have a decision of their own; \
             see gridloom show {run}"
        )));
    };
    let state = match last.told.decision {
        "queued" => "waiting",
        _ => "decided",
    };
    let document = json!({ "job": run.job(), "run": run, "state": state, "decisions": decisions });
    context.output.show(&document, |output| {
        let sentences: Vec<String> = decisions.iter().map(Decided::sentence).collect();
        output.say(format!("run {run}: {}", sentences.join(". ")));
    });
    Ok(())
}
