//! The one table of hypercalls.
//!
//! Name, number, family, whether the call can take its caller off the virtual CPU, and how it is timed stand here and
//! nowhere else. Counters, histogram names, report rows, docs and the test that every exported hypercall is really
//! counted are made from it. Numbers are part of the segment's format: they are never reused.

/// What a hypercall is about; reports group by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Start, end, parameters, console, randomness.
    Host,
    /// Allocation and mapping of host memory.
    Memory,
    /// Host files and block I/O.
    File,
    /// Reading clocks and sleeping.
    Clock,
    /// Host threads.
    Thread,
    /// The current kernel thread of a host thread.
    Lwp,
    /// Mutexes.
    Mutex,
    /// Reader/writer locks.
    Rwlock,
    /// Condition variables.
    Condvar,
    /// The remote system call server.
    Sysproxy,
    /// Services for drivers with hypercalls of their own.
    Component,
    /// Not a hypercall: transitions that the guest made by itself.
    Guest,
}

impl Family {
    /// The name in reports, lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Family::Host => "host",
            Family::Memory => "memory",
            Family::File => "file",
            Family::Clock => "clock",
            Family::Thread => "thread",
            Family::Lwp => "lwp",
            Family::Mutex => "mutex",
            Family::Rwlock => "rwlock",
            Family::Condvar => "condvar",
            Family::Sysproxy => "sysproxy",
            Family::Component => "component",
            Family::Guest => "guest",
        }
    }
}

/// How a call is timed in mode `full`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// Every call is timed.
    Always,
    /// The call is usually over in less time than it takes to read the clock twice, because what it needs is at hand.
    /// All are counted. Those that find it at hand are timed as a sample, about one in a hundred; those that do not (a
    /// lock that is held, threads to be woken) are all timed, from the moment they know.
    Quick,
    /// The call costs less than reading a clock: all are counted, about one in a thousand is timed.
    Sampled,
    /// The call does not return; it is counted and not timed.
    Never,
}

/// A row of the table.
#[derive(Debug)]
pub struct Entry {
    /// The call.
    pub call: Hypercall,
    /// The name without the `rumpuser_` prefix.
    pub name: &'static str,
    /// What it is about.
    pub family: Family,
    /// Whether it can take its caller off the virtual CPU.
    pub blocks: bool,
    /// How it is timed.
    pub timing: Timing,
}

macro_rules! catalogue {
    ($($number:literal $variant:ident $name:literal $family:ident $blocks:ident $timing:ident;)*) => {
        /// Every hypercall, by its number in the segment.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Hypercall {
            $(#[doc = concat!("`", $name, "`")] $variant = $number,)*
        }

        /// All rows, in the order of their numbers.
        pub const CATALOGUE: &[Entry] = &[
            $(Entry {
                call: Hypercall::$variant,
                name: $name,
                family: Family::$family,
                blocks: catalogue!(@$blocks),
                timing: Timing::$timing,
            },)*
        ];
    };
    (@blocks) => { true };
    (@stays) => { false };
}

catalogue! {
    0 Init "init" Host stays Always;
    1 Getparam "getparam" Host stays Always;
    2 Seterrno "seterrno" Host stays Sampled;
    3 Exit "exit" Host stays Never;
    4 Kill "kill" Host stays Always;
    5 Putchar "putchar" Host stays Always;
    6 Dprintf "dprintf" Host stays Always;
    7 Getrandom "getrandom" Host stays Always;
    8 ClockGettime "clock_gettime" Clock stays Quick;
    9 ClockSleep "clock_sleep" Clock blocks Always;
    10 Malloc "malloc" Memory stays Quick;
    11 Free "free" Memory stays Quick;
    12 Anonmmap "anonmmap" Memory stays Always;
    13 Unmap "unmap" Memory stays Always;
    14 Open "open" File blocks Always;
    15 Close "close" File blocks Always;
    16 Getfileinfo "getfileinfo" File blocks Always;
    17 Iovread "iovread" File blocks Always;
    18 Iovwrite "iovwrite" File blocks Always;
    19 Syncfd "syncfd" File blocks Always;
    20 Bio "bio" File blocks Always;
    21 BioDone "bio_done" File blocks Always;
    22 ThreadCreate "thread_create" Thread stays Always;
    23 ThreadExit "thread_exit" Thread stays Never;
    24 ThreadJoin "thread_join" Thread blocks Always;
    25 Curlwp "curlwp" Lwp stays Sampled;
    26 Curlwpop "curlwpop" Lwp stays Quick;
    27 MutexInit "mutex_init" Mutex stays Quick;
    28 MutexEnter "mutex_enter" Mutex blocks Quick;
    29 MutexEnterNowrap "mutex_enter_nowrap" Mutex stays Quick;
    30 MutexTryenter "mutex_tryenter" Mutex stays Quick;
    31 MutexExit "mutex_exit" Mutex stays Quick;
    32 MutexDestroy "mutex_destroy" Mutex stays Quick;
    33 MutexOwner "mutex_owner" Mutex stays Sampled;
    34 MutexSpinP "mutex_spin_p" Mutex stays Sampled;
    35 RwInit "rw_init" Rwlock stays Quick;
    36 RwEnter "rw_enter" Rwlock blocks Quick;
    37 RwTryenter "rw_tryenter" Rwlock stays Quick;
    38 RwTryupgrade "rw_tryupgrade" Rwlock stays Quick;
    39 RwDowngrade "rw_downgrade" Rwlock stays Quick;
    40 RwExit "rw_exit" Rwlock stays Quick;
    41 RwDestroy "rw_destroy" Rwlock stays Quick;
    42 RwHeld "rw_held" Rwlock stays Sampled;
    43 CvInit "cv_init" Condvar stays Quick;
    44 CvDestroy "cv_destroy" Condvar stays Quick;
    45 CvWait "cv_wait" Condvar blocks Always;
    46 CvWaitNowrap "cv_wait_nowrap" Condvar stays Always;
    47 CvTimedwait "cv_timedwait" Condvar blocks Always;
    48 CvSignal "cv_signal" Condvar stays Quick;
    49 CvBroadcast "cv_broadcast" Condvar stays Quick;
    50 CvHasWaiters "cv_has_waiters" Condvar stays Sampled;
    51 DlBootstrap "dl_bootstrap" Host stays Always;
    52 DaemonizeBegin "daemonize_begin" Host stays Always;
    53 DaemonizeDone "daemonize_done" Host stays Always;
    54 SpInit "sp_init" Sysproxy stays Always;
    55 SpCopyin "sp_copyin" Sysproxy blocks Always;
    56 SpCopyinstr "sp_copyinstr" Sysproxy blocks Always;
    57 SpCopyout "sp_copyout" Sysproxy blocks Always;
    58 SpCopyoutstr "sp_copyoutstr" Sysproxy blocks Always;
    59 SpAnonmmap "sp_anonmmap" Sysproxy blocks Always;
    60 SpRaise "sp_raise" Sysproxy blocks Always;
    61 SpFini "sp_fini" Sysproxy stays Always;
    62 ComponentUnschedule "component_unschedule" Component blocks Always;
    63 ComponentSchedule "component_schedule" Component blocks Always;
    64 ComponentKthread "component_kthread" Component blocks Always;
    65 ComponentKthreadRelease "component_kthread_release" Component blocks Always;
    66 ComponentCurlwp "component_curlwp" Component blocks Always;
    67 ComponentSwitchlwp "component_switchlwp" Component blocks Always;
    68 ComponentErrtrans "component_errtrans" Component stays Sampled;
    69 GuestEntry "guest_entry" Guest blocks Always;
    70 GuestOwn "guest_own" Guest blocks Always;
}

impl Hypercall {
    /// How many there are, the guest's own transitions included.
    pub const COUNT: usize = CATALOGUE.len();

    /// The row of this call.
    pub const fn entry(self) -> &'static Entry {
        &CATALOGUE[self as usize]
    }

    /// The name without the `rumpuser_` prefix.
    pub const fn name(self) -> &'static str {
        self.entry().name
    }

    /// The call with this number, if there is one.
    pub fn from_number(number: usize) -> Option<Self> {
        CATALOGUE.get(number).map(|entry| entry.call)
    }

    /// Whether it is an exported function, and not an event of the hypervisor (`bio_done`) or of the guest.
    pub const fn is_exported(self) -> bool {
        !matches!(self, Hypercall::BioDone | Hypercall::GuestEntry | Hypercall::GuestOwn)
    }
}

/// What about a hypercall is measured: the call itself, or a part of the transition that it caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Quantity {
    /// The whole call, from entry to return; if not [`Slow`](Quantity::Slow) or [`First`](Quantity::First).
    Call = 0,
    /// Giving up the virtual CPU (inside the guest's unschedule).
    Unschedule = 1,
    /// Off the virtual CPU: from unscheduled to asking for a virtual CPU again.
    Off = 2,
    /// Waiting for a virtual CPU and taking it (inside the guest's schedule).
    Reschedule = 3,
    /// On the virtual CPU, from being scheduled until this call gave it up.
    Run = 4,
    /// The call's own work: what is left of a call that blocked without the three parts above.
    Own = 5,
    /// The virtual CPU between two runs: from being given up until this call's thread had it.
    Gap = 6,
    /// Scheduled on another virtual CPU than before (a count; no time).
    Migration = 7,
    /// The active part of a wait, which is a part of `Off`, `Call` or `Slow`: on a processor, looking for its end.
    Spin = 8,
    /// A quick call ([`Timing::Quick`]) that did not find what it needs at hand, from there to its return. Such a call is
    /// counted here and not as `Call`.
    Slow = 9,
    /// A transition that the guest made by itself, and in which it had to wait for a lock or to wake threads: it is counted
    /// here and not as `Unschedule`. (In mode `counts` the two are not told apart.)
    SlowUnschedule = 10,
    /// Likewise, and not as `Reschedule`: a virtual CPU was waited for.
    SlowReschedule = 11,
    /// All threads of the guest that wait for each other on one processor of the host, or each group of them on one, from their
    /// gathering until they were let go. Of no call: under [`Hypercall::GuestOwn`].
    Gathered = 12,
    /// The first call of a thread at a place that ended at once, of a hypercall that is timed as a sample in mode `full`
    /// ([`Timing::Quick`], [`Timing::Sampled`]): it finds nothing in the processor's caches, so it is timed and stands for no other.
    /// It is counted here and not as `Call`. (Threads that follow another one in its lane have none.)
    First = 13,
}

impl Quantity {
    /// The kinds of whole calls: each that has returned is one of these.
    pub const CALLS: [Quantity; 3] = [Quantity::Call, Quantity::Slow, Quantity::First];

    /// All of them, in the order of their numbers.
    pub const ALL: [Quantity; 14] = [
        Quantity::Call,
        Quantity::Unschedule,
        Quantity::Off,
        Quantity::Reschedule,
        Quantity::Run,
        Quantity::Own,
        Quantity::Gap,
        Quantity::Migration,
        Quantity::Spin,
        Quantity::Slow,
        Quantity::SlowUnschedule,
        Quantity::SlowReschedule,
        Quantity::Gathered,
        Quantity::First,
    ];

    /// The name in reports and in the segment.
    pub const fn name(self) -> &'static str {
        match self {
            Quantity::Call => "call",
            Quantity::Unschedule => "unschedule",
            Quantity::Off => "off",
            Quantity::Reschedule => "reschedule",
            Quantity::Run => "run",
            Quantity::Own => "own",
            Quantity::Gap => "gap",
            Quantity::Migration => "migration",
            Quantity::Spin => "spin",
            Quantity::Slow => "slow",
            Quantity::SlowUnschedule => "slow unschedule",
            Quantity::SlowReschedule => "slow reschedule",
            Quantity::Gathered => "gathered",
            Quantity::First => "first",
        }
    }
}

/// A quantity of a hypercall: the key of a counter and histogram within a thread and virtual CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Metric {
    /// What is measured.
    pub quantity: Quantity,
    /// The call it belongs to.
    pub call: Hypercall,
}

impl Metric {
    /// How many there can be.
    pub const COUNT: usize = Hypercall::COUNT * Quantity::ALL.len();

    /// The whole of a call.
    pub const fn call(call: Hypercall) -> Self {
        Metric { quantity: Quantity::Call, call }
    }

    /// For how long the guest's threads were gathered on one processor, or each group of them on one.
    pub const GATHERED: Self = Metric { quantity: Quantity::Gathered, call: Hypercall::GuestOwn };

    /// Its number: dense, the calls themselves first.
    pub const fn number(self) -> usize {
        Self::number_of(self.quantity, self.call as u8)
    }

    /// The number of `quantity` of the hypercall with this number.
    pub(crate) const fn number_of(quantity: Quantity, call: u8) -> usize {
        quantity as usize * Hypercall::COUNT + call as usize
    }

    /// The metric with this number, if there is one.
    pub fn from_number(number: usize) -> Option<Self> {
        let quantity = *Quantity::ALL.get(number / Hypercall::COUNT)?;
        let call = Hypercall::from_number(number % Hypercall::COUNT)?;
        Some(Metric { quantity, call })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_positions_in_the_table() {
        for (number, entry) in CATALOGUE.iter().enumerate() {
            assert_eq!(entry.call as usize, number, "{}", entry.name);
        }
    }

    #[test]
    fn metrics_survive_the_way_through_their_number() {
        for number in 0..Metric::COUNT {
            assert_eq!(Metric::from_number(number).map(Metric::number), Some(number));
        }
        assert_eq!(Metric::from_number(Metric::COUNT), None);
    }
}
