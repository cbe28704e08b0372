//! What is said on standard error.

/// Writes a line there, as `eprintln!` does. That nobody reads it any more is no reason to end, as it is to that: the
/// profile and the recording may still have to be written.
macro_rules! tell {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}
