//! What a case of the suite is.

use super::guest::Guest;
use super::runner::Finished;
use libc::c_int;

/// How the process of a case has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The case returns.
    Returns,
    /// The library ends the process with this status.
    Exits(c_int),
    /// The library has the process killed by this signal of the host.
    Killed(c_int),
}

/// What a case does with the library under test; it fails by a panic.
type Body = Box<dyn Fn(&'static Guest) + Send + Sync>;
/// What a case says about its process when that has ended.
type Verdict = Box<dyn Fn(&Finished) -> Result<(), String> + Send + Sync>;

/// One sentence of the contract, with the code that checks it.
pub struct Case {
    /// `family::what_is_checked`.
    pub name: String,
    /// The sentence.
    pub contract: String,
    /// What the widespread C implementation does instead; `None` where it does the right thing.
    pub weakness: Option<&'static str>,
    /// Whether the case is about what only our library promises.
    pub ours_only: bool,
    /// Whether it is about the host threads that the guest's threads are: not where they are coroutines.
    pub host_threads: bool,
    pub(crate) body: Body,
    pub(crate) boots: bool,
    pub(crate) end: End,
    pub(crate) environment: Vec<(&'static str, &'static str)>,
    pub(crate) verdict: Option<Verdict>,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Case").field("name", &self.name).field("end", &self.end).finish_non_exhaustive()
    }
}

impl Case {
    /// Whether it is about what `backend`, for threads and locks, does, and not the rest of our library.
    pub fn concerns_backend(&self, backend: &str) -> bool {
        if self.host_threads && backend == "fiber" {
            return false;
        }
        let families = ["clock", "component", "condvar", "lwp", "mutex", "rwlock", "threads"];
        self.name.split_once("::").is_some_and(|(family, _)| families.contains(&family))
    }

    /// The library is loaded, but its `init` is left to the case.
    pub(crate) fn before_init(&mut self) -> &mut Self {
        self.boots = false;
        self
    }

    /// Only our library promises this.
    pub(crate) fn ours_only(&mut self) -> &mut Self {
        self.ours_only = true;
        self
    }

    /// It is about the host threads that the guest's threads are.
    pub(crate) fn host_threads(&mut self) -> &mut Self {
        self.host_threads = true;
        self
    }

    /// What the C implementation is known to do instead.
    pub(crate) fn weakness(&mut self, weakness: &'static str) -> &mut Self {
        self.weakness = Some(weakness);
        self
    }

    /// The process has to end in this way, and not by the case's return.
    pub(crate) fn ends(&mut self, end: End) -> &mut Self {
        self.end = end;
        self
    }

    /// The process has this environment variable.
    pub(crate) fn environment(&mut self, name: &'static str, value: &'static str) -> &mut Self {
        self.environment.push((name, value));
        self
    }

    /// Checks the process's output after its end.
    pub(crate) fn verdict(&mut self, verdict: impl Fn(&Finished) -> Result<(), String> + Send + Sync + 'static) {
        self.verdict = Some(Box::new(verdict));
    }
}

/// Collects the cases of one family of hypercalls.
#[derive(Debug)]
pub(crate) struct Family<'s> {
    name: &'static str,
    cases: &'s mut Vec<Case>,
}

impl<'s> Family<'s> {
    pub(crate) fn new(name: &'static str, cases: &'s mut Vec<Case>) -> Self {
        Family { name, cases }
    }

    /// Cases so far, those of other families included.
    pub(crate) fn len(&self) -> usize {
        self.cases.len()
    }

    /// The cases from number `first` on.
    pub(crate) fn since(&mut self, first: usize) -> &mut [Case] {
        self.cases.get_mut(first..).unwrap_or_default()
    }

    /// Adds a case: `name` within the family, the sentence of the contract, the check.
    pub(crate) fn case(
        &mut self,
        name: impl std::fmt::Display,
        contract: impl Into<String>,
        body: impl Fn(&'static Guest) + Send + Sync + 'static,
    ) -> &mut Case {
        self.cases.push(Case {
            name: format!("{}::{name}", self.name),
            contract: contract.into(),
            weakness: None,
            ours_only: false,
            host_threads: false,
            body: Box::new(body),
            boots: true,
            end: End::Returns,
            environment: Vec::new(),
            verdict: None,
        });
        // Just pushed.
        self.cases.last_mut().expect("a case")
    }
}
