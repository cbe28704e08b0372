//! Hypercalls: a list of them, and each by itself.

mod detail;
mod list;
mod profile;
mod row;

pub use list::Calls;
pub use row::{CallRow, OVERVIEW_COLUMNS, threads};
