//! A whole bench: its plan, every run, and what follows from them. As JSON it is what `--json` writes; `docs/bench.md`
//! describes it.

use super::comparison::Comparison;
use super::order::Slot;
use super::plan::Plan;
use super::run::{Measured, Outcome, Run};
use rumpscope_reports::Host;
use serde::{Deserialize, Serialize};

/// What the file says it is.
pub const SCHEMA: &str = "rumpscope.bench";

/// Goes up when a field changes its meaning or goes away; new fields may come without that.
pub const VERSION: u32 = 1;

/// A bench.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bench {
    /// [`SCHEMA`].
    pub schema: String,
    /// [`VERSION`].
    pub version: u32,
    /// The version of rumpscope.
    pub rumpscope: String,
    /// The guest was built without optimisation.
    pub debug_build: bool,
    /// Where it ran.
    pub host: Host,
    /// The version of the segments that were read; 0: a bench of before this was told.
    #[serde(default)]
    pub segment_version: u64,
    /// When it began, in nanoseconds since 1970.
    pub began_unix_ns: u64,
    /// What it was to do.
    pub plan: Plan,
    /// All of the plan was done, or skipped for a reason that stands at the run.
    pub complete: bool,
    /// Every run, in the order in which they were made.
    pub runs: Vec<Run>,
    /// Every variant but the first against the first: load by load, then over all loads.
    pub comparisons: Vec<Comparison>,
}

/// A text is no bench of this version.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It has not the form.
    #[error("this is no {SCHEMA} of version {VERSION}: {0}")]
    Form(#[from] serde_json::Error),
    /// It says that it is something else.
    #[error("this is {schema} of version {version}, not {SCHEMA} of version {VERSION}")]
    Schema {
        /// What it says.
        schema: String,
        /// Which version it says.
        version: u32,
    },
    /// It has results of something that is not in its plan.
    #[error("this {SCHEMA} has a run or a comparison of a load or a back end that is not in its plan")]
    Index,
}

impl Bench {
    /// A bench that has not begun.
    pub fn new(plan: Plan) -> Self {
        Bench {
            schema: SCHEMA.to_owned(),
            version: VERSION,
            rumpscope: env!("CARGO_PKG_VERSION").to_owned(),
            debug_build: cfg!(debug_assertions),
            host: Host::this(),
            segment_version: rumpscope_probes::SEGMENT_VERSION,
            began_unix_ns: rumpscope_probes::clock::unix_ns(),
            plan,
            complete: false,
            runs: Vec::new(),
            comparisons: Vec::new(),
        }
    }

    /// Adds what came of a run.
    pub fn add(&mut self, slot: Slot, outcome: Outcome) {
        let Slot { round, case, variant } = slot;
        self.runs.push(Run { round, case, variant, outcome });
    }

    /// Whether a variant has failed under a load: it would again.
    pub fn has_failed(&self, case: usize, variant: usize) -> bool {
        let failed = |run: &Run| matches!(run.outcome, Outcome::Failed { .. });
        self.runs.iter().any(|run| run.case == case && run.variant == variant && failed(run))
    }

    /// Compares what ran.
    pub fn finish(&mut self) {
        self.complete = self.runs.len() == self.plan.order().len();
        self.comparisons = Comparison::all(self);
    }

    /// The runs of a variant under a load that came to their end, with their rounds.
    pub fn measured(&self, case: usize, variant: usize) -> impl Iterator<Item = (u32, &Measured)> {
        let runs = self.runs.iter().filter(move |run| run.case == case && run.variant == variant);
        runs.filter_map(|run| Some((run.round, run.measured()?)))
    }

    /// The bench as one line of JSON.
    ///
    /// # Errors
    /// As `serde_json` has them; none is known for this data.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self).map(|text| text + "\n")
    }

    /// The bench that [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// When the text is something else.
    pub fn from_json(text: &str) -> Result<Self, ReadError> {
        let bench: Bench = serde_json::from_str(text)?;
        if bench.schema != SCHEMA || bench.version != VERSION {
            return Err(ReadError::Schema { schema: bench.schema, version: bench.version });
        }
        if bench.is_of_its_plan() { Ok(bench) } else { Err(ReadError::Index) }
    }

    /// Whether all indices are those of loads and variants of the plan.
    fn is_of_its_plan(&self) -> bool {
        let (cases, variants) = (self.plan.cases.len(), self.plan.variants.len());
        let runs = self.runs.iter().map(|run| (Some(run.case), run.variant));
        let comparisons = self.comparisons.iter().map(|comparison| (comparison.case, comparison.variant));
        runs.chain(comparisons).all(|(case, variant)| case.is_none_or(|case| case < cases) && variant < variants)
    }
}
