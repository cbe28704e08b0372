//! The hypervisor's own functions in a call chain, and leaving them out.
//!
//! In a drop-in run they are those of one shared object. In an executable that has everything in it, the embedded guest
//! or a static kernel, they are told by the names of our crates; instances of library functions among them are ours if
//! one of ours has called them.

use super::Frame;

/// The hypervisor as a shared object; a version may follow.
const HYPERVISOR: &str = "librumpuser.so";

/// The object whose functions stand before those of a shared kernel's scheduler.
const PRELOADED: &str = "libscope_preload.so";

/// The crates that end up in the hypervisor and belong to it alone.
const CRATES: [&str; 2] = ["rumpuser", "rumpscope_probes"];

/// Crates whose functions are whose who calls them.
const LIBRARIES: [&str; 4] = ["core", "std", "alloc", "corosensei"];

/// What hypercalls begin with.
const ENTRY: &str = "rumpuser_";

/// Whether all functions of the file with this name are the hypervisor's: nobody asks for their lines.
pub fn is_own(module: &str) -> bool {
    module.starts_with(HYPERVISOR) || module.starts_with(PRELOADED)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Hypervisor,
    /// Between the kernel's functions, and to be passed over.
    Preloaded,
    /// The caller's.
    Library,
    Other,
}

/// The chain without the hypervisor: of its innermost functions, up to the hypercall, none is left; of those further out
/// (the guest was called by a hypercall, and made another one) the hypercall; of those that are not below a hypercall,
/// as at the beginning of a thread, none.
pub fn without(chain: Vec<Frame>) -> Vec<Frame> {
    let chain: Vec<_> = chain.into_iter().filter(|frame| whose(frame) != Whose::Preloaded).collect();
    let ours = ours(&chain);
    let mut left = Vec::with_capacity(chain.len());
    let mut innermost = true;
    // The hypercall at the outer end of the present run of our functions, as far as it was seen.
    let mut entry = None;
    for (frame, ours) in chain.into_iter().zip(ours) {
        if ours {
            if frame.function.starts_with(ENTRY) && !innermost {
                entry = Some(Frame { inlined: false, ..frame });
            }
        } else {
            innermost = false;
            left.extend(entry.take());
            left.push(frame);
        }
    }
    left.extend(entry);
    left
}

/// Which frames are the hypervisor's.
fn ours(chain: &[Frame]) -> Vec<bool> {
    let mut caller = false;
    let mut ours: Vec<_> = chain
        .iter()
        .rev()
        .map(|frame| {
            caller = match whose(frame) {
                Whose::Hypervisor => true,
                Whose::Library => caller,
                Whose::Preloaded | Whose::Other => false,
            };
            caller
        })
        .collect();
    ours.reverse();
    ours
}

fn whose(frame: &Frame) -> Whose {
    if frame.module.starts_with(PRELOADED) {
        return Whose::Preloaded;
    }
    if frame.module.starts_with(HYPERVISOR) || frame.function.starts_with(ENTRY) {
        return Whose::Hypervisor;
    }
    match krate(&frame.function) {
        Some(krate) if CRATES.contains(&krate) => Whose::Hypervisor,
        Some(krate) if LIBRARIES.contains(&krate) => Whose::Library,
        _ => Whose::Other,
    }
}

/// The crate of a Rust path; that of the type if it is the method of a trait (`<rumpuser::Type as core::Trait>::f`).
fn krate(function: &str) -> Option<&str> {
    let path = function.trim_start_matches(['<', '&', '*', '(', '[']);
    let path = ["mut ", "const ", "dyn "].iter().fold(path, |path, word| path.strip_prefix(word).unwrap_or(path));
    Some(path.split_once("::")?.0)
}

#[cfg(test)]
mod tests {
    use super::{Frame, krate, without};

    fn chain(functions: &[(&str, &str)]) -> Vec<Frame> {
        let frame = |&(module, function): &(&str, &str)| Frame {
            function: function.to_owned(),
            module: module.to_owned(),
            file_line: None,
            inlined: false,
            offset: 0,
        };
        functions.iter().map(frame).collect()
    }

    fn names(functions: &[(&str, &str)]) -> Vec<String> {
        without(chain(functions)).into_iter().map(|frame| frame.function).collect()
    }

    const OURS: &str = "librumpuser.so.0";
    const KERNEL: &str = "librump.so.0";

    #[test]
    fn in_a_drop_in_run_the_module_tells() {
        let left = names(&[
            (OURS, "librumpuser.so.0+0x123"),
            (OURS, "std::thread::local::LocalKey<T>::with"),
            (OURS, "rumpuser_mutex_enter"),
            (KERNEL, "mutex_enter"),
            (KERNEL, "VOP_LOCK"),
        ]);
        assert_eq!(left, ["mutex_enter", "VOP_LOCK"]);
    }

    #[test]
    fn a_hypercall_that_called_the_guest_stands_for_what_is_below_it() {
        let left = names(&[
            (OURS, "rumpuser_cv_wait_nowrap"),
            ("libscope_preload.so", "rump_schedule_cpu_interlock"),
            (KERNEL, "rump_schedule_cpu"),
            (OURS, "rumpuser::upcall::schedule"),
            (OURS, "rumpuser_mutex_exit"),
            (OURS, "rumpuser_mutex_enter"),
            (KERNEL, "mutex_enter"),
        ]);
        assert_eq!(left, ["rump_schedule_cpu", "rumpuser_mutex_enter", "mutex_enter"]);
    }

    #[test]
    fn in_one_executable_the_crates_tell() {
        const ALL: &str = "guest";
        let left = names(&[
            (ALL, "core::ops::function::FnOnce::call_once"),
            (ALL, "rumpscope_probes::measure::measure"),
            (ALL, "<rumpuser::host::Native as rumpuser::host::Backend>::enter"),
            (ALL, "rumpuser_mutex_enter"),
            (ALL, "core::ops::function::FnOnce::call_once"),
            (ALL, "rumpscope_bench_suite::guest::kmutex::KMutex<T>::enter"),
            (ALL, "core::ops::function::FnOnce::call_once"),
            (ALL, "rumpuser::host::thread::run"),
            ("libc.so.6", "start_thread"),
        ]);
        assert_eq!(
            left,
            [
                "core::ops::function::FnOnce::call_once",
                "rumpscope_bench_suite::guest::kmutex::KMutex<T>::enter",
                "start_thread"
            ]
        );
    }

    #[test]
    fn a_chain_without_the_hypervisor_stays_and_one_of_nothing_else_is_empty() {
        assert_eq!(names(&[(KERNEL, "a"), (KERNEL, "b")]), ["a", "b"]);
        assert!(names(&[(OURS, "a"), (OURS, "rumpuser_free")]).is_empty());
        assert!(names(&[]).is_empty());
    }

    #[test]
    fn the_crate_of_a_path() {
        assert_eq!(krate("<&mut rumpuser::a::B as core::fmt::Debug>::fmt"), Some("rumpuser"));
        assert_eq!(krate("core::ptr::drop_in_place<rumpuser::A>"), Some("core"));
        assert_eq!(krate("mutex_enter"), None);
    }
}
