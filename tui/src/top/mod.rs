//! One interval of a process, for people ([`text`]) and for programs ([`json`]): what the dashboard shows, without one.

pub mod json;
pub mod text;

use crate::dashboard::model::{Now, Span, ThreadSpan, threads};
use rumpscope_probes::contention::Module;
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

/// Names for a process that loads one object after the other.
pub struct Names {
    modules: Arc<[Module]>,
    symbols: Symbols,
}

impl Names {
    /// Names for a process that has `modules` loaded.
    pub fn new(modules: &Arc<[Module]>) -> Self {
        Names { modules: Arc::clone(modules), symbols: Symbols::new(modules) }
    }

    /// Those of a process that has `modules` loaded by now. Where these are others than before, all is asked for again: an
    /// address that was in none of them may be in one now.
    pub fn of(&mut self, modules: &Arc<[Module]>) -> &mut Symbols {
        if self.modules != *modules {
            *self = Names::new(modules);
        }
        &mut self.symbols
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

    #[test]
    fn what_is_loaded_later_has_names_too() {
        let none = Arc::from([]);
        let mut names = Names::new(&none);
        assert_eq!(names.of(&none).frames(0x1800)[0].module, "");
        let later = Module { path: "/no/such/librumpvfs.so.0".to_owned(), start: 0x1000, end: 0x2000, bias: 0x1000 };
        assert_eq!(names.of(&Arc::from([later])).frames(0x1800)[0].module, "librumpvfs.so.0");
    }
}
