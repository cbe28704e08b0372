//! Whether the runs of a bench may be compared at all.

use super::bench::Bench;
use super::run::Probes;

/// Rates are estimated, within 0.2 % in a run of a millisecond, better in a longer one.
const SAME_RATE: f64 = 0.01;

/// Runs that should not be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The segments have different versions.
    #[error("the segment of {label} cannot be read beside the others ({reason})")]
    Segment {
        /// Whose.
        label: String,
        /// What the reader says.
        reason: String,
    },
    /// They were timed by different clocks.
    #[error("{one} was timed by the clock {first}, {two} by {second}")]
    Clock {
        /// A variant.
        one: String,
        /// Its clock.
        first: String,
        /// Another run's variant.
        two: String,
        /// Its clock.
        second: String,
    },
}

impl Bench {
    /// Whether all runs so far may be compared.
    ///
    /// # Errors
    /// What differs between two of them.
    pub fn check(&self) -> Result<(), Mismatch> {
        let mut first: Option<(&str, &str, f64)> = None;
        for run in &self.runs {
            let Some(measured) = run.measured() else { continue };
            let label = &self.plan.variants[run.variant].label;
            match &measured.probes {
                Probes::None => {}
                Probes::Unreadable { reason } => {
                    return Err(Mismatch::Segment { label: label.clone(), reason: reason.clone() });
                }
                Probes::Read { clock, ticks_per_second, .. } => {
                    let &mut (one, source, rate) = first.get_or_insert((label, clock, *ticks_per_second));
                    if source != clock || (rate / ticks_per_second - 1.0).abs() > SAME_RATE {
                        let name = |source: &str, rate: f64| format!("{source} at {:.3} GHz", rate / 1e9);
                        return Err(Mismatch::Clock {
                            one: one.to_owned(),
                            first: name(source, rate),
                            two: label.clone(),
                            second: name(clock, *ticks_per_second),
                        });
                    }
                }
            }
        }
        Ok(())
    }
}
