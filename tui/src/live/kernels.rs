//! The instrumented kernels of this user: whose segments lie in the folder of segments.

use rumpscope_probes::reader::{Reader, Segment};
use rumpscope_probes::{EXTENSION, Process, Quantity, Snapshot, segment_folder};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a folder that a run of ours has made for one guest is called: this, and the number of who made it.
const RUN: &str = "run-";
/// How the segments in such a folder are called; what may follow is the number of a further process.
const IN_RUN: &str = "segment";

/// A segment that was found.
#[derive(Debug)]
pub enum Found {
    /// It can be read.
    Kernel(Kernel),
    /// It cannot, for this reason.
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// A kernel that runs, or ran.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Where its segment is.
    pub path: PathBuf,
    /// Its process.
    pub process: Process,
    /// Whether that runs.
    pub alive: bool,
    /// Its virtual CPUs.
    pub vcpus: usize,
    /// Its host back end.
    pub backend: String,
    /// For how long it has been measured.
    pub measured: Duration,
    /// Hypercalls that have returned.
    pub calls: u64,
    /// Hypercalls in a second, between this look and the one before; `None` at the first.
    pub per_second: Option<f64>,
}

/// Looks at them, again and again.
#[derive(Debug, Default)]
pub struct Kernels {
    known: BTreeMap<PathBuf, Known>,
}

/// A segment that was read before.
#[derive(Debug)]
struct Known {
    reader: Reader,
    /// Whose it was, when it was read (ticks), and how many hypercalls there were.
    last: Option<(Process, u64, u64)>,
}

impl Kernels {
    /// Those that there are now: first those that run, the latest first.
    pub fn look(&mut self) -> Vec<Found> {
        let paths = segments(&segment_folder());
        self.known.retain(|path, _| paths.contains(path));
        let mut found: Vec<_> = paths.into_iter().filter_map(|path| self.read(path)).collect();
        found.sort_by_key(|found| match found {
            Found::Kernel(kernel) => (!kernel.alive, std::cmp::Reverse(kernel.process.began_unix_ns)),
            Found::Unreadable { .. } => (true, std::cmp::Reverse(0)),
        });
        found
    }

    /// What is at `path`; `None`: nothing any more.
    fn read(&mut self, path: PathBuf) -> Option<Found> {
        let read = self.kernel(&path);
        if read.is_err() {
            self.known.remove(&path);
        }
        match read {
            Ok(kernel) => Some(Found::Kernel(kernel)),
            Err(_) if !path.exists() => None,
            Err(error) => Some(Found::Unreadable { path, reason: error.to_string() }),
        }
    }

    fn kernel(&mut self, path: &Path) -> Result<Kernel, rumpscope_probes::reader::ReadError> {
        // Opened anew: there may be another file of the same name by now.
        let segment = Segment::open(path)?;
        let process = segment.process()?;
        let is_of = |known: &mut Known| known.last.as_ref().is_some_and(|(last, ..)| *last == process);
        if !self.known.get_mut(path).is_some_and(is_of) {
            self.known.remove(path);
        }
        let known = self.known.entry(path.to_owned());
        let known = known.or_insert_with(|| Known { reader: Reader::new(segment), last: None });
        let snapshot = known.reader.snapshot()?;
        let calls = calls(&snapshot);
        let last = known.last.replace((process, snapshot.taken, calls));
        let per_second = last.map(|(_, taken, before)| {
            let seconds = snapshot.clock.nanoseconds(snapshot.taken.saturating_sub(taken)) / 1e9;
            if seconds > 0.0 { calls.saturating_sub(before) as f64 / seconds } else { 0.0 }
        });
        let measured = snapshot.clock.nanoseconds(snapshot.taken.saturating_sub(snapshot.began));
        Ok(Kernel {
            path: path.to_owned(),
            alive: snapshot.process.is_alive(),
            vcpus: snapshot.vcpus.len(),
            measured: Duration::from_nanos(measured as u64),
            process: snapshot.process,
            backend: snapshot.backend,
            calls,
            per_second,
        })
    }
}

fn calls(snapshot: &Snapshot) -> u64 {
    let calls = snapshot.cells.iter().filter(|((_, metric), _)| Quantity::CALLS.contains(&metric.quantity));
    calls.fold(0, |sum, (_, calls)| sum.saturating_add(calls.count()))
}

/// The files in `folder` that are called as segments are, and those in the folders that runs have made there.
fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in entries(folder) {
        let (path, name) = (entry.path(), entry.file_name());
        if name.as_encoded_bytes().starts_with(RUN.as_bytes()) {
            let is_segment =
                |entry: &std::fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(IN_RUN.as_bytes());
            found.extend(entries(&path).filter(is_segment).map(|entry| entry.path()));
        } else if path.extension().is_some_and(|extension| extension == EXTENSION) {
            found.push(path);
        }
    }
    found
}

fn entries(folder: &Path) -> impl Iterator<Item = std::fs::DirEntry> {
    std::fs::read_dir(folder).into_iter().flatten().flatten()
}

/// Removes the segment of `kernel`, which has ended; whether it is gone. One in the folder of a run stays as long as that
/// goes on: its profile is still to be printed.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(kernel: &Kernel) -> std::io::Result<bool> {
    let Some(run) = run_folder(&kernel.path) else { return std::fs::remove_file(&kernel.path).map(|()| true) };
    if run_goes_on(run) {
        return Ok(false);
    }
    std::fs::remove_file(&kernel.path)?;
    // Whatever else a run leaves there is worth nothing without the segments.
    if !entries(run).any(|entry| entry.file_name().as_encoded_bytes().starts_with(IN_RUN.as_bytes())) {
        std::fs::remove_dir_all(run)?;
    }
    Ok(true)
}

/// The folder of the run that a segment belongs to, if it belongs to one.
fn run_folder(path: &Path) -> Option<&Path> {
    let folder = path.parent()?;
    folder.file_name()?.as_encoded_bytes().starts_with(RUN.as_bytes()).then_some(folder)
}

/// Whether who made the folder still runs; a later process with its number counts as that.
fn run_goes_on(folder: &Path) -> bool {
    let number = folder.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(RUN));
    number.is_some_and(|number| Path::new("/proc").join(number).exists())
}

#[cfg(test)]
mod tests {
    use super::super::target::testing::Forged;
    use super::*;
    use rumpscope_probes::own_folder;

    #[test]
    fn segments_of_processes_and_of_runs_are_found() {
        let folder = std::env::temp_dir().join(format!("rumpscope-kernels-{}", std::process::id()));
        let run = folder.join("run-99999999");
        own_folder(&folder).unwrap();
        own_folder(&run).unwrap();
        let expected = [folder.join("1.segment"), run.join("segment"), run.join("segment.7")];
        for path in expected.iter().chain([&folder.join("other"), &run.join("figures")]) {
            std::fs::write(path, "").unwrap();
        }
        let mut found = segments(&folder);
        found.sort();
        assert_eq!(found, expected);
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(segments(&folder).is_empty());
    }

    #[test]
    fn a_folder_goes_with_its_last_segment_when_its_run_has_ended() {
        // Process numbers end at 2^22.
        let run = std::env::temp_dir().join(format!("run-9{}0000000", std::process::id()));
        own_folder(&run).unwrap();
        let kernel = |name: &str| {
            let path = run.join(name);
            std::fs::write(&path, "").unwrap();
            let process = Forged::new(name).open().process().unwrap();
            Kernel {
                path,
                process,
                alive: false,
                vcpus: 0,
                backend: String::new(),
                measured: Duration::ZERO,
                calls: 0,
                per_second: None,
            }
        };
        let kernels = [kernel("segment"), kernel("segment.1")];
        std::fs::write(run.join("errors"), "").unwrap();
        assert!(remove(&kernels[0]).unwrap());
        assert!(run.exists());
        assert!(remove(&kernels[1]).unwrap());
        assert!(!run.exists());
        assert!(run_goes_on(Path::new(&format!("run-{}", std::process::id()))));
    }
}
