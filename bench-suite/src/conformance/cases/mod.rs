//! All cases, one file per family of hypercalls.

mod block;
mod clock;
mod component;
mod condvar;
mod condvar_interlocks;
mod condvar_timeouts;
mod daemon;
mod errors;
mod exports;
mod files;
mod gather;
mod host;
mod io;
mod io_sharing;
mod loader;
mod lwp;
mod memory;
mod mutex;
mod params;
mod rwlock;
mod rwlock_transitions;
mod signals;
mod sysproxy;
mod threads;

use super::case::{Case, Family};

/// Every case, in a fixed order.
pub fn all() -> Vec<Case> {
    /// Adds a family's cases.
    type Collect = fn(&mut Family<'_>);
    let families: [(&str, Collect); 24] = [
        ("exports", exports::cases),
        ("host", host::cases),
        ("params", params::cases),
        ("errors", errors::cases),
        ("signals", signals::cases),
        ("memory", memory::cases),
        ("files", files::cases),
        ("io", io::cases),
        ("io", io_sharing::cases),
        ("block", block::cases),
        ("clock", clock::cases),
        ("threads", threads::cases),
        ("gather", gather::cases),
        ("lwp", lwp::cases),
        ("mutex", mutex::cases),
        ("rwlock", rwlock::cases),
        ("rwlock", rwlock_transitions::cases),
        ("condvar", condvar::cases),
        ("condvar", condvar_interlocks::cases),
        ("condvar", condvar_timeouts::cases),
        ("component", component::cases),
        ("loader", loader::cases),
        ("daemon", daemon::cases),
        ("sysproxy", sysproxy::cases),
    ];
    let mut cases = Vec::new();
    for (name, collect) in families {
        collect(&mut Family::new(name, &mut cases));
    }
    cases
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = super::all().into_iter().map(|case| case.name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
