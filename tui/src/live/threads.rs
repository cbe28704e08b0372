//! What the host says of the threads of a process, from `/proc/PID/task`.
//!
//! It is asked as often as a dashboard at its fastest draws, and most threads of a guest sleep most of the time. So files
//! stay open, and a thread that has had no processor in between is not asked for what only a processor can change.

use super::counters::{Counting, ThreadCounters};
use super::task_files::{TaskFile, TaskFiles, Tasks};
use procfs::process::{Schedstat, Stat};
use procfs::{FromRead, ProcError, ProcResult};
use rumpscope_reports::{Counter, HostThread};
use std::collections::HashMap;

/// The threads of a process. They come and go.
#[derive(Debug)]
pub(super) struct HostThreads {
    tasks: Tasks,
    counting: Counting,
    /// By number.
    known: HashMap<u32, Known>,
    /// What was read of a file, for its memory.
    text: Vec<u8>,
}

/// A thread that was seen before.
#[derive(Debug)]
struct Known {
    files: TaskFiles,
    counters: ThreadCounters,
    /// When it started, in clock ticks since boot; `None` before it was seen. A number is used again.
    started: Option<u64>,
    /// When it was seen last, and what it had done then.
    times: Option<Schedstat>,
    switches: Switches,
    counted: Vec<Counter>,
}

impl HostThreads {
    /// Those of process `pid`.
    pub(super) fn new(pid: u32) -> Self {
        HostThreads { tasks: Tasks::new(pid), counting: Counting::new(), known: HashMap::new(), text: Vec::new() }
    }

    /// How they are now, by number; what ended while it was looked at is left out. `None`: that cannot be seen now.
    pub(super) fn read(&mut self) -> Option<Vec<HostThread>> {
        let numbers = self.tasks.numbers().ok()?;
        let mut seen = HashMap::with_capacity(self.known.len());
        let mut threads = Vec::with_capacity(self.known.len());
        for tid in numbers {
            let known = self.known.remove(&tid).and_then(|known| self.look(tid, known));
            let known = known.or_else(|| {
                let files = self.tasks.open(tid);
                let counters = ThreadCounters::open(tid, &mut self.counting);
                self.look(tid, Known::new(files, counters))
            });
            if let Some((known, thread)) = known {
                seen.insert(tid, known);
                threads.push(thread);
            }
        }
        // What is left is of threads that have ended.
        self.known = seen;
        threads.sort_unstable_by_key(|thread| thread.tid);
        Some(threads)
    }

    /// How a thread is now; `None`: it has ended.
    fn look(&mut self, tid: u32, mut known: Known) -> Option<(Known, HostThread)> {
        let thread = known.look(tid, &mut self.text).ok()?;
        Some((known, thread))
    }
}

impl Known {
    fn new(files: TaskFiles, counters: ThreadCounters) -> Self {
        let (switches, counted) = (Switches::default(), Vec::new());
        Known { files, counters, started: None, times: None, switches, counted }
    }

    /// How it is now; `text` is memory for what is read.
    fn look(&mut self, tid: u32, text: &mut Vec<u8>) -> ProcResult<HostThread> {
        let stat = Stat::from_read(self.files.read(TaskFile::Stat, text)?)?;
        if *self.started.get_or_insert(stat.starttime) != stat.starttime {
            return Err(ProcError::NotFound(None));
        }
        // Before what is asked only if they have changed: who runs in between has changed them for the next time. Hosts
        // without these figures have zeros.
        let times = self.files.read(TaskFile::Schedstat, text).map_err(ProcError::from).and_then(Schedstat::from_read);
        let times = times.unwrap_or(Schedstat { sum_exec_runtime: 0, run_delay: 0, pcount: 0 });
        if times.pcount == 0 || self.times.as_ref().is_none_or(|before| !is_same(before, &times)) {
            self.switches = self.files.read(TaskFile::Status, text).map(Switches::of).unwrap_or_default();
            self.counted = self.counters.read();
        }
        let thread = HostThread {
            tid,
            name: stat.comm,
            state: stat.state,
            cpu_ns: times.sum_exec_runtime,
            ready_ns: times.run_delay,
            voluntary_switches: self.switches.voluntary,
            involuntary_switches: self.switches.involuntary,
            minor_faults: stat.minflt,
            major_faults: stat.majflt,
            counters: self.counted.clone(),
        };
        self.times = Some(times);
        Ok(thread)
    }
}

/// Whether a thread has had no processor between the two.
fn is_same(before: &Schedstat, now: &Schedstat) -> bool {
    let of = |times: &Schedstat| (times.sum_exec_runtime, times.run_delay, times.pcount);
    of(before) == of(now)
}

/// Two lines of `status`; reading all of its fifty would take longer than everything else here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Switches {
    voluntary: u64,
    involuntary: u64,
}

impl Switches {
    fn of(text: &[u8]) -> Self {
        let of = |name: &[u8]| {
            let line = text.rsplit(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name))?;
            std::str::from_utf8(line).ok()?.trim().parse().ok()
        };
        let (voluntary, involuntary) = (of(b"voluntary_ctxt_switches:"), of(b"nonvoluntary_ctxt_switches:"));
        Switches { voluntary: voluntary.unwrap_or(0), involuntary: involuntary.unwrap_or(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rumpscope_reports::Event;
    use std::sync::mpsc;

    #[test]
    fn switches_are_found_among_all_else() {
        let text = "Name:\tvoluntary_ctxt_switches:\nUmask:\t0\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t7\n";
        assert_eq!(Switches::of(text.as_bytes()), Switches { voluntary: 150, involuntary: 7 });
        for odd in ["", "voluntary_ctxt_switches:\t-1\n", "voluntary_ctxt_switches:", "\u{fffd}\n\n"] {
            assert_eq!(Switches::of(odd.as_bytes()), Switches::default(), "{odd:?}");
        }
    }

    #[test]
    fn threads_come_and_go() {
        let mut threads = HostThreads::new(std::process::id());
        let (end, ended) = mpsc::channel::<()>();
        let (begun, begin) = mpsc::channel();
        let work = move || {
            // SAFETY: no preconditions.
            begun.send(unsafe { libc::gettid() }).unwrap();
            let _ = ended.recv();
        };
        let thread = std::thread::Builder::new().name("comes and goes".to_owned()).spawn(work).unwrap();
        let tid = begin.recv().unwrap() as u32;
        let seen = threads.read().unwrap();
        let found = seen.iter().find(|thread| thread.tid == tid).expect("the thread");
        assert_eq!(found.name, "comes and goes");
        assert_eq!(found.counters.len(), Event::ALL.len());
        assert!(seen.is_sorted_by_key(|thread| thread.tid));
        drop(end);
        thread.join().unwrap();
        // The host forgets a thread some time after it was waited for.
        let begin = std::time::Instant::now();
        while threads.read().unwrap().iter().any(|thread| thread.tid == tid) {
            assert!(begin.elapsed().as_secs() < 30, "it is still there");
        }
        assert!(!threads.known.contains_key(&tid));
    }

    #[test]
    fn what_a_thread_does_is_seen() {
        let mut threads = HostThreads::new(std::process::id());
        // SAFETY: no preconditions.
        let tid = unsafe { libc::gettid() } as u32;
        let mut own = || threads.read().unwrap().into_iter().find(|thread| thread.tid == tid).expect("this thread");
        let (before, begin) = (own(), std::time::Instant::now());
        loop {
            // It gives the processor up by itself; the host tells so when it has.
            std::thread::sleep(std::time::Duration::from_millis(1));
            let now = own();
            if now.voluntary_switches > before.voluntary_switches && now.cpu_ns > before.cpu_ns {
                break;
            }
            assert!(begin.elapsed().as_secs() < 30, "{before:?} {now:?}");
        }
    }

    #[test]
    fn files_are_opened_anew_where_there_are_no_descriptors() {
        let mut threads = HostThreads::new(std::process::id());
        threads.tasks.keep_none();
        let first = threads.read().unwrap();
        assert!(!first.is_empty() && threads.known.values().all(|known| !known.files.are_kept()));
        let again = threads.read().unwrap();
        assert!(
            first.iter().any(|thread| again.iter().any(|again| (again.tid, &again.name) == (thread.tid, &thread.name)))
        );
    }

    #[test]
    fn a_process_that_is_not_there_has_no_threads() {
        // Process numbers end at 2^22.
        assert!(HostThreads::new(99_999_999).read().unwrap().is_empty());
        assert!(HostThreads::new(u32::MAX).read().unwrap().is_empty());
    }

    /// Then those that were seen last stand for it.
    #[test]
    fn of_a_process_that_ends_meanwhile_nothing_is_seen() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let mut threads = HostThreads::new(child.id());
        assert_eq!(threads.read().unwrap().len(), 1);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(threads.read(), None);
    }
}
