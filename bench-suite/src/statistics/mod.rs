//! What a bench may say of its figures, and what not. `docs/bench.md` tells the method and its sources.

mod outliers;
mod quantile;
pub mod rank_sum;
mod signed_rank;

pub use outliers::outliers;
pub use quantile::{median, quantile};
pub use signed_rank::{center, interval, p_value};
