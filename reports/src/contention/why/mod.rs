//! Why something waits, in words: chains of blocking, and what is at their end.

mod causes;
mod subject;
mod words;

pub use causes::{Cause, Link, Root, causes};
pub use subject::{NotFound, Subject};
pub use words::{Reason, reasons, render};
