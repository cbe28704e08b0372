//! What a bench is to do.

use super::case::{Case, Guest};
use super::variant::Variant;
use serde::{Deserialize, Serialize};

/// How much a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// As much as it can in this many nanoseconds.
    DurationNs(u64),
    /// This many operations, however long they take.
    Operations(u64),
}

/// What a bench is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Decides the order of runs; round `n` of the workloads begins from this plus `n`.
    pub seed: u64,
    /// How often every variant runs under every load.
    pub rounds: u32,
    /// How much a run does.
    pub amount: Amount,
    /// How long a run does the same before that, unmeasured.
    pub warm_up_ns: u64,
    /// On how many processors of the host the guest runs, with nothing else of the bench on them; `None`: on all.
    #[serde(default)]
    pub guest_cores: Option<u32>,
    /// The kernel under which the variants run.
    #[serde(default)]
    pub guest: Guest,
    /// The loads.
    pub cases: Vec<Case>,
    /// The variants. All are compared with the first; the second is the first again.
    pub variants: Vec<Variant>,
}

impl Plan {
    /// The variants of a bench: the given ones, and the first again as the second.
    pub fn with_noise(given: &[Variant]) -> Vec<Variant> {
        let again = given.first().map(Variant::repeated);
        given.iter().take(1).cloned().chain(again).chain(given.iter().skip(1).cloned()).collect()
    }
}
