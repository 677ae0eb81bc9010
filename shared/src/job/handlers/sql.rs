//! What a job of the handler `sql` says, and what of it cannot be meant.
//!
//! Which kind of database it is for, only a worker knows: without one, a fault is what is one in all three.
//! (`::` is PostgreSQL's alone, and tells.)
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`mod@names`] | where a statement has its named parameters, and what kind of statement it is |
//! | `traces` | what a statement may leave on its connection |
//! | `dialect` | which kinds of database there are |
//! | `order` | what settings and parameters say |
//! | `values` | that each name has a value, and each value a name |
//! | `cells` | that statements tell slices and pages apart |
//! | `bounds` | that statements take a page whole, and nothing beyond |

use super::{Findings, Said};
use crate::chain;
use crate::job::{GridSpec, PagesSpec, SubmitSpec};

mod bounds;
mod cells;
mod dialect;
pub mod names;
mod order;
mod traces;
mod values;

pub use dialect::Dialect;
pub use order::{KeyKind, Order, Text};
pub use values::GIVEN;

use names::{Statement, as_usual};

/// Where a job's statements run.
#[derive(Clone, Copy, Debug)]
pub struct Place<'p> {
    /// How many slices there are.
    pub slices: u32,
    /// What tells the pages of a slice apart.
    pub pages: Pages,
    /// Whether there may be several.
    pub several: bool,
    /// What submissions may bring yet.
    pub submit: Option<&'p SubmitSpec>,
}

/// What tells the pages of a slice apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// Their numbers.
    Counted,
    /// Positions of rows.
    Windows,
    /// First and last keys.
    Probed,
}

impl<'p> Place<'p> {
    /// The cells of a grid, of which submissions may change what `submit` says.
    pub fn of(grid: &GridSpec, submit: Option<&'p SubmitSpec>) -> Place<'p> {
        let (pages, several) = match &grid.pages {
            PagesSpec::Count { count } => (Pages::Counted, *count > 1),
            PagesSpec::Rows { .. } => (Pages::Windows, grid.most_pages() > 1),
            PagesSpec::Probe => (Pages::Probed, true),
        };
        Place {
            slices: grid.slices,
            pages,
            several,
            submit,
        }
    }
}

/// Statements that were read, each with where it stands.
struct Read<'o> {
    statements: Vec<(&'o str, Statement)>,
    probe: Option<(&'o str, Statement)>,
}

/// The path of all statements together.
const STATEMENT: &str = "sql.statement";

pub(super) fn check(said: Said<'_>) -> Findings {
    let order = match Order::read(said.settings, said.params) {
        Ok(order) => order,
        Err(fault) => {
            return Findings {
                faults: vec![fault],
                warnings: Vec::new(),
            };
        }
    };
    let place = Place::of(said.grid, said.submit);
    let postgres = order.check(place, Dialect::Postgres);
    if order.casts() {
        return postgres;
    }
    let others = [Dialect::Sqlite, Dialect::MySql].map(|other| order.check(place, other));
    let mut common = postgres;
    common
        .faults
        .retain(|fault| others.iter().all(|other| other.faults.contains(fault)));
    common
        .warnings
        .retain(|warning| others.iter().all(|other| other.warnings.contains(warning)));
    common
}

impl Order {
    /// What is wrong with it in a database of this kind.
    pub fn check(&self, place: Place<'_>, dialect: Dialect) -> Findings {
        let mut found = Findings::default();
        let Some(read) = self.read_all(dialect, &mut found) else {
            return found;
        };
        self.check_names(&read, place, &mut found);
        self.check_values(&read, &mut found);
        cells::check(&read, place, &mut found);
        self.check_key(&read, &mut found);
        // What is to be written otherwise anyway is not looked at closer.
        if found.faults.is_empty() {
            bounds::check(&read, place, &mut found);
        }
        found
    }

    /// All statements; `None`: some cannot be read, and why was told.
    fn read_all(&self, dialect: Dialect, found: &mut Findings) -> Option<Read<'_>> {
        let statements = self.statements.iter();
        let statements: Vec<_> = statements.map(|text| read(text, dialect, found)).collect();
        let probe = self.probe.as_ref().map(|text| read(text, dialect, found));
        Some(Read {
            statements: statements.into_iter().collect::<Option<_>>()?,
            probe: probe.map_or(Some(None), |read| read.map(Some))?,
        })
    }

    /// Whether a statement can be for PostgreSQL alone.
    fn casts(&self) -> bool {
        let texts = self.statements.iter().chain(&self.probe);
        texts
            .filter_map(|text| Statement::read(&text.text, Dialect::Postgres, &as_usual).ok())
            .any(|statement| statement.casts)
    }
}

fn read<'o>(
    text: &'o Text,
    dialect: Dialect,
    found: &mut Findings,
) -> Option<(&'o str, Statement)> {
    let statement = match Statement::read(&text.text, dialect, &as_usual) {
        Ok(statement) => statement,
        Err(error) => {
            found.fault(&text.path, chain(&error).to_string());
            return None;
        }
    };
    if let Some(why) = dialect.leaves_transaction(&statement.verb) {
        let message = format!("cannot be a {} statement: {why}", statement.verb);
        found.fault(&text.path, message);
        return None;
    }
    Some((&text.path, statement))
}

impl Read<'_> {
    /// Whether one of the statements has this name.
    fn statements_name(&self, name: &str) -> bool {
        self.statements
            .iter()
            .any(|(_, statement)| names(statement, name))
    }

    /// Whether the probe has this name.
    fn probe_names(&self, name: &str) -> bool {
        self.probe
            .as_ref()
            .is_some_and(|(_, probe)| names(probe, name))
    }
}

fn names(statement: &Statement, name: &str) -> bool {
    statement.names.iter().any(|known| known == name)
}
