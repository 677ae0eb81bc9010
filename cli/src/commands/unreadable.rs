//! `gridloom unreadable`: messages that could not be understood or carried out, and why.

use std::time::Duration;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::reads::refused::{self, Refused};

use super::log;
use crate::args::{Numbers, Unreadable};
use crate::context::Context;
use crate::fault::{Misuse, Verdict};
use crate::output::{Align, Table, counted, spoken};

/// Lists or removes them.
///
/// # Errors
/// When the broker does not answer, or a number is none of theirs.
pub async fn run(context: &Context, order: Unreadable) -> anyhow::Result<Verdict> {
    match order {
        Unreadable::List { limit } => list(context, limit).await?,
        Unreadable::Drop(which) => forget(context, which).await?,
    }
    Ok(Verdict::Fine)
}

async fn list(context: &Context, limit: usize) -> anyhow::Result<()> {
    let broker = context.ask().await?;
    let listed = refused::list(&broker, limit).await?;
    context.output.show(&listed.messages, |output| {
        let mut table = Table::new([
            ("number", Align::Right),
            ("age", Align::Right),
            ("subject", Align::Left),
            ("bytes", Align::Right),
            ("reason", Align::Left),
        ]);
        for message in &listed.messages {
            table.row(cells(message));
        }
        output.table(&table, "no message was refused or set aside");
        if listed.older > 0 {
            let more = counted(listed.older, "older one");
            output.note(format!("{more} more; see them with --limit"));
        }
    });
    Ok(())
}

fn cells(message: &Refused) -> [String; 5] {
    let number = message.number.to_string();
    let Some(record) = &message.record else {
        let reason = "its record cannot be read".to_owned();
        return [number, String::new(), String::new(), String::new(), reason];
    };
    let age = Duration::from_millis(UnixMs::now().0.saturating_sub(record.at.0));
    [
        number,
        spoken(age),
        record.subject.clone(),
        record.size.to_string(),
        record.reason.clone(),
    ]
}

async fn forget(context: &Context, which: Numbers) -> anyhow::Result<()> {
    let broker = context.ask().await?;
    let numbers: Vec<String> = which.numbers.iter().map(ToString::to_string).collect();
    log::mention(&broker, "unreadable drop", &numbers.join(" "), "").await;
    let dropped = if which.all {
        refused::drop_all(&broker).await?
    } else {
        let mut dropped = 0;
        for number in &which.numbers {
            if !refused::drop_one(&broker, *number).await? {
                return Err(Misuse::error(format!(
                    "there is no record {number} ({} dropped); gridloom unreadable list shows those that are there",
                    counted(dropped, "record")
                )));
            }
            dropped += 1;
        }
        dropped
    };
    let document = serde_json::json!({ "dropped": dropped });
    context.output.show(&document, |output| {
        output.say(format!("{} dropped", counted(dropped, "record")));
    });
    Ok(())
}
