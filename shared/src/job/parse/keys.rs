//! Where keys stand that are easily written elsewhere, and how they are written there. The keys of `[schedule]` are all
//! here: which there are is read from this table.

/// Where keys stand that are easily written elsewhere, and how: the table (the top of the file has no name), and an
/// example.
pub(super) const PLACES: &[(&str, &str, &str)] = &[
    ("name", "", "name = \"sizes\""),
    ("handler", "", "handler = \"noop\""),
    ("queue", "", "queue = \"default\""),
    ("slices", "grid", "grid = { slices = 16 }"),
    ("pages", "grid", "grid = { pages = { count = 10 } }"),
    ("tile", "grid", "grid = { tile = 16 }"),
    ("count", "grid", "grid = { pages = { count = 10 } }"),
    (
        "rows",
        "grid",
        "grid = { pages = { rows = 1000000, page_size = 1000 } }",
    ),
    (
        "page_size",
        "grid",
        "grid = { pages = { rows = 1000000, page_size = 1000 } }",
    ),
    ("max_attempts", "retry", "retry = { max_attempts = 5 }"),
    ("attempts", "retry", "retry = { max_attempts = 5 }"),
    (
        "backoff",
        "retry",
        "retry = { backoff = { initial = \"1s\" } }",
    ),
    ("timeout", "limits", "limits = { timeout = \"10m\" }"),
    ("concurrency", "limits", "limits = { concurrency = 100 }"),
    ("rate", "limits", "limits = { rate = \"500/s\" }"),
    ("priority", "limits", "limits = { priority = 5 }"),
    (
        "abort_after",
        "limits",
        "limits = { abort_after = { dead = 100 } }",
    ),
    ("statement", "sql", "[sql] and below it statement = \"...\""),
    ("database", "sql", "[sql] and below it database = \"main\""),
    ("command", "exec", "exec = { command = \"resize\" }"),
    (
        "url",
        "http",
        "http = { url = \"https://api.example/{slice}\" }",
    ),
    ("allow", "submit", "submit = { allow = [\"params\"] }"),
];

/// The keys of `[schedule]`, each with how it is written.
pub(super) const SCHEDULE: &[(&str, &str)] = &[
    ("cron", "schedule = { cron = \"0 2 * * *\" }"),
    (
        "dialect",
        "schedule = { cron = \"0 2 * * *\", dialect = \"unix\" }",
    ),
    ("every", "schedule = { every = \"15m\" }"),
    ("at", "schedule = { at = \"2026-12-01T02:00:00Z\" }"),
    ("after", "schedule = { after = \"30s\" }"),
    (
        "timezone",
        "schedule = { cron = \"0 2 * * *\", timezone = \"Europe/Berlin\" }",
    ),
    (
        "start",
        "schedule = { every = \"15m\", start = \"2026-12-01\" }",
    ),
    (
        "end",
        "schedule = { every = \"15m\", end = \"2030-12-31\" }",
    ),
    (
        "max_fires",
        "schedule = { every = \"15m\", max_fires = 100 }",
    ),
    (
        "only",
        "schedule = { cron = \"0 2 * * *\", only = [\"12-01/12-24\"] }",
    ),
    (
        "except",
        "schedule = { cron = \"0 2 * * *\", except = [\"2026-12-24\"] }",
    ),
    ("jitter", "schedule = { every = \"15m\", jitter = \"30s\" }"),
    (
        "spread",
        "schedule = { cron = \"0 2 * * *\", spread = \"10m\" }",
    ),
    (
        "dst",
        "schedule = { cron = \"0 2 * * *\", dst = { gap = \"skip\" } }",
    ),
    (
        "overlap",
        "schedule = { every = \"15m\", overlap = \"skip\" }",
    ),
    (
        "queue_max",
        "schedule = { every = \"15m\", overlap = \"queue_all\", queue_max = 10 }",
    ),
    (
        "misfire",
        "schedule = { every = \"15m\", misfire = { policy = \"run_once\" } }",
    ),
    (
        "pause_after_failures",
        "schedule = { every = \"15m\", pause_after_failures = 3 }",
    ),
    (
        "deadline",
        "schedule = { cron = \"0 2 * * *\", deadline = \"06:00\" }",
    ),
    (
        "finish_within",
        "schedule = { cron = \"0 2 * * *\", finish_within = \"3h\" }",
    ),
];
/// Also a key of a table within another: elsewhere than at the top nobody knows which of them was meant.
const ELSEWHERE_TOO: &[&str] = &["jitter"];

/// The table in which a key stands that was found in the table `here`, and how it is written there; `None` for one that
/// is none, stands in several, or stands where it belongs.
pub(super) fn place_of(here: &str, key: &str) -> Option<(&'static str, &'static str)> {
    let mut places = PLACES.iter().filter(|(name, ..)| *name == key);
    let place = places.next().map(|(_, table, form)| (*table, *form));
    let unsure = !here.is_empty() && ELSEWHERE_TOO.contains(&key);
    let mut schedule = SCHEDULE.iter().filter(|(name, _)| *name == key && !unsure);
    let place = place.or_else(|| schedule.next().map(|(_, form)| ("schedule", *form)));
    place.filter(|(table, _)| *table != here)
}
