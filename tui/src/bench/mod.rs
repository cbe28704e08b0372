//! What `rumpscope bench` has on a terminal and in processes: starting a run, the progress line, the table.

pub mod across;
mod bar;
pub mod cores;
pub mod launch;
pub mod progress;
pub mod table;
mod why;
