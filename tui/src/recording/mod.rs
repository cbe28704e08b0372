//! Recording a guest, beside whatever else is done with it.

mod tape;
mod writer;

pub use tape::Tape;
pub use writer::{DEPTH, Writer, recorder};
