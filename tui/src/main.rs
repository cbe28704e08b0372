//! The `rumpscope` command.

fn main() {}
