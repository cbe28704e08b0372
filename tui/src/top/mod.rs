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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::testing;
    use rumpscope_probes::{Distribution, Hypercall, Quantity};
    use rumpscope_reports::Style;

    #[test]
    fn percentiles_that_are_not_known_are_not_nothing() {
        let mut sample = testing::samples(1, 1).remove(0);
        for ((_, metric), cell) in &mut sample.snapshot.cells {
            if (metric.quantity, metric.call) == (Quantity::Call, Hypercall::MutexEnter) {
                let count = cell.count();
                *cell = Distribution::default();
                cell.untimed = count;
            }
        }
        let interval = Interval::new(None, Arc::new(sample), &mut Symbols::new(&[]));
        let json: serde_json::Value = serde_json::from_str(&json::render(&interval)).unwrap();
        let enter = json["hypercalls"].as_array().unwrap().iter().find(|call| call["name"] == "mutex_enter").unwrap();
        assert!(enter["total_ns"].as_u64().unwrap() > 0 && enter["percentiles"].is_null(), "{enter}");
        let text = text::render(&interval, &Style { width: 200, colour: false, ascii: true });
        let enter = text.lines().find(|line| line.starts_with("mutex_enter ")).unwrap();
        assert_eq!(enter.split_whitespace().filter(|word| *word == "-").count(), 4, "{enter}");
    }
}
