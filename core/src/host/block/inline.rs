//! No engine: every request is carried out by its caller.

use super::{Completion, Engine, Request};

/// Takes nothing on. Needs no thread, so a guest without threads uses it; a caller that could go on while its request is
/// under way (read-ahead, delayed writes) waits for it instead.
#[derive(Debug)]
pub struct Inline;

impl<C: Completion> Engine<C> for Inline {
    fn submit(&'static self, request: Request<C>) -> Result<(), Request<C>> {
        Err(request)
    }
}
