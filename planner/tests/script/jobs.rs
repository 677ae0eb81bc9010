//! The job that an `open` line describes.

use gridloom_shared::id::{HandlerName, JobName, QueueName, ResourceName, ShareName};
use gridloom_shared::job::{
    AbortAfter, Backoff, GridSpec, JobSpec, LimitsSpec, PagesSpec, Priority, RetrySpec, SubmitSpec,
};

use super::Told;
use super::line::{Line, number};

/// Takes the words of a job off a line: `slices 2 pages 5 priority 1 concurrency 2 rate 10/s ...`.
pub(super) fn job(name: &str, line: &mut Line) -> Told<JobSpec> {
    let name = line.option("job")?.unwrap_or_else(|| name.to_owned());
    let named = |word: Option<String>, other: &str| word.unwrap_or_else(|| other.to_owned());
    Ok(JobSpec {
        name: JobName::new(name).map_err(text)?,
        handler: HandlerName::new(named(line.option("handler")?, "noop")).map_err(text)?,
        queue: QueueName::new(named(line.option("queue")?, "default")).map_err(text)?,
        grid: grid(line)?,
        retry: retry(line)?,
        limits: limits(line)?,
        settings: serde_json::json!({}),
        params: serde_json::json!({}),
        submit: SubmitSpec::default(),
        schedule: None,
    })
}

fn grid(line: &mut Line) -> Told<GridSpec> {
    let pages = if line.flag("probe") {
        PagesSpec::Probe
    } else if let Some(rows) = line.option("rows")? {
        let rows: Told<Vec<u64>> = rows.split(',').map(number).collect();
        PagesSpec::Rows {
            rows: rows?,
            page_size: line.number_option("page-size")?.unwrap_or(100),
        }
    } else {
        let count = line.number_option("pages")?.unwrap_or(1) as u32;
        PagesSpec::Count { count }
    };
    Ok(GridSpec {
        slices: line.number_option("slices")?.unwrap_or(1) as u32,
        pages,
        tile: line.number_option("tile")?.map(|pages| pages as u32),
    })
}

fn retry(line: &mut Line) -> Told<RetrySpec> {
    let initial = line.duration_option("backoff")?;
    Ok(RetrySpec {
        max_attempts: line.number_option("attempts")?.unwrap_or(2) as u32,
        backoff: Backoff {
            initial_ms: initial.map_or(1_000, |initial| initial.as_millis() as u64),
            factor: 2.0,
            max_ms: 300_000,
            jitter: 0.0,
        },
    })
}

fn limits(line: &mut Line) -> Told<LimitsSpec> {
    let dead = line.number_option("abort-after")?.map(AbortAfter::Dead);
    let percent = line.number_option("abort-percent")?;
    let percent = percent.map(|percent| AbortAfter::DeadPercent(percent as f64));
    let never = line.flag("abort-never").then_some(AbortAfter::Never);
    let priority = line.number_option("priority")?;
    let rate = line.option("rate")?;
    Ok(LimitsSpec {
        timeout_ms: None,
        abort_after: dead.or(percent).or(never),
        concurrency: line.number_option("concurrency")?.map(|most| most as u32),
        rate: rate.map(|rate| rate.parse().map_err(text)).transpose()?,
        priority: match priority {
            Some(priority) => Priority::new(priority as u8).ok_or("no such priority")?,
            None => Priority::default(),
        },
        share: line
            .option("share")?
            .map(|share| ShareName::new(share).map_err(text))
            .transpose()?,
        resource: line
            .option("resource")?
            .map(|resource| ResourceName::new(resource).map_err(text))
            .transpose()?,
    })
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
