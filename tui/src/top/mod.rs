//! One interval of a process, for people ([`text`]) and for programs ([`json`]): what the dashboard shows, without one.

pub mod json;
pub mod text;
mod threads;

use crate::dashboard::model::Span;
use rumpscope_reports::Sample;
use rumpscope_reports::contention::Waiting;
use rumpscope_reports::symbols::Symbols;
use std::sync::Arc;
use threads::ThreadSpan;

/// What happened between two samples.
pub struct Interval {
    later: Arc<Sample>,
    span: Span,
    waiting: Waiting,
    threads: Vec<ThreadSpan>,
}

impl Interval {
    /// What happened from `earlier`, or from the start, to `later`, two samples of one process, by the names that `names`
    /// knows.
    pub fn new(earlier: Option<&Sample>, later: Arc<Sample>, names: &mut Symbols) -> Self {
        let span = Span::new(earlier, &later);
        let waiting = match earlier {
            Some(earlier) => Waiting::between(&earlier.snapshot, &later.snapshot, names),
            None => Waiting::new(&later.snapshot, names),
        };
        let threads = ThreadSpan::all(earlier, &later, &span);
        Interval { later, span, waiting, threads }
    }
}
