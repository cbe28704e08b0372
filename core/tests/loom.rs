//! The locks in all interleavings of a few threads, up to a number of preemptions.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p rumpscope-core --release --test loom
//! ```
//!
//! A lost wake-up is a deadlock, which loom finds; what a lock protects is in loom's cells, which find every access
//! that another one did not happen before.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use rumpuser::host::sync::{
    Condvar, Deadline, Home, Monitor, Mutex, Note, OtherReaders, Outcome, Owner, Reply, Rwlock, Waited,
};

/// Explores `body` with up to `preemptions` switches that no thread asks for.
fn explore(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    // Steps of one interleaving, to tell a long one from one without end.
    model.max_branches = 10_000;
    model.check(body);
}

fn name(thread: usize) -> Owner {
    Owner::from_address(core::ptr::without_provenance::<u64>((thread + 1) * 64))
}

/// What the lock under test protects.
struct Guarded<T>(UnsafeCell<T>);

// SAFETY: the models use it under the lock that they test; loom finds where they do not.
unsafe impl<T> Send for Guarded<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Guarded<T> {}

impl<T: Copy> Guarded<T> {
    fn new(value: T) -> Self {
        Guarded(UnsafeCell::new(value))
    }

    fn get(&self) -> T {
        // SAFETY: the lock under test is held for reading or writing.
        self.0.with(|value| unsafe { *value })
    }

    fn set(&self, new: T) {
        // SAFETY: the lock under test is held for writing.
        self.0.with_mut(|value| unsafe { *value = new })
    }
}

/// Runs `body(state, thread)` on `count` threads, of which the last is the calling one, until all have ended.
fn run<S: Send + Sync + 'static>(count: usize, state: S, body: impl Fn(&S, usize) + Copy + Send + 'static) -> Arc<S> {
    let state = Arc::new(state);
    let threads: Vec<_> = (1..count)
        .map(|thread| {
            let state = state.clone();
            thread::spawn(move || body(&state, thread))
        })
        .collect();
    body(&state, 0);
    for thread in threads {
        thread.join().unwrap();
    }
    state
}

fn mutex_excludes(threads: usize, rounds: u32, preemptions: usize) {
    explore(preemptions, move || {
        let state = run(threads, (Mutex::new(), Guarded::new(0)), move |(mutex, count), thread| {
            for _ in 0..rounds {
                if !mutex.try_lock(name(thread)) {
                    mutex.lock_waiting(name(thread), || (), &|| 0);
                }
                assert_eq!(mutex.owner(), Some(name(thread)));
                count.set(count.get() + 1);
                mutex.unlock(name(thread)).unwrap();
            }
        });
        assert_eq!(state.1.get(), threads as u32 * rounds);
    });
}

#[test]
fn mutex_two_threads() {
    mutex_excludes(2, 2, 5);
}

#[test]
fn mutex_three_threads() {
    mutex_excludes(3, 1, 3);
}

/// Who has slept asks for the mutex, which its owner has taken again, and is given it, while another one sleeps.
#[test]
fn mutex_is_handed_over() {
    explore(3, || {
        run(3, (Mutex::new(), Guarded::new(0)), |(mutex, count), thread| {
            for _ in 0..if thread == 0 { 2 } else { 1 } {
                mutex.lock(name(thread));
                assert_eq!(mutex.owner(), Some(name(thread)));
                count.set(count.get() + 1);
                mutex.unlock(name(thread)).unwrap();
            }
        });
    });
}

/// A thread that only tries takes the mutex from under those that are being woken.
#[test]
fn mutex_with_a_barger() {
    explore(3, || {
        run(3, (Mutex::new(), Guarded::new(0)), |(mutex, count), thread| {
            let me = name(thread);
            if thread == 2 {
                if !mutex.try_lock(me) && !mutex.try_lock_spinning(me) {
                    return;
                }
            } else {
                mutex.lock(me);
            }
            count.set(count.get() + 1);
            mutex.unlock(me).unwrap();
        });
    });
}

/// The signaller's, thread 0's.
fn names() -> [Owner; 2] {
    [name(0); 2]
}

/// What it says to who shows this.
fn reply_to(note: Note) -> Reply {
    Reply { at: note.since + 1, lane: note.lane, stack: 3 }
}

/// Marks the note of a waiter at the gate.
fn told(note: Note) -> Reply {
    // SAFETY: of a thread that waits in `Gate::wait`.
    unsafe { &*note.address.cast::<Guarded<bool>>() }.set(true);
    reply_to(note)
}

struct Gate {
    monitor: Monitor,
    condition: Condvar,
    open: Guarded<bool>,
    waiting: Guarded<u32>,
    /// Those who wait have something else to do before they take the mutex.
    later: bool,
}

impl Gate {
    fn new() -> Self {
        let (open, waiting) = (Guarded::new(false), Guarded::new(0));
        Gate { monitor: Monitor::new(), condition: Condvar::new(), open, waiting, later: false }
    }

    fn of_later() -> Self {
        Gate { later: true, ..Gate::new() }
    }

    /// Waits once, unless the gate is open. `None` if it was.
    fn wait(&self, me: Owner, deadline: Option<&Deadline>) -> Option<Outcome> {
        self.monitor.mutex().lock(me);
        if self.open.get() {
            self.monitor.unlock(me).unwrap();
            return None;
        }
        self.waiting.set(self.waiting.get() + 1);
        let noted = Guarded::new(false);
        // Others show something else.
        let address = core::ptr::from_ref(&noted);
        let note = Note { address: address.cast(), since: address.addr() as u64, lane: address.addr() as u32 };
        let release = || self.monitor.unlock(me).unwrap();
        let home = if self.later { Home::later(&self.monitor) } else { Home::next(&self.monitor) };
        let Waited { outcome, reply, .. } = self.condition.wait(Some(home), deadline, note, release);
        // Whoever signals has been shown it before, and nobody else.
        assert_eq!(noted.get(), outcome != Outcome::TimedOut);
        assert_eq!(reply, if noted.get() { reply_to(note) } else { Reply::NONE });
        let early = !self.monitor.mutex().try_lock(me);
        if early {
            self.monitor.mutex().lock(me);
        }
        // SAFETY: locked above.
        unsafe {
            match outcome {
                Outcome::Handed => self.monitor.arrive(),
                Outcome::Signalled if early => self.monitor.came_too_early(),
                _ => {}
            }
        }
        assert!(self.open.get() || outcome == Outcome::TimedOut);
        self.monitor.unlock(me).unwrap();
        Some(outcome)
    }

    /// Opens the gate and says how many wait at it.
    fn open(&self, me: Owner) -> u32 {
        self.monitor.mutex().lock(me);
        self.open.set(true);
        let waiting = self.waiting.get();
        self.monitor.unlock(me).unwrap();
        waiting
    }
}

fn signal_under_the_mutex(new: fn() -> Gate) {
    explore(5, move || {
        run(2, new(), |gate, thread| {
            if thread == 1 {
                gate.wait(name(1), None);
                return;
            }
            gate.monitor.mutex().lock(name(0));
            gate.open.set(true);
            assert_eq!(gate.condition.waiters(), gate.waiting.get());
            gate.condition.signal(names(), told);
            assert_eq!(gate.condition.waiters(), 0);
            gate.monitor.unlock(name(0)).unwrap();
        });
    });
}

#[test]
fn condvar_signal_under_the_mutex() {
    signal_under_the_mutex(Gate::new);
}

/// Who takes the mutex later is let go while it is held.
#[test]
fn condvar_signal_of_one_that_comes_later() {
    signal_under_the_mutex(Gate::of_later);
}

#[test]
fn condvar_signal_without_the_mutex() {
    explore(3, || {
        run(3, Gate::new(), |gate, thread| {
            if thread > 0 {
                gate.wait(name(thread), None);
                return;
            }
            for _ in 0..gate.open(name(0)) {
                gate.condition.signal(names(), told);
            }
        });
    });
}

#[test]
fn condvar_broadcast_ends_all_waits() {
    explore(3, || {
        run(3, Gate::new(), |gate, thread| {
            if thread > 0 {
                gate.wait(name(thread), None);
                return;
            }
            gate.open(name(0));
            gate.condition.broadcast(names(), told);
        });
    });
}

/// Who is signalled under the mutex is kept until it is given back, and then lets the next one go.
#[test]
fn condvar_broadcast_under_the_mutex() {
    explore(3, || {
        run(3, Gate::new(), |gate, thread| {
            if thread > 0 {
                gate.wait(name(thread), None);
                return;
            }
            gate.monitor.mutex().lock(name(0));
            gate.open.set(true);
            gate.condition.broadcast(names(), told);
            assert_eq!(gate.condition.waiters(), 0);
            gate.monitor.unlock(name(0)).unwrap();
        });
    });
}

/// The same with signals, while a third thread comes by for the mutex. The first one may be let go at once.
#[test]
fn condvar_two_signals_under_the_mutex() {
    explore(3, || {
        run(3, Gate::of_later(), |gate, thread| {
            if thread > 0 {
                gate.wait(name(thread), None);
                return;
            }
            for _ in 0..2 {
                gate.monitor.mutex().lock(name(0));
                gate.open.set(true);
                gate.condition.signal(names(), told);
                gate.monitor.unlock(name(0)).unwrap();
            }
        });
    });
}

/// Opens the gate for one who waits without a deadline and one whose time is up: `end` ends the waits, if there are some, and `end_rest`
/// may end what is left of them, when it is told how the second one's ended.
fn open_for_patient_and_hasty(end: fn(&Condvar), end_rest: fn(&Condvar, Option<Outcome>)) {
    explore(3, move || {
        let gate = Arc::new(Gate::new());
        let (patient, hasty) = (gate.clone(), gate.clone());
        let patient = thread::spawn(move || patient.wait(name(1), None));
        let hasty = thread::spawn(move || hasty.wait(name(2), Some(&Deadline::after(0, 0))));
        if gate.open(name(0)) > 0 {
            end(&gate.condition);
        }
        end_rest(&gate.condition, hasty.join().unwrap());
        patient.join().unwrap();
        assert_eq!(gate.condition.waiters(), 0);
    });
}

/// A signal that meets a waiter whose time is up goes to the next one: it does not end nothing.
#[test]
fn condvar_signal_and_deadline() {
    open_for_patient_and_hasty(
        |condition| condition.signal(names(), told),
        |condition, hasty| {
            if matches!(hasty, Some(Outcome::Signalled | Outcome::Handed)) {
                // The signal was not the patient one's.
                condition.signal(names(), told);
            }
        },
    );
}

/// A broadcast that meets such a waiter ends the other one's wait.
#[test]
fn condvar_broadcast_and_deadline() {
    open_for_patient_and_hasty(|condition| condition.broadcast(names(), told), |_, _| ());
}

/// The condition variable is destroyed as soon as nobody waits; a waiter whose time was up must not touch it then.
#[test]
fn condvar_is_destroyed_after_a_signal() {
    explore(5, || {
        let condition: *mut Condvar = Box::into_raw(Box::new(Condvar::new()));
        let address = condition.expose_provenance();
        let gate = Arc::new((Mutex::new(), Guarded::new(false)));
        let waiter = {
            let gate = gate.clone();
            thread::spawn(move || {
                gate.0.lock(name(1));
                if gate.1.get() {
                    gate.0.unlock(name(1)).unwrap();
                    return;
                }
                // SAFETY: the other thread ends it when nobody waits any more, and says so under the mutex.
                let condition = unsafe { &*core::ptr::with_exposed_provenance::<Condvar>(address) };
                condition.wait(None, Some(&Deadline::after(0, 0)), Note::NONE, || gate.0.unlock(name(1)).unwrap());
            })
        };
        gate.0.lock(name(0));
        gate.1.set(true);
        // SAFETY: ended below.
        let destroyed = unsafe { &*condition };
        destroyed.signal(names(), |_| Reply::NONE);
        destroyed.retire().unwrap();
        gate.0.unlock(name(0)).unwrap();
        // SAFETY: nobody uses it any more. Who does all the same finds nonsense, and fails.
        unsafe {
            condition.drop_in_place();
            condition.cast::<u8>().write_bytes(0xa5, size_of::<Condvar>());
        }
        waiter.join().unwrap();
        // SAFETY: its contents have been dropped.
        drop(unsafe { Box::from_raw(condition.cast::<core::mem::MaybeUninit<Condvar>>()) });
    });
}

fn read(lock: &Rwlock) {
    if !lock.try_read() {
        lock.read_waiting(|| ());
    }
}

fn write(lock: &Rwlock, me: Owner) {
    if !lock.try_write(me) {
        lock.write_waiting(me, || ());
    }
}

/// Threads below `writers` write, the others read.
fn rwlock_excludes(threads: usize, writers: usize, rounds: u32, preemptions: usize) {
    explore(preemptions, move || {
        let state = run(threads, (Rwlock::new(), Guarded::new(0)), move |(lock, count), thread| {
            let me = name(thread);
            for _ in 0..rounds {
                if thread < writers {
                    write(lock, me);
                    assert!(lock.is_written_by(me));
                    count.set(count.get() + 1);
                } else {
                    read(lock);
                    assert!(lock.readers() > 0);
                    count.get();
                }
                lock.exit(me).unwrap();
            }
        });
        assert!(state.0.is_unused());
        assert_eq!(state.1.get(), writers as u32 * rounds);
    });
}

#[test]
fn rwlock_writer_and_reader() {
    rwlock_excludes(2, 1, 2, 3);
}

#[test]
fn rwlock_writer_and_readers() {
    rwlock_excludes(3, 1, 1, 3);
}

#[test]
fn rwlock_writers_and_reader() {
    rwlock_excludes(3, 2, 1, 3);
}

/// Writers that come back: the one that is woken in vain is handed the lock.
#[test]
fn rwlock_writers() {
    rwlock_excludes(2, 2, 3, 3);
}

/// Of two readers that both want to be the writer, at most one gets it before the other has left.
#[test]
fn rwlock_upgrade() {
    explore(3, || {
        let state = run(2, (Rwlock::new(), Guarded::new(0)), |(lock, count), thread| {
            let me = name(thread);
            read(lock);
            let before = count.get();
            if lock.try_upgrade(me).unwrap() == Err(OtherReaders) {
                lock.exit(me).unwrap();
                write(lock, me);
            } else {
                assert_eq!(count.get(), before);
            }
            count.set(count.get() + 1);
            lock.exit(me).unwrap();
        });
        assert!(state.0.is_unused());
        assert_eq!(state.1.get(), 2);
    });
}

#[test]
fn rwlock_downgrade() {
    explore(3, || {
        let state = run(3, (Rwlock::new(), Guarded::new(0)), |(lock, count), thread| {
            let me = name(thread);
            match thread {
                0 => {
                    write(lock, me);
                    count.set(count.get() + 1);
                    let written = count.get();
                    lock.downgrade(me).unwrap();
                    // No writer in between.
                    assert_eq!(count.get(), written);
                }
                1 => {
                    write(lock, me);
                    count.set(count.get() + 1);
                }
                _ => {
                    read(lock);
                    count.get();
                }
            }
            lock.exit(me).unwrap();
        });
        assert!(state.0.is_unused());
        assert_eq!(state.1.get(), 2);
    });
}
