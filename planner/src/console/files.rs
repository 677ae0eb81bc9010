//! Which files the console consists of.

/// A file.
pub(super) struct File {
    /// Its name, from `planner/console` on.
    pub(super) name: &'static str,
    /// What it holds.
    pub(super) bytes: &'static [u8],
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        /// All of them.
        pub(super) const ALL: &[File] = &[$(File {
            name: $name,
            bytes: include_bytes!(concat!("../../console/", $name)),
        }),*];
    };
}

files![
    "act.js",
    "api.js",
    "app.js",
    "clock.js",
    "favicon.js",
    "favicon.svg",
    "grid.js",
    "gridcells.js",
    "gridmodel.js",
    "gridpaint.js",
    "gridview.js",
    "html.js",
    "json.js",
    "keys.js",
    "live.js",
    "login.js",
    "look.js",
    "parts.js",
    "router.js",
    "search.js",
    "states.js",
    "stream.js",
    "style.css",
    "vendor/LICENCES.txt",
    "vendor/preact.js",
    "vendor/uplot.css",
    "vendor/uplot.js",
    "views.css",
    "views/audit.js",
    "views/crew.js",
    "views/dead.js",
    "views/doctor.js",
    "views/durations.js",
    "views/fires.js",
    "views/job.js",
    "views/jobedit.js",
    "views/jobs.js",
    "views/overview.js",
    "views/run.js",
    "views/runs.js",
    "views/runwaits.js",
    "views/runwhy.js",
    "views/runwork.js",
    "views/shard.js",
    "views/shards.js",
    "views/site.js",
    "words.js",
];

/// The page itself: what stands in braces is filled in where it is served.
pub(super) const PAGE: &str = include_str!("../../console/index.html");

impl File {
    /// What it is, as browsers are told.
    pub(super) fn kind(&self) -> &'static str {
        match self.name.rsplit_once('.').map(|(_, ending)| ending) {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "text/plain; charset=utf-8",
        }
    }

    /// Whether the page loads it at its start: a module of ours or of the library that all of them use.
    pub(super) fn is_module(&self) -> bool {
        let is_ours = !self.name.starts_with("vendor/");
        self.name.ends_with(".js") && (is_ours || self.name == "vendor/preact.js")
    }
}
