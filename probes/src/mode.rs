//! How much is measured.

/// The timing mode, from `RUMPSCOPE_TIMING`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Nothing is counted or timed.
    Off = 0,
    /// Everything is counted, nothing timed.
    Counts = 1,
    /// Everything is counted; one call in 64 (at random) and every transition is timed.
    Sampled = 2,
    /// Everything is counted and timed.
    Full = 3,
}

impl Mode {
    /// All modes.
    pub const ALL: [Mode; 4] = [Mode::Off, Mode::Counts, Mode::Sampled, Mode::Full];

    /// The name, as in `RUMPSCOPE_TIMING`.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Off => "off",
            Mode::Counts => "counts",
            Mode::Sampled => "sampled",
            Mode::Full => "full",
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
