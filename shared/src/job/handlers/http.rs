//! What a job of the handler `http` says, and what of it cannot be meant.
//!
//! Where requests may go, and which secrets there are, only workers know.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`order`] | what settings say: which request, and which answers are meant |
//! | [`content`] | what a request carries: a text, or a table that is sent as JSON |
//! | [`template`] | where placeholders stand in a text |
//! | [`origin`] | what of an address says where a request goes |
//! | `statuses` | which answers are meant |
//! | `names` | that each placeholder has a value |

use super::{Findings, Said};

pub mod content;
mod names;
pub mod order;
pub mod origin;
mod statuses;
pub mod template;

pub use content::{Content, Json};
pub use names::GIVEN;
pub use order::{Order, calling_back, wanted, wanted_by};
pub use origin::Origin;
pub use statuses::Statuses;
pub use template::{Placeholder, Template};

pub(super) fn check(said: Said<'_>) -> Findings {
    let mut found = Findings::default();
    if said.grid.is_probed() {
        found.fault(
            "grid.pages",
            "must be { count = 100 } or { rows = 1000000, page_size = 1000 }: a service is asked for no pages, so \
             http has no probe",
        );
    }
    match Order::read(said.settings) {
        Ok(order) => {
            if order.callback.is_some() && said.grid.tile != Some(1) {
                found.fault(
                    "grid.tile",
                    "must be 1 with http.callback: pages of a tile run one after another, and none is on record before the \
                     last of them has been called back",
                );
            }
            names::check(&order, said, &mut found);
        }
        Err(fault) => found.faults.push(fault),
    }
    found
}
