//! Rows that are moved from one table to another, in pages by their key, beside one `INSERT ... SELECT`.

use std::time::Instant;

use gridloom_cli::output::grouped;
use gridloom_shared::job::parse;
use serde::Serialize;
use serde_json::json;

use super::{Bench, NAME, store};
use crate::args::SqlFlags;
use crate::engine::Grid;
use crate::stack::{self, QUEUE};

/// Both ways, in seconds.
#[derive(Debug, Serialize)]
pub(super) struct Moved {
    database: &'static str,
    rows: u64,
    page: u32,
    at_once_seconds: f64,
    in_pages_seconds: f64,
}

impl Moved {
    pub(super) fn spoken(&self) -> String {
        format!(
            "{}: {} rows moved: {:.1} s in one statement, {:.1} s in pages of {} (the probe included), {:.2} of its time",
            self.database,
            grouped(self.rows),
            self.at_once_seconds,
            self.in_pages_seconds,
            grouped(u64::from(self.page)),
            self.in_pages_seconds / self.at_once_seconds,
        )
    }
}

/// Moves as many rows as the flags say, once in each way.
pub(super) async fn measure(bench: &mut Bench, flags: &SqlFlags) -> anyhow::Result<Moved> {
    let (rows, page) = (flags.moved, flags.page.get());
    let kind = bench.store.kind();
    fill(bench, rows).await?;
    let began = Instant::now();
    bench
        .store
        .execute("INSERT INTO moved_at_once SELECT id, said FROM stock")
        .await?;
    let at_once = began.elapsed();
    let job = json!({
        "name": "moved",
        "handler": "sql",
        "queue": QUEUE,
        "grid": { "slices": 1, "pages": { "probe": true }, "tile": 1 },
        "sql": {
            "database": NAME,
            "probe": format!(
                "SELECT min(id), max(id) FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS n \
                 FROM stock WHERE :after IS NULL OR id > :after) AS numbered \
                 GROUP BY n - n % {page} ORDER BY 1"
            ),
            "statement": "INSERT INTO moved_in_pages SELECT id, said FROM stock \
                          WHERE id BETWEEN :page_from AND :page_to",
        },
    });
    let spec = parse::from_value(job)?;
    let broker = bench.stack.connect().await?;
    stack::define(&broker, &spec).await?;
    let grid = Grid {
        name: spec.name,
        shards: rows.div_ceil(u64::from(page)),
    };
    let began = Instant::now();
    let run = bench.engine.submit(&grid, json!({})).await?;
    bench.engine.until_closed(&run, |_| {}).await?;
    let in_pages = began.elapsed();
    let there = bench
        .store
        .number("SELECT count(*) FROM moved_in_pages")
        .await?;
    anyhow::ensure!(there == i64::try_from(rows)?, "{there} rows of {rows}");
    Ok(Moved {
        database: store::name(kind),
        rows,
        page,
        at_once_seconds: at_once.as_secs_f64(),
        in_pages_seconds: in_pages.as_secs_f64(),
    })
}

async fn fill(bench: &mut Bench, rows: u64) -> anyhow::Result<()> {
    use crate::args::Kind;
    for table in ["stock", "moved_at_once", "moved_in_pages"] {
        let make =
            format!("CREATE TABLE {table} (id bigint PRIMARY KEY, said varchar(40) NOT NULL)");
        bench.store.execute(&make).await?;
    }
    let fill = match bench.store.kind() {
        Kind::Postgres => format!(
            "INSERT INTO stock SELECT n, md5(n::text) FROM generate_series(1, {rows}) AS n; ANALYZE stock; CHECKPOINT"
        ),
        Kind::MariaDb => {
            format!(
                "INSERT INTO stock SELECT seq, md5(seq) FROM seq_1_to_{rows}; ANALYZE TABLE stock"
            )
        }
        Kind::Sqlite => format!(
            "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {rows}) \
             INSERT INTO stock SELECT n, printf('%032x', n * 2654435761) FROM s"
        ),
    };
    bench.store.execute(&fill).await
}
