//! The process that is watched: its segment, and its threads at the host.

use super::threads::HostThreads;
use rumpscope_probes::Process;
use rumpscope_probes::reader::{Extent, ReadError, Reader, Segment};
use rumpscope_reports::{HostThread, Precision, Sample, State};

/// Why there is no sample.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// The segment cannot be read.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// There is another one in its place.
    #[error(
        "the segment is now that of another process ({now}) or of a later start; process {before} is no longer seen"
    )]
    Replaced {
        /// Whose it was.
        before: u32,
        /// Whose it is.
        now: u32,
    },
}

/// A process that is watched.
#[derive(Debug)]
pub(super) struct Target {
    segment: Reader,
    /// Who writes the segment: whoever it names later is somebody else.
    process: Process,
    threads: HostThreads,
    /// Threads as they were seen last: a process that has ended has none, but they had their time. They stand also where
    /// the host cannot be asked, for want of file descriptors.
    last_threads: Vec<HostThread>,
    /// When the last sample was taken, and when measuring began; in ticks.
    last: Option<(u64, u64)>,
}

impl Target {
    /// The process of `segment`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn new(segment: Segment) -> Result<Self, ReadError> {
        let process = segment.process()?;
        let threads = HostThreads::new(process.pid);
        Ok(Target { segment: Reader::new(segment), process, threads, last_threads: Vec::new(), last: None })
    }

    /// Whether it runs, whatever has become of its segment.
    pub(super) fn is_alive(&self) -> bool {
        self.process.is_alive()
    }

    /// How it is now, all of it or its outline; `state` is what [`Target::is_alive`] said before.
    ///
    /// # Errors
    /// When the segment cannot be read, or is another's.
    pub(super) fn sample(&mut self, state: State, extent: Extent) -> Result<Sample, Problem> {
        let mut snapshot = self.segment.read(extent)?;
        let began = self.last.map_or(snapshot.began, |(_, began)| began);
        if snapshot.process != self.process || snapshot.began != began {
            return Err(Problem::Replaced { before: self.process.pid, now: snapshot.process.pid });
        }
        // Of a process that ended without a word, the segment tells the last thing that it did. It was seen later.
        snapshot.taken = snapshot.taken.max(self.last.map_or(0, |(taken, _)| taken));
        self.last = Some((snapshot.taken, began));
        if state == State::Alive
            && let Some(threads) = self.threads.read()
        {
            self.last_threads = threads;
        }
        let threads = self.last_threads.clone();
        Ok(Sample { snapshot, state, threads, missed: 0, precision: Precision::EXACT })
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use std::os::unix::fs::FileExt;
    use std::path::PathBuf;
    use std::process::{Child, Command};

    /// A segment with nothing in it, made by hand, of a process that sleeps. Removed and killed when it is dropped.
    pub(in super::super) struct Forged {
        path: PathBuf,
        words: [u64; 64],
        process: Child,
    }

    impl Forged {
        pub(in super::super) fn new(name: &str) -> Self {
            let process = Command::new("sleep").arg("3600").spawn().unwrap();
            let path = std::env::temp_dir().join(format!("rumpscope-live-{}-{name}", std::process::id()));
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
            let started = stat.rsplit(')').next().unwrap().split_whitespace().nth(19).unwrap().parse().unwrap();
            let mut words = [0; 64];
            // As docs/segment.md has it: no hypercalls, no cells, no lanes; nanoseconds, mode full.
            for (word, value) in [
                (0, u64::from_ne_bytes(*b"RUMPSCOP")),
                (1, rumpscope_probes::SEGMENT_VERSION),
                (2, 1 << 20),
                (3, 64),
                (4, u64::from(process.id())),
                (5, started),
                (8, 1e9f64.to_bits()),
                (10, 1),
                (14, 3),
                (23, 64),
            ] {
                words[word] = value;
            }
            let forged = Forged { path, words, process };
            forged.write();
            forged
        }

        /// Writes it anew, in place.
        pub(in super::super) fn write(&self) {
            let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&self.path).unwrap();
            file.write_all_at(&self.words.map(u64::to_ne_bytes).concat(), 0).unwrap();
        }

        /// Changes a word of the header.
        pub(in super::super) fn set(&mut self, word: usize, value: u64) {
            self.words[word] = value;
            self.write();
        }

        /// Cuts the file short.
        pub(in super::super) fn truncate(&self, bytes: u64) {
            std::fs::OpenOptions::new().write(true).open(&self.path).unwrap().set_len(bytes).unwrap();
        }

        pub(in super::super) fn open(&self) -> Segment {
            Segment::open(&self.path).unwrap()
        }

        pub(in super::super) fn pid(&self) -> u32 {
            self.process.id()
        }

        pub(in super::super) fn kill(&mut self) {
            self.process.kill().unwrap();
            self.process.wait().unwrap();
        }
    }

    impl Drop for Forged {
        fn drop(&mut self) {
            let _ = self.process.kill();
            let _ = self.process.wait();
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// A sample of nothing.
    pub(in super::super) fn sample() -> Sample {
        let forged = Forged::new(&format!("sample-{:?}", std::thread::current().id()));
        Target::new(forged.open()).unwrap().sample(State::Alive, Extent::Whole).unwrap()
    }
}
