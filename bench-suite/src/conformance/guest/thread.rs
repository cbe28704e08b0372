//! The guest's threads: host threads with an lwp.

use super::upcalls::{Lwp, new_lwp};
use super::{DEADLINE, Event, Guest};
use libc::{c_int, pid_t};
use rumpuser::abi::types::lwp_op;
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// What the guest knows of a host thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// Whether it has a virtual CPU.
    pub(super) on_cpu: bool,
    /// How often it holds the guest's big lock.
    pub(super) locks: c_int,
    /// Its lwp.
    pub(super) lwp: Lwp,
    /// The lwp ends when the thread gives up its virtual CPU.
    pub(super) temporary: bool,
}

impl State {
    const OUTSIDE: State = State { on_cpu: false, locks: 0, lwp: Lwp::NONE, temporary: false };
}

static NEXT_NUMBER: AtomicU32 = AtomicU32::new(1);

thread_local! {
    static NUMBER: u32 = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
    static STATE: Cell<State> = const { Cell::new(State::OUTSIDE) };
}

/// The number of the calling thread in the trace.
pub(super) fn number() -> u32 {
    NUMBER.with(|number| *number)
}

pub(crate) fn state() -> State {
    STATE.get()
}

pub(super) fn set_state(state: State) {
    STATE.set(state);
}

/// Gives the calling thread an lwp and a virtual CPU.
pub(super) fn enter(guest: &'static Guest) {
    let lwp = new_lwp();
    guest.curlwpop(lwp_op::CREATE, lwp);
    guest.cpus.acquire();
    guest.curlwpop(lwp_op::SET, lwp);
    // No two threads hold the big lock equally often, so that each gets its own count back.
    let locks = number().cast_signed();
    set_state(State { on_cpu: true, locks, lwp, temporary: false });
}

/// Takes them back.
pub(super) fn leave(guest: &'static Guest) {
    let state = state();
    assert!(state.on_cpu, "the thread ends on a virtual CPU");
    assert_eq!(guest.curlwp(), state.lwp, "the library's idea of the current lwp");
    guest.curlwpop(lwp_op::CLEAR, state.lwp);
    guest.cpus.release();
    guest.curlwpop(lwp_op::DESTROY, state.lwp);
    set_state(State::OUTSIDE);
}

/// The thread leaves its virtual CPU without any hypercall.
pub(super) fn step_off(guest: &Guest) {
    set_state(State { on_cpu: false, ..state() });
    guest.cpus.release();
}

/// And takes one again.
pub(super) fn step_on(guest: &Guest) {
    guest.cpus.acquire();
    set_state(State { on_cpu: true, ..state() });
}

/// A signal that the suite sends to threads to disturb their waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signal(c_int);

impl Signal {
    /// Makes the process survive the signal without a restart of interrupted system calls.
    pub(crate) fn prepare() -> Self {
        extern "C" fn ignore(_: c_int) {}
        // SAFETY: all zeroes is a valid `sigaction`: no flags, so no SA_RESTART; empty mask.
        let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
        action.sa_sigaction = ignore as extern "C" fn(c_int) as usize;
        // SAFETY: the handler does nothing.
        assert_eq!(unsafe { libc::sigaction(libc::SIGUSR2, &action, core::ptr::null_mut()) }, 0);
        Signal(libc::SIGUSR2)
    }
}

/// A running thread.
#[derive(Debug)]
pub(crate) struct GuestThread {
    guest: &'static Guest,
    number: u32,
    tid: pid_t,
    ended: Receiver<()>,
}

pub(super) fn spawn(guest: &'static Guest, body: impl FnOnce() + Send + 'static) -> GuestThread {
    spawn_outside(guest, move || {
        enter(guest);
        let before = state();
        body();
        assert_eq!(state(), before, "virtual CPU, locks and lwp at the end of the thread are not those at its start");
        leave(guest);
    })
}

pub(super) fn spawn_outside(guest: &'static Guest, body: impl FnOnce() + Send + 'static) -> GuestThread {
    let (started, starts) = channel();
    let (ends, ended) = channel();
    std::thread::spawn(move || {
        // SAFETY: has no preconditions.
        let tid = unsafe { libc::gettid() };
        // The receivers may be gone already; nobody is interested then.
        let _ = started.send((number(), tid));
        body();
        let _ = ends.send(());
    });
    let (number, tid) = starts.recv_timeout(DEADLINE).expect("the thread starts");
    GuestThread { guest, number, tid, ended }
}

impl GuestThread {
    /// Waits for its end.
    pub(crate) fn join(self) {
        self.ended.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("thread {} does not end", self.number));
    }

    /// Waits until it has left its virtual CPU in a hypercall.
    pub(crate) fn wait_off_cpu(&self) {
        let what = format!("thread {} to leave its virtual CPU", self.number);
        self.guest.trace.wait_for_thread(self.number, &what, |event| matches!(event, Event::Left { .. }));
    }

    /// Waits until it asks for a virtual CPU again.
    pub(crate) fn wait_asks_for_cpu(&self) {
        let what = format!("thread {} to ask for a virtual CPU", self.number);
        self.guest.trace.wait_for_thread(self.number, &what, |event| matches!(event, Event::Asked { .. }));
    }

    /// All that happened in this thread so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.guest.trace.of(self.number, 0)
    }

    /// Gives it the opportunity to fall asleep: returns when the host says that it sleeps, or after a while. Only makes
    /// a case sharper; no case may depend on it.
    pub(crate) fn settle(&self) {
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(50) {
            let stat = std::fs::read_to_string(format!("/proc/self/task/{}/stat", self.tid)).unwrap_or_default();
            // The state follows the name, which stands in parentheses.
            if stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S')) {
                return;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Disturbs it `times` with a signal, each time when it sleeps.
    pub(crate) fn interrupt(&self, signal: Signal, times: usize) {
        for _ in 0..times {
            self.settle();
            // SAFETY: a plain system call on a thread of this process, with a signal that has a handler.
            unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), self.tid, signal.0) };
        }
        self.settle();
    }
}
