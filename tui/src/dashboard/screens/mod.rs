//! The pictures.

mod calls;
mod contention;
mod glossary;
mod heatmap;
mod help;
mod overview;
mod threads;
mod transitions;
mod vcpus;

use super::screen::Screen;
use super::waits::Waits;

/// The screens, in the order of their numbers.
pub fn all() -> Vec<Box<dyn Screen>> {
    // Who waited for what is found once for all who show it.
    let waits = Waits::shared();
    vec![
        Box::<overview::Overview>::default(),
        Box::<calls::Calls>::default(),
        Box::<transitions::Transitions>::default(),
        Box::new(contention::Contention::new(waits.clone())),
        Box::new(threads::Threads::new(waits)),
        Box::<heatmap::HeatMap>::default(),
    ]
}

/// The help.
pub fn help() -> Box<dyn Screen> {
    Box::<help::Help>::default()
}
