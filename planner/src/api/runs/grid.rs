//! The cells of a run: all of them, or a window of them, within a bound of bytes.

use std::ops::Range;

use axum::Json;
use axum::extract::State;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::reads::grid::{self, Grid, Window};
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::ask::{Path, Query};
use super::super::link::{Api, Linked};
use super::super::problem::{Answer, Problem};

/// Which part of a grid.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct Part {
    /// From this slice on.
    first_slice: Option<u32>,
    /// To this slice, which is among them.
    last_slice: Option<u32>,
    /// From this page on.
    first_page: Option<u32>,
    /// To this page, which is among them.
    last_page: Option<u32>,
}

impl Part {
    fn window(&self) -> Answer<Window> {
        Ok(Window {
            slices: range("slice", self.first_slice, self.last_slice)?,
            pages: range("page", self.first_page, self.last_page)?,
        })
    }
}

/// What lies between two numbers, both inside it.
pub(super) fn range(what: &str, first: Option<u32>, last: Option<u32>) -> Answer<Range<u32>> {
    let (first, end) = (
        first.unwrap_or(0),
        last.map_or(u32::MAX, |last| last.saturating_add(1)),
    );
    match first < end {
        true => Ok(first..end),
        false => Err(Problem::invalid(format!(
            "last_{what}: comes before first_{what}"
        ))),
    }
}

/// How the cells of a run stand, run-length coded: at most some 200 kB, whatever its size. Where neighbours differ too
/// much for that, blocks of pages are told by what in them matters most; a part of the grid is told exactly.
#[utoipa::path(get, path = "/runs/{run}/grid", tag = "runs", operation_id = "grid",
    params(("run" = RunId, Path), Part), responses((status = 200, body = Grid)))]
pub(in super::super) async fn grid(
    State(api): State<Api>,
    Linked(broker): Linked,
    Path(run): Path<RunId>,
    Query(part): Query<Part>,
) -> Answer<Json<Grid>> {
    let window = part.window()?;
    let seen = |fold: &Fold| grid::of(fold, &window);
    Ok(Json(api.folds.look(&broker, &run, seen).await?))
}
