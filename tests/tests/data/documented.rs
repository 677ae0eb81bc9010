//! Every job of docs/HANDLERS.md, run as it stands there on each database that it names: each row is done once, those
//! with negative keys and without a carrier too, and pages have the size that is said.

use std::fmt::Write;

use anyhow::{Context, anyhow, ensure};
use gridloom_shared::job::parse::{self, Format};
use gridloom_shared::job::{JobSpec, PagesSpec};
use gridloom_shared::tile::Bounds;
use gridloom_worker::{Handler, Trial};

use crate::stores::{Kind, Store};

const PAGE: &str = include_str!("../../../docs/HANDLERS.md");
const SLICING: &str = include_str!("../../../docs/SLICING.md");
const MARK: &str = "<!-- runs on: ";
const ROWS: usize = 10_000;
const PAGE_ROWS: usize = 1_000;

/// The documented jobs, with the names of the databases that each is for.
fn jobs() -> anyhow::Result<Vec<(Vec<&'static str>, JobSpec)>> {
    let parts = PAGE.split(MARK).skip(1);
    let jobs = parts.map(|part| {
        let (names, rest) = part
            .split_once(" -->\n```toml\n")
            .context("a job behind its mark")?;
        let (text, _) = rest.split_once("```").context("the end of a job")?;
        let job = parse::parse(text, Format::Toml).with_context(|| text.to_owned())?;
        Ok((names.split(", ").collect(), job))
    });
    jobs.collect()
}

/// Tables with everything in them that a form may get wrong.
async fn fill(store: &mut Store) -> anyhow::Result<()> {
    let (flights, customers) = (
        "CREATE TABLE flights (id bigint PRIMARY KEY, carrier int, visits int NOT NULL)",
        "CREATE TABLE customers (code varchar(60) NOT NULL UNIQUE, visits int NOT NULL)",
    );
    store.run(flights).await?;
    store.run(customers).await?;
    let mut rows = String::from("INSERT INTO flights (id, carrier, visits) VALUES ");
    for n in 0..ROWS {
        // Gaps, both signs, and the ends of what there is.
        let id = match n {
            0 => -i64::MAX,
            1 => i64::MAX,
            n => (n as i64 - 5_000) * 7,
        };
        let carrier = match n % 5 {
            0 => "NULL".to_owned(),
            rest => format!("{}", (rest as i64 - 2) * n as i64),
        };
        let comma = if n > 0 { ", " } else { "" };
        write!(rows, "{comma}({id}, {carrier}, 0)")?;
    }
    store.run(&rows).await?;
    let mut rows = String::from("INSERT INTO customers (code, visits) VALUES ");
    for n in 0..ROWS {
        let comma = if n > 0 { ", " } else { "" };
        let code = match n % 4 {
            0 => format!("{n}"),
            1 => format!("Cust-{n}"),
            2 => format!("cust é {n}"),
            _ => format!("_{n:020}"),
        };
        write!(rows, "{comma}('{code}', 0)")?;
    }
    store.run(&rows).await
}

/// Runs a job on all of its cells, as a planner would. Returns how many pages it has.
async fn play(store: &Store, job: &JobSpec) -> anyhow::Result<usize> {
    let handler = store.handler();
    let slices = job.grid.slices;
    let trial = Trial::new(job.name.as_str(), "sql")
        .settings(job.settings.clone())
        .params(job.params.clone())
        .slices(slices)
        .pages(job.grid.pages.clone());
    let mut pages = 0;
    for slice in 0..slices {
        let trial = trial.clone().slice(slice);
        let mut cells = Vec::new();
        match &job.grid.pages {
            PagesSpec::Count { count } => cells.extend((0..*count).map(|page| (page, None))),
            PagesSpec::Rows { rows, page_size } => {
                let count = rows[slice as usize].div_ceil(*page_size).max(1);
                cells.extend((0..u32::try_from(count)?).map(|page| (page, None)));
            }
            PagesSpec::Probe => {
                // Little room: every probe has to go on behind its cursor.
                let mut next = trial.clone().room(60);
                loop {
                    let found = handler.probe(next.probe()).await;
                    let found = found.map_err(|failure| anyhow!("{failure}"))?;
                    let bounds = found.pages.into_iter().map(Some);
                    cells.extend((cells.len() as u32..).zip(bounds));
                    let Some(cursor) = found.cursor else { break };
                    next = next.after(cursor);
                }
            }
        }
        pages += cells.len();
        for (page, bounds) in cells {
            let mut cell = trial.clone().page(page);
            if let Some(Bounds(from, to)) = bounds {
                cell = cell.bounds(from, to);
            }
            let done = handler.run(cell.shard()).await;
            done.map_err(|failure| anyhow!("{failure}"))?;
        }
    }
    Ok(pages)
}

async fn documented_jobs_do_each_row_once(kind: Kind) -> anyhow::Result<()> {
    let Some(mut store) = Store::open(kind).await? else {
        return Ok(());
    };
    fill(&mut store).await?;
    let mut played = 0;
    for (names, job) in jobs()? {
        if !names.contains(&kind.name()) {
            continue;
        }
        let what = || format!("{}: job {}", kind.name(), job.name);
        let pages = play(&store, &job).await.with_context(what)?;
        let table = if job.name.as_str().contains("code")
            || job.name.as_str().contains("hash")
            || job.name.as_str().contains("row")
        {
            "customers"
        } else {
            "flights"
        };
        let done = format!("FROM {table} WHERE visits = 1");
        let done = store.texts(["count(*)", "max(visits)"], &done).await?;
        let rows = ROWS.to_string();
        ensure!(
            done[0].0 == rows,
            "{}: {} of {rows} rows once",
            what(),
            done[0].0
        );
        let most = ROWS / PAGE_ROWS + job.grid.slices as usize;
        ensure!(
            (ROWS / PAGE_ROWS..=most).contains(&pages),
            "{}: {pages} pages",
            what()
        );
        store.run(&format!("UPDATE {table} SET visits = 0")).await?;
        played += 1;
    }
    ensure!(
        played >= 6,
        "{played} documented jobs run on {}",
        kind.name()
    );
    Ok(())
}

#[tokio::test]
async fn documented_jobs_do_each_row_once_on_postgresql() {
    documented_jobs_do_each_row_once(Kind::Postgres)
        .await
        .unwrap();
}

#[tokio::test]
async fn documented_jobs_do_each_row_once_on_mysql() {
    documented_jobs_do_each_row_once(Kind::MySql).await.unwrap();
}

#[tokio::test]
async fn documented_jobs_do_each_row_once_on_sqlite() {
    documented_jobs_do_each_row_once(Kind::Sqlite)
        .await
        .unwrap();
}

/// The expression for the slice of a key that docs/SLICING.md has for this database.
async fn expression_says_the_slice_of_each_vector(kind: Kind) -> anyhow::Result<()> {
    let Some(mut store) = Store::open(kind).await? else {
        return Ok(());
    };
    let heading = format!("## {}\n\n```sql\n", kind.name());
    let (_, block) = SLICING.split_once(&heading).context("its section")?;
    let (expression, _) = block.split_once("\n```").context("its end")?;
    let rows = SLICING
        .lines()
        .filter_map(|line| line.strip_prefix("| `\""));
    let mut checked = 0;
    for row in rows {
        let (key, rest) = row.split_once("\"`").context("a key")?;
        for (slices, place) in [(7_u32, 2), (65_536, 3)] {
            let slice = rest.split('|').nth(place).context("its slice")?.trim();
            let from = format!("FROM (SELECT '{key}' AS k, {slices} AS n) AS one");
            let said = expression.replace("key", "k").replace("slices", "n");
            let said = format!("floor({said})");
            let found = store.texts([said.as_str(), "k"], &from).await?;
            ensure!(
                found[0] == (slice.to_owned(), key.to_owned()),
                "{key:?}: {found:?}"
            );
            ensure!(
                gridloom_shared::slicing::slice_of(key, slices).to_string() == slice,
                "{key:?}"
            );
            checked += 1;
        }
    }
    ensure!(checked >= 16, "{checked}");
    Ok(())
}

#[tokio::test]
async fn expression_of_the_page_says_the_slice_in_postgresql() {
    expression_says_the_slice_of_each_vector(Kind::Postgres)
        .await
        .unwrap();
}

#[tokio::test]
async fn expression_of_the_page_says_the_slice_in_mysql() {
    expression_says_the_slice_of_each_vector(Kind::MySql)
        .await
        .unwrap();
}
