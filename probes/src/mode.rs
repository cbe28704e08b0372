//! How much is measured.

/// The timing mode, from `RUMPSCOPE_TIMING`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Nothing is counted or timed.
    Off = 0,
    /// Everything is counted, nothing timed.
    Counts = 1,
    /// Everything is counted; one call in 64 (at random), every transition of a hypercall and every wait for a lock is timed, of
    /// the guest's own transitions the ends of runs and one in 64.
    Sampled = 2,
    /// Everything is counted, and all that takes longer than the clock itself is timed; of the calls that do not, a part.
    Full = 3,
    /// Everything is counted and timed, at the price of two clock reads for each call; of calls that cost less than one
    /// ([`Timing::Sampled`](crate::Timing::Sampled)), a part.
    Exact = 4,
}

impl Mode {
    /// All modes.
    pub const ALL: [Mode; 5] = [Mode::Off, Mode::Counts, Mode::Sampled, Mode::Full, Mode::Exact];

    /// The name, as in `RUMPSCOPE_TIMING`.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Off => "off",
            Mode::Counts => "counts",
            Mode::Sampled => "sampled",
            Mode::Full => "full",
            Mode::Exact => "exact",
        }
    }

    /// The mode of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// The mode with this number.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| *mode as u64 == number)
    }
}
