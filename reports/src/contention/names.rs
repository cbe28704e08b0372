//! What addresses and locks are called.

use rumpscope_probes::contention::{Contention, Lock};
use serde::Serialize;

/// A function in a call chain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Frame {
    /// Its name; of one that nobody knows, its file and the address in it.
    pub function: String,
    /// `file:line`, where the program tells.
    pub source: Option<String>,
}

/// Who knows the names.
pub trait Names {
    /// The functions of a chain of return addresses, innermost first, inlined ones too; the hypervisor's own innermost
    /// ones are left out.
    fn chain(&mut self, addresses: &[u64]) -> Vec<Frame>;

    /// The name of a lock, where it has one; locks made at one place may have the same.
    fn lock(&mut self, lock: &Lock, contention: &Contention) -> Option<String>;

    /// Why there are fewer names than there could be, in sentences.
    fn problems(&self) -> Vec<String>;
}

/// Functions of a kernel that only wait, or make a lock, on behalf of their callers: the caller is what a reader looks
/// for. These are names of NetBSD's kernel, without its prefix.
const ON_BEHALF: &[&str] = &[
    "_kernel_lock",
    "cv_init",
    "cv_signal",
    "cv_broadcast",
    "cv_timedwait",
    "cv_timedwait_sig",
    "cv_timedwaitbt",
    "cv_timedwaitbt_sig",
    "cv_wait",
    "cv_wait_sig",
    "docvwait",
    "do_cv_wait",
    "kpause",
    "mtsleep",
    "mutex_enter",
    "mutex_exit",
    "mutex_init",
    "mutex_obj_alloc",
    "mutex_obj_init",
    "mutex_spin_enter",
    "mutex_spin_exit",
    "rw_downgrade",
    "rw_enter",
    "rw_exit",
    "rw_init",
    "rw_obj_alloc",
    "rw_obj_init",
    "tsleep",
];

/// The same of the embedded guest, and Rust's libraries: whose function is in one of these acts for its caller.
const MODULES_ON_BEHALF: &[&str] = &[
    "alloc::",
    "core::",
    "std::",
    "rumpscope_bench_suite::guest::big_lock::",
    "rumpscope_bench_suite::guest::host_lock::",
    "rumpscope_bench_suite::guest::hypercall::",
    "rumpscope_bench_suite::guest::kcondvar::",
    "rumpscope_bench_suite::guest::kmutex::",
    "rumpscope_bench_suite::guest::krwlock::",
];

/// The frame that a chain stands for: the innermost that does not only wait on behalf of its caller.
pub fn site(chain: &[Frame]) -> Option<&Frame> {
    chain.iter().find(|frame| !is_on_behalf(&frame.function)).or(chain.first())
}

fn is_on_behalf(function: &str) -> bool {
    // The method of a trait is `<module::Type as Trait>::method`.
    let path = function.trim_start_matches(['<', '&']);
    // A hypercall stands for itself where it has called the guest and that has called it again.
    function.starts_with("rumpuser_")
        || ON_BEHALF.contains(&function)
        || MODULES_ON_BEHALF.iter().any(|module| path.starts_with(module))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(functions: &[&str]) -> Vec<Frame> {
        functions.iter().map(|name| Frame { function: (*name).to_owned(), source: None }).collect()
    }

    #[test]
    fn a_site_is_who_wanted_the_lock() {
        let of = |functions: &[&str]| site(&chain(functions)).map(|frame| frame.function.clone());
        assert_eq!(of(&["mutex_enter", "vn_lock", "main"]).as_deref(), Some("vn_lock"));
        assert_eq!(of(&["cv_wait", "mutex_enter"]).as_deref(), Some("cv_wait"));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["rumpuser_rw_enter", "rw_enter", "genfs_lock"]).as_deref(), Some("genfs_lock"));
        let embedded = [
            "rumpscope_bench_suite::guest::host_lock::HostMutex::enter",
            "<rumpscope_bench_suite::guest::kmutex::KMutexGuard<T> as core::ops::drop::Drop>::drop",
            "core::ptr::drop_in_place<rumpscope_bench_suite::guest::kmutex::KMutexGuard<u64>>",
            "rumpscope_bench_suite::guest::cache::Cache::get",
        ];
        assert_eq!(of(&embedded).as_deref(), Some(embedded[3]));
    }

    #[test]
    fn functions_on_behalf_are_listed_once() {
        let mut sorted = ON_BEHALF.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), ON_BEHALF.len());
    }
}
