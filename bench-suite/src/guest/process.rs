//! Processes: what lwps belong to.

use super::kernel::kernel;
use super::kmutex::KMutex;
use super::lwp::Lwp;
use core::ffi::c_int;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The kernel's own process.
pub const KERNEL: c_int = 0;
/// The first process, to which threads without an lwp of their own belong for a while.
pub const INIT: c_int = 1;

/// A process. It exists until its last lwp ends; those of the kernel and of init as long as the guest runs.
#[derive(Debug)]
pub struct Process {
    pid: c_int,
    parent: c_int,
    name: KMutex<String>,
    lwps: AtomicU32,
    exiting: AtomicBool,
}

impl Process {
    /// Its number.
    pub fn pid(&self) -> c_int {
        self.pid
    }

    /// Its parent's number.
    pub fn parent(&self) -> c_int {
        self.parent
    }

    /// The name of the program that it runs.
    pub fn name(&self) -> String {
        self.name.enter().clone()
    }

    /// It runs another program now.
    pub fn rename(&self, name: &str) {
        name.clone_into(&mut self.name.enter());
    }

    /// How many lwps it has.
    pub fn lwps(&self) -> u32 {
        self.lwps.load(Ordering::Relaxed)
    }

    /// From now on it gets no new lwps.
    pub fn exit(&self) {
        // Relaxed: it only refuses; what is under way comes to its end.
        self.exiting.store(true, Ordering::Relaxed);
    }

    pub(super) fn lwp_added(&self) {
        // Relaxed: the caller has the process, so the number is not that of one about to go.
        self.lwps.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn lwp_removed(&self) {
        // Release, and acquire for the last one: it sees all that was done to the process.
        if self.lwps.fetch_sub(1, Ordering::AcqRel) == 1 && self.pid > INIT {
            kernel().processes.remove(self.pid);
        }
    }
}

/// All processes, by number. Its mutexes are made for threads on their way into or out of the kernel, without an lwp.
#[derive(Debug)]
pub struct ProcessTable {
    processes: KMutex<BTreeMap<c_int, Arc<Process>>>,
    last_pid: AtomicI32,
}

impl ProcessTable {
    /// The kernel and init.
    pub fn new() -> Self {
        let processes = [(KERNEL, KERNEL, "system"), (INIT, KERNEL, "init")];
        let processes = processes.into_iter().map(|(pid, parent, name)| (pid, Self::make(pid, parent, name)));
        ProcessTable { processes: KMutex::new_ownerless(processes.collect()), last_pid: AtomicI32::new(INIT) }
    }

    fn make(pid: c_int, parent: c_int, name: &str) -> Arc<Process> {
        Arc::new(Process {
            pid,
            parent,
            name: KMutex::new_ownerless(name.to_owned()),
            lwps: AtomicU32::new(0),
            exiting: AtomicBool::new(false),
        })
    }

    /// A new process with its first lwp; it ends with its last one.
    pub fn fork(&self, parent: c_int, name: &str) -> NonNull<Lwp> {
        // Numbers are not used again: who remembers one finds that process or none. Relaxed: they only have to differ.
        let pid = self.last_pid.fetch_add(1, Ordering::Relaxed) + 1;
        let process = Self::make(pid, parent, name);
        self.processes.enter().insert(pid, Arc::clone(&process));
        Lwp::create(process)
    }

    /// The process with this number.
    pub fn find(&self, pid: c_int) -> Option<Arc<Process>> {
        self.processes.enter().get(&pid).cloned()
    }

    /// Whether it takes new lwps.
    pub fn is_exiting(process: &Process) -> bool {
        process.exiting.load(Ordering::Relaxed)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.processes.enter().len()
    }

    fn remove(&self, pid: c_int) {
        let process = self.processes.enter().remove(&pid);
        // Outside of the table's mutex: with the last reference a mutex is destroyed.
        drop(process);
    }
}
