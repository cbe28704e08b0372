//! The figures of one hypercall.

use crate::dashboard::model::{Figures, Heat, quantiles};
use crate::dashboard::screen::View;
use rumpscope_probes::{Distribution, Hypercall, Place, Quantity};
use std::collections::BTreeMap;

/// What the time of a call was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its own work, and giving up the virtual CPU.
    Own,
    /// Off the virtual CPU: what it waited for.
    Off,
    /// Waiting for a virtual CPU.
    Wanted,
    /// Of the time off the virtual CPU, or in the call: a processor was used to look for the end.
    Active,
}

impl Part {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Part::Own => "own work",
            Part::Off => "off the vCPU",
            Part::Wanted => "wanted a vCPU",
            Part::Active => "active in it",
        }
    }

    /// What it is made of.
    const fn quantities(self) -> &'static [Quantity] {
        match self {
            Part::Own => &[Quantity::Own, Quantity::Unschedule, Quantity::SlowUnschedule],
            Part::Off => &[Quantity::Off],
            Part::Wanted => &[Quantity::Reschedule, Quantity::SlowReschedule],
            Part::Active => &[Quantity::Spin],
        }
    }

    const ALL: [Part; 4] = [Part::Own, Part::Off, Part::Wanted, Part::Active];
}

/// A hypercall in the time that is shown.
#[derive(Debug)]
pub struct Profile {
    /// Which.
    pub call: Hypercall,
    /// All its calls.
    pub times: Figures,
    /// How long they took, by powers of two.
    pub heat: Heat,
    /// Where they were made: names and times, virtual CPUs first.
    pub places: Vec<(String, Figures)>,
    /// What their time was; empty where none has left its virtual CPU.
    pub parts: Vec<(Part, Figures)>,
    ladder: [f64; LADDER.len()],
}

/// The rungs, and which of them are shown first where there is little room.
const LADDER: [(&str, f64, u8); 9] = [
    ("p10", 0.1, 8),
    ("p25", 0.25, 6),
    ("p50", 0.5, 0),
    ("p75", 0.75, 5),
    ("p90", 0.9, 2),
    ("p95", 0.95, 7),
    ("p99", 0.99, 0),
    ("p99.9", 0.999, 1),
    ("p99.99", 0.9999, 4),
];

impl Profile {
    /// The figures of `call` in what `view` shows.
    pub fn new(view: &View<'_>, call: Hypercall) -> Self {
        let snapshot = &view.span.snapshot;
        let clock = &snapshot.clock;
        let (mut kinds, mut places): ([Distribution; Quantity::CALLS.len()], _) = (Default::default(), BTreeMap::new());
        let mut parts: [Vec<Distribution>; Part::ALL.len()] = Default::default();
        for ((place, metric), distribution) in snapshot.cells.iter().filter(|((_, metric), _)| metric.call == call) {
            // Each kind of calls is timed by a rule of its own, and must be weighed apart.
            if let Some(kind) = Quantity::CALLS.iter().position(|kind| *kind == metric.quantity) {
                kinds[kind].merge(distribution);
                places.entry(*place).or_insert_with(Vec::new).push(distribution.clone());
            }
            for (part, kinds) in Part::ALL.iter().zip(&mut parts) {
                if part.quantities().contains(&metric.quantity) {
                    kinds.push(distribution.clone());
                }
            }
        }
        let mut whole = Distribution::default();
        kinds.iter().for_each(|kind| whole.merge(&kind.extrapolated()));
        let parts = Part::ALL.into_iter().zip(&parts).map(|(part, kinds)| (part, Figures::new(kinds, clock)));
        let parts: Vec<_> = parts.filter(|(_, times)| times.count != 0).collect();
        let has_left = parts.iter().any(|(part, _)| matches!(part, Part::Off | Part::Wanted));
        Profile {
            call,
            times: Figures::new(&kinds, clock),
            heat: Heat::new(&kinds, clock),
            places: places.into_iter().map(|(place, kinds)| (place_name(place), Figures::new(&kinds, clock))).collect(),
            parts: if has_left { parts } else { Vec::new() },
            ladder: quantiles(&whole, LADDER.map(|rung| rung.1), clock),
        }
    }

    /// As many percentiles as there is room for, and the longest; `None` where nothing was timed.
    pub fn ladder(&self, room: usize) -> impl Iterator<Item = (&'static str, Option<f64>)> {
        let mut ranks: Vec<u8> = LADDER.iter().map(|rung| rung.2).collect();
        ranks.sort_unstable();
        // The longest is always there.
        let worst = room.checked_sub(2).map(|last| ranks[last.min(ranks.len() - 1)]);
        let timed = self.times.has_percentiles();
        let rungs = LADDER.iter().zip(self.ladder).filter(move |(rung, _)| worst.is_some_and(|worst| rung.2 <= worst));
        let value = move |value| timed.then_some(value);
        rungs.map(move |(rung, at)| (rung.0, value(at))).chain([("max", value(self.times.max_ns))])
    }
}

fn place_name(place: Place) -> String {
    match place {
        Place::Vcpu(index) => format!("vCPU {index}"),
        Place::OffCpu => "on none".to_owned(),
        Place::Unknown => "not known".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::keys::KeyMap;
    use crate::dashboard::testing;
    use crate::dashboard::theme::Theme;
    use ratatui::layout::Rect;
    use rumpscope_probes::Metric;
    use rumpscope_reports::Totals;

    fn profile(call: Hypercall) -> (Profile, Totals) {
        let (scene, theme, keys) = (testing::scene(2, 4), Theme::default(), KeyMap::default());
        let view = testing::view(&scene, &theme, &keys, Rect::new(0, 0, 80, 24));
        let metrics = Quantity::CALLS.map(|quantity| Metric { quantity, call });
        (Profile::new(&view, call), Totals::new(&view.span.snapshot, &metrics))
    }

    #[test]
    fn it_says_what_the_reports_say() {
        for call in [Hypercall::MutexEnter, Hypercall::CvWait, Hypercall::Curlwp] {
            let (ours, theirs) = profile(call);
            assert_eq!(ours.times.count, theirs.all.count);
            assert!((ours.times.total_ns - theirs.all.total_ns as f64).abs() <= 1.0 + ours.times.total_ns * 1e-6);
            assert_eq!(ours.places.len(), theirs.places.len());
            for ((_, ours), theirs) in ours.places.iter().zip(&theirs.places) {
                assert_eq!(ours.count, theirs.times.count);
            }
            let events: u64 = ours.heat.rows().map(|(_, count)| u64::from(count)).sum();
            assert!(events.abs_diff(ours.times.count) <= 64, "{events} of {}", ours.times.count);
        }
    }

    #[test]
    fn what_never_left_its_virtual_cpu_has_no_parts() {
        assert!(profile(Hypercall::MutexEnter).0.parts.is_empty());
        let parts: Vec<_> = profile(Hypercall::CvWait).0.parts.into_iter().map(|(part, _)| part).collect();
        assert_eq!(parts, Part::ALL);
    }

    #[test]
    fn the_most_important_percentiles_are_shown_first() {
        let (profile, _) = profile(Hypercall::CvWait);
        let names = |room| profile.ladder(room).map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(0), ["max"]);
        assert_eq!(names(4), ["p50", "p99", "p99.9", "max"]);
        assert_eq!(names(50).len(), 10);
        let values: Vec<_> = profile.ladder(50).filter_map(|(_, value)| value).collect();
        assert!(values.is_sorted(), "{values:?}");
    }
}
