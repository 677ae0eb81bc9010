//! `gridloom log`: who has ordered what; and that what is ordered here is on record, too.

use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::orders::actions::{self, Action, Recorded, Way};

use crate::args::LogArgs;
use crate::context::{Context, who};
use crate::fault::Verdict;
use crate::output::{Align, Table};

/// How long the broker is waited for to have it: no order waits for that.
const SENT: Duration = Duration::from_millis(500);

/// Puts on record what is ordered next. Whoever may not write that orders all the same: nothing depends on it.
pub(super) async fn mention(broker: &Broker, what: &str, of: &str, detail: &str) {
    let action = Action {
        by: who(),
        way: Way::Command,
        what: what.to_owned(),
        of: of.to_owned(),
        detail: detail.to_owned(),
        request: String::new(),
    };
    if actions::mention(broker, &action).await.is_ok() {
        let _ = tokio::time::timeout(SENT, broker.flush()).await;
    }
}

/// Lists orders, the newest first.
///
/// # Errors
/// When the broker does not answer.
pub async fn list(context: &Context, args: &LogArgs) -> anyhow::Result<Verdict> {
    let broker = context.ask().await?;
    let (listed, older) = actions::list(&broker, args.limit, None).await?;
    context.output.show(&listed, |output| {
        let mut table = Table::new([
            ("at", Align::Left),
            ("by", Align::Left),
            ("way", Align::Left),
            ("what", Align::Left),
            ("of", Align::Left),
            ("detail", Align::Left),
        ]);
        for recorded in &listed {
            table.row(cells(recorded));
        }
        output.table(&table, "nothing was ordered yet");
        if older {
            output.note("there are older ones; see them with --limit");
        }
    });
    Ok(Verdict::Fine)
}

fn cells(recorded: &Recorded) -> [String; 6] {
    let at = recorded.at.clone();
    let Some(action) = &recorded.action else {
        let empty = String::new;
        return [
            at,
            empty(),
            empty(),
            "cannot be read".to_owned(),
            empty(),
            empty(),
        ];
    };
    let way = match action.way {
        Way::Api => "api",
        Way::Command => "command",
    };
    [
        at,
        action.by.clone(),
        way.to_owned(),
        action.what.clone(),
        action.of.clone(),
        action.detail.clone(),
    ]
}
