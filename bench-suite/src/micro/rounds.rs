//! Times of all subjects, in turn.

use super::child::TIME;
use super::rows::ROWS;
use crate::ab::shuffled;
use crate::process::{Failed, Process};
use crate::workload::rng::Rng;
use rumpscope_probes::Mode;
use std::path::PathBuf;

/// A library in a timing mode.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What heads its column.
    pub label: String,
    /// The shared object.
    pub library: PathBuf,
    /// The timing mode; `None` for a library that has none.
    pub mode: Option<Mode>,
}

/// What a subject's calls cost: for each round, for each row, nanoseconds per hypercall.
pub type Times = Vec<Vec<f64>>;

/// Measures every subject once a round, each time in a new process, in an order drawn anew for each round.
///
/// # Errors
/// When a process cannot be started or fails.
pub fn measure(subjects: &[Subject], rounds: u32, mut progress: impl FnMut(u32)) -> Result<Vec<Times>, Failed> {
    let mut rng = Rng::new(1);
    let mut times = vec![Times::new(); subjects.len()];
    for round in 0..rounds {
        for subject in shuffled(subjects.len(), &mut rng) {
            times[subject].push(run(&subjects[subject])?);
        }
        progress(round + 1);
    }
    Ok(times)
}

fn run(subject: &Subject) -> Result<Vec<f64>, Failed> {
    let library = &subject.library;
    let output = Process::timing(subject.mode).run(&[], [TIME.into(), library.into(), "".into()])?;
    let text = String::from_utf8_lossy(&output);
    let times: Vec<f64> = text.lines().filter_map(|line| line.parse().ok()).collect();
    if times.len() != ROWS.len() {
        return Err(Failed::of(library, &format!("its figures are not understood: {text}")));
    }
    Ok(times)
}
