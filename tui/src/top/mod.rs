//! One interval of a process, for people ([`text`]) and for programs ([`json`]): what the dashboard shows, without one.

pub mod json;
pub mod text;

use crate::dashboard::model::{Now, Span, ThreadSpan, threads};
use rumpscope_reports::Sample;
use rumpscope_reports::contention::Waiting;
use rumpscope_reports::symbols::Symbols;
use std::sync::Arc;

/// What happened between two samples.
pub struct Interval {
    later: Arc<Sample>,
    span: Span,
    waiting: Waiting,
    /// Those that run; those that the host gave most time first.
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
        let mut threads = threads(earlier, &later, span.seconds);
        threads.retain(|thread| thread.now != Now::Ended);
        let time = |thread: &ThreadSpan| thread.host.as_ref().map_or(0, |host| host.added.cpu_ns);
        threads.sort_by_key(|thread| (std::cmp::Reverse(time(thread)), thread.tid));
        Interval { later, span, waiting, threads }
    }
}
