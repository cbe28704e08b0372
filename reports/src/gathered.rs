//! For how long the guest's threads were gathered on one processor of the host, or each group of them on one.

use crate::units;
use rumpscope_probes::{Metric, Snapshot};
use serde::Serialize;

/// The back end `native` gathers them where the guest gets more done so, and on trial. A time under way, of a tenth of a second at
/// most, is not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Gathered {
    /// How often.
    pub times: u64,
    /// For how long altogether, in nanoseconds.
    pub total_ns: u64,
}

impl Gathered {
    /// What `snapshot` says of it.
    pub fn of(snapshot: &Snapshot) -> Self {
        let all = snapshot.total(Metric::GATHERED);
        Gathered { times: all.count(), total_ns: snapshot.clock.nanoseconds(all.sum).round() as u64 }
    }

    /// The part of so many nanoseconds that were looked at, 0 to 1.
    pub fn share(&self, duration_ns: f64) -> f64 {
        (self.total_ns as f64 / duration_ns.max(1.0)).min(1.0)
    }

    /// A sentence, of so many nanoseconds that were looked at; `None`: they never were.
    pub fn sentence(&self, duration_ns: f64) -> Option<String> {
        let share = self.share(duration_ns);
        let times = units::count(self.times);
        (self.times != 0)
            .then(|| format!("on shared processors for {} of the time, {times} times", units::percent(share)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_only_where_they_were() {
        assert_eq!(Gathered::default().sentence(1e9), None);
        let gathered = Gathered { times: 12, total_ns: 250_000_000 };
        assert_eq!(gathered.sentence(1e9).as_deref(), Some("on shared processors for 25.0% of the time, 12 times"));
    }
}
