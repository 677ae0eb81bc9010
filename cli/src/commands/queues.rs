//! `gridloom queues` and `gridloom workers`: what waits, and who is there to do it.

use std::time::Duration;

use gridloom_shared::reads::queues::QueueStanding;
use gridloom_shared::reads::{queues, workers};

use crate::context::Context;
use crate::fault::Verdict;
use crate::output::{Align, Table, grouped, spoken};

/// Lists queues.
///
/// # Errors
/// When the broker does not answer.
pub async fn queues(context: &Context) -> anyhow::Result<Verdict> {
    let broker = context.ask().await?;
    let workers = workers::roll_call(&broker).await?;
    let listed = queues::list(&broker, &workers).await?;
    context.output.show(&listed, |output| {
        let mut table = Table::new([
            ("queue", Align::Left),
            ("pending", Align::Right),
            ("in flight", Align::Right),
            ("redelivered", Align::Right),
            ("oldest", Align::Right),
            ("workers", Align::Right),
            ("nobody has", Align::Left),
        ]);
        for queue in &listed {
            let oldest = queue.oldest_s.map_or_else(
                || "-".to_owned(),
                |age| spoken(Duration::from_secs_f64(age)),
            );
            table.row([
                queue.queue.to_string(),
                grouped(queue.pending),
                grouped(queue.in_flight),
                grouped(queue.redelivered),
                oldest,
                grouped(queue.workers as u64),
                lacking(queue),
            ]);
        }
        output.table(
            &table,
            "no queues yet; a job or a worker brings the first one",
        );
    });
    Ok(Verdict::Fine)
}

/// Handlers that tiles of the queue wait for, and that no worker has.
fn lacking(queue: &QueueStanding) -> String {
    let handlers = queue.handlers.iter();
    let lacking = handlers.filter(|handler| handler.pending > 0 && handler.workers == 0);
    let names: Vec<&str> = lacking.map(|handler| handler.handler.as_str()).collect();
    names.join(" ")
}

/// Lists workers: those that answer, and those that fell silent a while ago without a goodbye.
///
/// # Errors
/// When the broker does not answer.
pub async fn workers(context: &Context) -> anyhow::Result<Verdict> {
    let broker = context.ask().await?;
    let listed = workers::list(&broker).await?;
    context.output.show(&listed.workers, |output| {
        let mut table = Table::new([
            ("worker", Align::Left),
            ("queues", Align::Left),
            ("handlers", Align::Left),
            ("in flight", Align::Right),
            ("capacity", Align::Right),
            ("state", Align::Left),
        ]);
        for worker in &listed.workers {
            let mut state = match (worker.answers, worker.stopping) {
                (true, false) if !worker.trouble.is_empty() => {
                    format!("here, in trouble: {}", worker.trouble)
                }
                (true, false) => "here".to_owned(),
                (true, true) => "stopping".to_owned(),
                (false, _) => format!("silent, last heard of at {}", worker.last_seen),
            };
            if listed.is_namesake(worker) {
                state.push_str(", another has its name: give each its own (--name)");
            }
            table.row([
                worker.worker.clone(),
                worker.queues.join(" "),
                worker.handlers.join(" "),
                worker.in_flight.to_string(),
                worker.capacity.to_string(),
                state,
            ]);
        }
        output.table(&table, "no workers answer; start one with gridloom worker");
    });
    context.output.left_out(&listed.left_out);
    Ok(Verdict::Fine)
}
