//! Performance counters of the threads of another process, by `perf_event_open`.
//!
//! The crate opens them; they are read here. Its own reading asserts that a counter ran for no longer than it was to run,
//! and takes a short answer of the kernel for an error: neither is a reason for a viewer to end.

use super::budget::{Budget, Place};
use perf_event::Builder;
use perf_event::events::{Event as Kind, Hardware, Software};
use rumpscope_reports::{Counter, Event};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::sync::Arc;

/// File descriptors that counters may use: half of those that the process may have.
static FILES: Budget = Budget::new(2, 1000);

/// What all threads' counters have in common.
#[derive(Debug)]
pub(super) struct Counting {
    files: &'static Budget,
    /// Why no thread has a counter of an event, as was found with the first one, in the order of [`Event::ALL`].
    refused: [Option<Arc<str>>; Event::ALL.len()],
}

impl Counting {
    pub(super) fn new() -> Self {
        Counting { files: &FILES, refused: Default::default() }
    }
}

/// A counter that is there, with its place among the file descriptors.
#[derive(Debug)]
struct Open {
    file: File,
    _place: Place,
}

/// The counters of a thread, in the order of [`Event::ALL`].
#[derive(Debug)]
pub(super) struct ThreadCounters([Result<Open, Arc<str>>; Event::ALL.len()]);

impl ThreadCounters {
    /// Those of thread `tid`, which count from now on.
    pub(super) fn open(tid: u32, counting: &mut Counting) -> Self {
        ThreadCounters(Event::ALL.map(|event| counter(tid, event, counting)))
    }

    /// What they have counted.
    pub(super) fn read(&mut self) -> Vec<Counter> {
        let read = |counter: &mut Result<Open, Arc<str>>| match counter {
            Ok(open) => read(&mut open.file),
            Err(reason) => Counter::Missing(reason.to_string()),
        };
        self.0.iter_mut().map(read).collect()
    }
}

fn counter(tid: u32, event: Event, counting: &mut Counting) -> Result<Open, Arc<str>> {
    if let Some(reason) = &counting.refused[event as usize] {
        return Err(reason.clone());
    }
    let place = counting.files.take(1);
    let place = place.ok_or_else(|| Arc::from("there are more threads than file descriptors for their counters"))?;
    let file = open(tid, event).map_err(|error| {
        let reason = Arc::from(reason(&error, paranoid()));
        // A thread that has ended, or descriptors that are used up, say nothing of the next thread.
        if !matches!(error.raw_os_error(), Some(libc::ESRCH | libc::EMFILE | libc::ENFILE)) {
            counting.refused[event as usize] = Some(Arc::clone(&reason));
        }
        reason
    })?;
    Ok(Open { file, _place: place })
}

/// Moves between processors are made by the kernel; of all else, what the guest's own code does is counted, the same on
/// hosts that allow more.
fn open(tid: u32, event: Event) -> io::Result<File> {
    let (kind, in_kernel): (Kind, bool) = match event {
        Event::Cycles => (Hardware::CPU_CYCLES.into(), false),
        Event::Instructions => (Hardware::INSTRUCTIONS.into(), false),
        Event::CacheMisses => (Hardware::CACHE_MISSES.into(), false),
        Event::BranchMisses => (Hardware::BRANCH_MISSES.into(), false),
        Event::Migrations => (Software::CPU_MIGRATIONS.into(), true),
    };
    let tid = libc::pid_t::try_from(tid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
    let mut builder = Builder::new().kind(kind).observe_pid(tid);
    builder.enabled(true).exclude_kernel(!in_kernel);
    let counter = builder.build()?;
    // SAFETY: the descriptor is open, and its owner gives it up.
    let file = unsafe { File::from_raw_fd(counter.into_raw_fd()) };
    // SAFETY: the descriptor is open. Programs that we start have no use for it.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
    Ok(file)
}

/// Why the host refuses a counter, in words. `paranoid` is its `perf_event_paranoid`.
fn reason(error: &io::Error, paranoid: Option<i64>) -> String {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::EOPNOTSUPP | libc::ENXIO) => {
            "this machine has no such counter, or its hypervisor shows none".to_owned()
        }
        Some(libc::EACCES | libc::EPERM) => match paranoid {
            Some(level) => format!("not permitted: /proc/sys/kernel/perf_event_paranoid is {level}"),
            None => "not permitted".to_owned(),
        },
        Some(libc::ENOSYS) => "this host's kernel has no performance counters".to_owned(),
        Some(libc::ESRCH) => "the thread has ended".to_owned(),
        Some(libc::EMFILE | libc::ENFILE) => "no file descriptors are left".to_owned(),
        _ => format!("the host refuses it: {error}"),
    }
}

fn paranoid() -> Option<i64> {
    std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").ok()?.trim().parse().ok()
}

/// What a counter has counted; its format is that of [`decode`].
fn read(source: &mut impl Read) -> Counter {
    // One more than is expected: what is longer has another format.
    let mut bytes = [0; 25];
    match source.read(&mut bytes) {
        Ok(length) => decode(&bytes[..length]),
        Err(error) => Counter::Missing(format!("it cannot be read: {error}")),
    }
}

/// `PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING`: value, time enabled, time running.
fn decode(bytes: &[u8]) -> Counter {
    match bytes.as_chunks::<8>() {
        ([value, enabled, running], []) => {
            let [value, enabled_ns, running_ns] = [value, enabled, running].map(|word| u64::from_ne_bytes(*word));
            // Kernels have been seen that were wrong by some nanoseconds.
            Counter::Counts { value, enabled_ns, running_ns: running_ns.min(enabled_ns) }
        }
        // The kernel says so by the end of the file.
        ([], []) => Counter::Missing("the host has given the counter up".to_owned()),
        _ => Counter::Missing(format!("the host answers with {} bytes instead of 24", bytes.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(words: [u64; 3]) -> Vec<u8> {
        words.map(u64::to_ne_bytes).concat()
    }

    #[test]
    fn a_counter_that_took_turns_keeps_its_times() {
        let counter = decode(&bytes([7, 1000, 250]));
        assert_eq!(counter, Counter::Counts { value: 7, enabled_ns: 1000, running_ns: 250 });
    }

    #[test]
    fn odd_answers_of_the_kernel_are_told() {
        // The crate would assert here.
        let odd = decode(&bytes([7, 1000, 1001]));
        assert_eq!(odd, Counter::Counts { value: 7, enabled_ns: 1000, running_ns: 1000 });
        for (answer, told) in [(0, "given the counter up"), (8, "8 bytes"), (23, "23 bytes"), (25, "25 bytes")] {
            let Counter::Missing(reason) = read(&mut &vec![1; answer][..]) else { panic!("{answer}") };
            assert!(reason.contains(told), "{reason}");
        }
    }

    #[test]
    fn a_refusal_has_its_reason() {
        let of = |number, paranoid| reason(&io::Error::from_raw_os_error(number), paranoid);
        assert!(of(libc::ENOENT, None).contains("no such counter"));
        assert!(of(libc::EACCES, Some(4)).contains("perf_event_paranoid is 4"));
        assert!(of(libc::E2BIG, None).contains("refuses it: "));
    }

    #[test]
    fn every_counter_counts_or_says_why_not() {
        let mut counting = Counting::new();
        // SAFETY: no preconditions.
        let mut own = ThreadCounters::open(unsafe { libc::gettid() } as u32, &mut counting);
        for (event, counter) in Event::ALL.iter().zip(own.read()) {
            match counter {
                Counter::Counts { enabled_ns, running_ns, .. } => assert!(running_ns <= enabled_ns, "{event:?}"),
                Counter::Missing(reason) => assert!(!reason.is_empty(), "{event:?}"),
            }
        }
    }

    #[test]
    fn descriptors_are_bounded_and_the_rest_is_told() {
        static NONE: Budget = Budget::new(1, 0);
        let mut counting = Counting { files: &NONE, refused: Default::default() };
        let mut none = ThreadCounters::open(1, &mut counting);
        assert!(none.read().iter().all(|counter| matches!(counter, Counter::Missing(_))));
    }

    #[test]
    fn a_thread_that_has_ended_says_nothing_of_others() {
        let mut counting = Counting::new();
        // Process numbers end at 2^22.
        ThreadCounters::open(99_999_999, &mut counting);
        let refusals = counting.refused.iter().flatten();
        assert!(refusals.into_iter().all(|reason| !reason.contains("has ended")));
    }

    proptest! {
        #[test]
        fn nothing_that_the_kernel_answers_is_a_panic(answer in proptest::collection::vec(any::<u8>(), 0..40)) {
            read(&mut &answer[..]);
        }
    }
}
