//! Whether the runs of a bench, or of two, may be compared at all.

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
    /// They were made on different hosts.
    #[error("the first was made on {one}, the second on {two}")]
    Host {
        /// The host of one bench.
        one: String,
        /// That of the other.
        two: String,
    },
    /// One was built without optimisation.
    #[error("one of the two was made without optimisation (a debug build)")]
    Build,
    /// The guests had different numbers of processors of the host.
    #[error("the guests of the first had {one} of the host, those of the second {two}")]
    GuestCores {
        /// In one bench.
        one: String,
        /// In the other.
        two: String,
    },
    /// They were made by segments of different versions.
    #[error("the segments of the first have version {one}, those of the second {two} (0: not told)")]
    SegmentVersion {
        /// Of one bench.
        one: u64,
        /// Of the other.
        two: u64,
    },
}

/// By which clock a run was timed.
#[derive(Clone, Copy)]
struct Timed<'a> {
    /// The variant that ran.
    label: &'a str,
    source: &'a str,
    ticks_per_second: f64,
}

impl Timed<'_> {
    fn check(self, other: Self) -> Result<(), Mismatch> {
        if self.source == other.source && (self.ticks_per_second / other.ticks_per_second - 1.0).abs() <= SAME_RATE {
            return Ok(());
        }
        let name = |timed: Self| format!("{} at {:.3} GHz", timed.source, timed.ticks_per_second / 1e9);
        Err(Mismatch::Clock {
            one: self.label.to_owned(),
            first: name(self),
            two: other.label.to_owned(),
            second: name(other),
        })
    }
}

impl Bench {
    /// Whether all runs so far may be compared.
    ///
    /// # Errors
    /// What differs between two of them.
    pub fn check(&self) -> Result<(), Mismatch> {
        for run in &self.runs {
            if let Some(Probes::Unreadable { reason }) = run.measured().map(|measured| &measured.probes) {
                let label = self.plan.variants[run.variant].label.clone();
                return Err(Mismatch::Segment { label, reason: reason.clone() });
            }
        }
        let Some(first) = self.timed().next() else { return Ok(()) };
        self.timed().try_for_each(|timed| first.check(timed))
    }

    /// Whether the runs of two benches, each of which may be compared, may be compared with each other.
    ///
    /// # Errors
    /// What differs between the two.
    pub fn check_with(&self, other: &Bench) -> Result<(), Mismatch> {
        if self.host != other.host {
            let [one, two] = [self, other].map(|bench| {
                let host = &bench.host;
                format!("{}, {} cores, {:?}", host.system, host.cores, host.processor)
            });
            return Err(Mismatch::Host { one, two });
        }
        if self.debug_build != other.debug_build {
            return Err(Mismatch::Build);
        }
        if self.plan.guest_cores != other.plan.guest_cores {
            let cores = |cores: Option<u32>| match cores {
                None => "all processors".to_owned(),
                Some(count) => format!("{count} processors"),
            };
            let [one, two] = [self, other].map(|bench| cores(bench.plan.guest_cores));
            return Err(Mismatch::GuestCores { one, two });
        }
        if self.segment_version != other.segment_version {
            return Err(Mismatch::SegmentVersion { one: self.segment_version, two: other.segment_version });
        }
        match (self.timed().next(), other.timed().next()) {
            (Some(one), Some(two)) => one.check(two),
            // A library without probes has no clock.
            _ => Ok(()),
        }
    }

    /// The clocks of the runs that have one.
    fn timed(&self) -> impl Iterator<Item = Timed<'_>> {
        self.runs.iter().filter_map(|run| match &run.measured()?.probes {
            Probes::Read { clock, ticks_per_second, .. } => Some(Timed {
                label: &self.plan.variants[run.variant].label,
                source: clock,
                ticks_per_second: *ticks_per_second,
            }),
            _ => None,
        })
    }
}
