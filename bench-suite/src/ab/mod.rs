//! Host back ends side by side: what is compared, in which order it runs, and what came of it. `docs/bench.md` tells the
//! method. Nothing here starts a process or knows a terminal; the command `rumpscope bench` does.

mod across;
mod bench;
mod case;
mod comparison;
mod consistency;
mod latency;
mod order;
mod plan;
mod run;
mod variant;

pub use across::{Across, Row, Side};
pub use bench::{Bench, ReadError, SCHEMA, VERSION};
pub use case::{Case, Guest, Load};
pub use comparison::{Comparison, Difference};
pub use consistency::Mismatch;
pub use latency::{Latency, LatencyPair, Typical};
pub use order::Slot;
pub(crate) use order::shuffled;
pub use plan::{Amount, Plan};
pub use run::{Figures, Measured, Outcome, Probes, Run};
pub use variant::{BadVariant, Variant};
