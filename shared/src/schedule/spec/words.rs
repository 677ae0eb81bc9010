//! A schedule in English, as `at 06:00, on Monday to Friday (Europe/Berlin), except holidays-de`.

use super::{Days, Spec, When};
use crate::duration::write_duration;
use crate::schedule::Cron;

/// So many entries of a list are told.
const TOLD: usize = 5;

pub(super) fn spec(spec: &Spec) -> String {
    let zone = spec.timezone.as_deref().unwrap_or("UTC");
    let mut parts = vec![when(&spec.when, zone)];
    let mut say = |what: &str, value: Option<String>| {
        parts.extend(value.map(|value| format!("{what} {value}")));
    };
    let span = |ms: u64| (ms > 0).then(|| write_duration(ms));
    say("only on", days(&spec.only));
    say("except on", days(&spec.except));
    say("from", spec.start.map(|start| start.to_string()));
    say("until", spec.end.map(|end| end.to_string()));
    let times = |most: u64| format!("{most} time{}", if most == 1 { "" } else { "s" });
    say("at most", spec.max_fires.map(times));
    say("later by up to", span(spec.spread_ms + spec.jitter_ms));
    parts.join(", ")
}

fn when(when: &When, zone: &str) -> String {
    match when {
        When::Cron {
            expressions,
            dialect,
        } => {
            let words = |text: &String| match Cron::parse(text, *dialect) {
                Ok(cron) => cron.words(),
                Err(_) => text.clone(),
            };
            let words: Vec<String> = expressions.iter().map(words).collect();
            format!("{} ({zone})", list(&words, "; and "))
        }
        When::Every { period_ms } => format!("every {}", write_duration(*period_ms)),
        When::At(moments) => {
            let moments: Vec<String> = moments.iter().map(ToString::to_string).collect();
            format!("at {} ({zone})", list(&moments, ", "))
        }
        When::After { wait_ms } => {
            format!("{} after the end of the last run", write_duration(*wait_ms))
        }
    }
}

fn days(days: &[Days]) -> Option<String> {
    let days: Vec<String> = days.iter().map(ToString::to_string).collect();
    (!days.is_empty()).then(|| list(&days, ", "))
}

fn list(all: &[String], between: &str) -> String {
    let mut told = all[..all.len().min(TOLD)].join(between);
    if all.len() > TOLD {
        told.push_str(&format!("{between}{} more", all.len() - TOLD));
    }
    told
}
