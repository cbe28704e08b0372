//! Finding the segment of a process, or of what is left of one.

use crate::interrupt;
use anyhow::{Context, anyhow, bail};
use procfs::FromRead;
use procfs::process::Stat;
use rumpscope_probes::reader::{ReadError, Segment};
use rumpscope_probes::{EXTENSION, Snapshot, segment_folder};
use rumpscope_reports::recording::Recording;
use rumpscope_reports::units;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often a process that is looked at for a time is asked whether it is still there.
const LOOK: Duration = Duration::from_millis(50);

/// What was seen of a process.
pub struct Seen {
    /// At the beginning, where only a part of its time was asked for.
    pub earlier: Option<Snapshot>,
    /// At the end.
    pub later: Snapshot,
}

/// Looks at `target`, a process number or the path of a segment or recording: at all it has done, or for `duration`.
/// Ctrl-C ends that early.
///
/// # Errors
/// When there is no such process or file, or it is not measured.
pub fn look(target: &OsStr, duration: Option<Duration>) -> anyhow::Result<Seen> {
    if Recording::is_one(Path::new(target)) {
        return last_of_recording(target, duration);
    }
    let segment = open(target)?;
    let Some(duration) = duration else { return Ok(Seen { earlier: None, later: segment.snapshot()? }) };
    if !segment.is_alive()? {
        bail!("the process of {} has ended: without --duration, all that it has done is shown", target.display());
    }
    interrupt::catch().context("cannot wait for Ctrl-C")?;
    let earlier = segment.snapshot()?;
    let begin = Instant::now();
    while begin.elapsed() < duration && !interrupt::arrived() && segment.is_alive()? {
        std::thread::sleep(LOOK.min(duration.saturating_sub(begin.elapsed())));
    }
    Ok(Seen { earlier: Some(earlier), later: segment.snapshot()? })
}

/// What a recording ends with.
fn last_of_recording(path: &OsStr, duration: Option<Duration>) -> anyhow::Result<Seen> {
    if duration.is_some() {
        bail!("{} is a recording: without --duration, all that was recorded is shown", path.display());
    }
    let mut recording = Recording::open(Path::new(path))?;
    if let Some(damage) = recording.damage() {
        tell!("rumpscope: {} is not whole: {damage}", path.display());
    }
    let whole = recording.last_whole(recording.len() - 1);
    if whole + 1 != recording.len() {
        let at = units::time(recording.intervals()[whole].elapsed.as_nanos() as f64, false);
        tell!("rumpscope: {}: this is what was at {at}, where its last whole sample is", path.display());
    }
    let last = recording.at(whole)?;
    Ok(Seen { earlier: None, later: last.snapshot.clone() })
}

/// The segment that `target` means: that of a process, by its number, or a file.
///
/// # Errors
/// When there is none.
pub fn open(target: &OsStr) -> anyhow::Result<Segment> {
    let path = Path::new(target);
    let number = target.to_str().and_then(|target| target.parse::<u32>().ok());
    match number {
        Some(pid) if !path.exists() => of_process(pid),
        // Its error names the file.
        _ if path.exists() => Ok(Segment::open(path)?),
        _ => bail!(
            "{} is neither the number of a process nor a file (a program that is to be started stands behind --)",
            target.display()
        ),
    }
}

/// The segment of process `pid`.
///
/// # Errors
/// When there is none.
pub fn of_process(pid: u32) -> anyhow::Result<Segment> {
    let own = segment_folder().join(format!("{pid}.{EXTENSION}"));
    let runs = runs(pid);
    let mut unreadable = None;
    // Where a process maps it is where it is; a path may be left from an earlier process with this number.
    for path in mapped_files(pid).into_iter().chain([own.clone()]) {
        match Segment::open(&path) {
            Ok(segment) if is_of(&segment, pid, runs) => return Ok(segment),
            Err(version @ ReadError::Version { .. }) => unreadable = Some(version),
            Ok(_) | Err(_) => {}
        }
    }
    if let Some(problem) = unreadable {
        return Err(problem.into());
    }
    Err(match runs {
        false => anyhow!("there is no process {pid}, and no segment of it in {}", segment_folder().display()),
        true if std::fs::read(format!("/proc/{pid}/maps")).is_err() => {
            anyhow!("process {pid} is another user's; become that user (or root) to look at it")
        }
        true => anyhow!(
            "process {pid} is not measured: it has no segment of rumpscope. Either it has not called the hypervisor yet, or \
             RUMPSCOPE=0 was set, or its hypervisor is another one: start it by `rumpscope locks -- PROGRAM`, or link it with \
             our librumpuser"
        ),
    })
}

/// Whether there is a process `pid`. One that has ended is none, though nobody may have waited for it yet.
fn runs(pid: u32) -> bool {
    let has_ended = |stat: Stat| matches!(stat.state, 'Z' | 'X');
    Path::new(&format!("/proc/{pid}")).exists() && !Stat::from_file(format!("/proc/{pid}/stat")).is_ok_and(has_ended)
}

/// Whether the segment is that of process `pid`, which runs or not.
fn is_of(segment: &Segment, pid: u32, runs: bool) -> bool {
    segment.process().is_ok_and(|process| process.pid == pid) && (!runs || segment.is_alive().is_ok_and(|alive| alive))
}

/// The files that a process has mapped to write to and share; none if it is another user's.
fn mapped_files(pid: u32) -> Vec<PathBuf> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    // address perms offset dev inode path
    let shared = |line: &str| {
        let mut fields = line.splitn(6, ' ');
        let permissions = fields.nth(1)?;
        let path = fields.nth(3)?.trim_start();
        (permissions == "rw-s" && path.starts_with('/')).then(|| PathBuf::from(path))
    };
    let mut files: Vec<_> = maps.lines().filter_map(shared).collect();
    files.dedup();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(target: &str) -> String {
        format!("{:#}", open(OsStr::new(target)).unwrap_err())
    }

    #[test]
    fn what_is_not_there_is_said() {
        // Process numbers end at 2^22.
        assert!(problem("99999999").contains("there is no process 99999999"));
        assert!(problem("no/such/file").contains("neither the number of a process nor a file"));
        assert!(problem(env!("CARGO_MANIFEST_DIR")).contains("cannot read the segment"));
        assert!(problem(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).contains("is no segment of rumpscope"));
    }

    #[test]
    fn what_has_ended_is_no_process_though_nobody_has_waited_for_it() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let begin = Instant::now();
        while runs(child.id()) {
            assert!(begin.elapsed() < Duration::from_secs(30), "it is still there");
            std::thread::sleep(Duration::from_millis(1));
        }
        let told = problem(&child.id().to_string());
        child.wait().unwrap();
        assert!(told.contains("there is no process"), "{told}");
    }

    #[test]
    fn a_process_without_our_hypervisor_is_told_from_none() {
        let own = problem(&std::process::id().to_string());
        assert!(own.contains("is not measured"), "{own}");
    }
}
