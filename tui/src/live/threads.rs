//! What the host says of the threads of a process, from `/proc/PID/task`.

use super::counters::{Counting, ThreadCounters};
use procfs::process::{Process, Task};
use procfs::{FromRead, ProcResult};
use rumpscope_reports::HostThread;
use std::collections::HashMap;
use std::io::Read;

/// The threads of a process. They come and go; all that is kept of them are their performance counters.
#[derive(Debug)]
pub(super) struct HostThreads {
    /// `None`: there is no such process, or we may not look at it.
    process: Option<Process>,
    counting: Counting,
    /// By number and start time: a number is used again.
    counters: HashMap<(u32, u64), ThreadCounters>,
}

impl HostThreads {
    /// Those of process `pid`.
    pub(super) fn new(pid: u32) -> Self {
        let process = i32::try_from(pid).ok().and_then(|pid| Process::new(pid).ok());
        HostThreads { process, counting: Counting::new(), counters: HashMap::new() }
    }

    /// How they are now, by number; what ended while it was looked at is left out.
    pub(super) fn read(&mut self) -> Vec<HostThread> {
        let Some(tasks) = self.process.as_ref().and_then(|process| process.tasks().ok()) else { return Vec::new() };
        let mut seen = HashMap::with_capacity(self.counters.len());
        let mut threads = Vec::with_capacity(self.counters.len());
        for task in tasks.flatten() {
            let Ok((started, mut thread)) = thread(&task) else { continue };
            let key = (thread.tid, started);
            let mut counters =
                self.counters.remove(&key).unwrap_or_else(|| ThreadCounters::open(thread.tid, &mut self.counting));
            thread.counters = counters.read();
            seen.insert(key, counters);
            threads.push(thread);
        }
        // What is left is of threads that have ended.
        for (_, counters) in std::mem::replace(&mut self.counters, seen) {
            counters.close(&mut self.counting);
        }
        threads.sort_unstable_by_key(|thread| thread.tid);
        threads
    }
}

/// When the thread started (clock ticks since boot), and how it is, but for its counters.
fn thread(task: &Task) -> ProcResult<(u64, HostThread)> {
    let stat = task.stat()?;
    // Hosts without these figures have zeros.
    let (cpu_ns, ready_ns) = task.schedstat().map_or((0, 0), |times| (times.sum_exec_runtime, times.run_delay));
    let switches: Switches = task.read("status").unwrap_or_default();
    let thread = HostThread {
        tid: u32::try_from(task.tid).unwrap_or(0),
        name: stat.comm,
        state: stat.state,
        cpu_ns,
        ready_ns,
        voluntary_switches: switches.voluntary,
        involuntary_switches: switches.involuntary,
        minor_faults: stat.minflt,
        major_faults: stat.majflt,
        counters: Vec::new(),
    };
    Ok((stat.starttime, thread))
}

/// Two lines of `status`; reading all of its fifty would take longer than everything else here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Switches {
    voluntary: u64,
    involuntary: u64,
}

impl FromRead for Switches {
    fn from_read<R: Read>(mut reader: R) -> ProcResult<Self> {
        let mut text = Vec::with_capacity(2048);
        reader.read_to_end(&mut text)?;
        let of = |name: &[u8]| {
            let line = text.rsplit(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name))?;
            std::str::from_utf8(line).ok()?.trim().parse().ok()
        };
        let (voluntary, involuntary) = (of(b"voluntary_ctxt_switches:"), of(b"nonvoluntary_ctxt_switches:"));
        Ok(Switches { voluntary: voluntary.unwrap_or(0), involuntary: involuntary.unwrap_or(0) })
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
        assert_eq!(Switches::from_read(text.as_bytes()).unwrap(), Switches { voluntary: 150, involuntary: 7 });
        for odd in ["", "voluntary_ctxt_switches:\t-1\n", "voluntary_ctxt_switches:", "\u{fffd}\n\n"] {
            assert_eq!(Switches::from_read(odd.as_bytes()).unwrap(), Switches::default(), "{odd:?}");
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
        let seen = threads.read();
        let found = seen.iter().find(|thread| thread.tid == tid).expect("the thread");
        assert_eq!(found.name, "comes and goes");
        assert_eq!(found.counters.len(), Event::ALL.len());
        assert!(seen.is_sorted_by_key(|thread| thread.tid));
        drop(end);
        thread.join().unwrap();
        // The host forgets a thread some time after it was waited for.
        let begin = std::time::Instant::now();
        while threads.read().iter().any(|thread| thread.tid == tid) {
            assert!(begin.elapsed().as_secs() < 30, "it is still there");
        }
        assert!(!threads.counters.keys().any(|(known, _)| *known == tid));
    }

    #[test]
    fn a_process_that_is_not_there_has_no_threads() {
        // Process numbers end at 2^22.
        assert!(HostThreads::new(99_999_999).read().is_empty());
        assert!(HostThreads::new(u32::MAX).read().is_empty());
    }
}
