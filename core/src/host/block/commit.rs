//! Group commit: writes that are to be stable share a flush.
//!
//! A flush makes everything stable that was written to the file before it began, whoever wrote it. So there is one flush
//! of a file under way at most; writes that end meanwhile wait for the next one, which serves them all:
//!
//! ```text
//! write 1 |=====|
//! write 2    |=====|                            (ends after flush 1 began)
//! write 3  |=========|
//! flush 1       |============| 1 is stable
//! flush 2                    |============| 2 and 3 are stable
//! ```
//!
//! The host tells a failed flush once, to whoever asked for it, and takes what it could not write for written. What was
//! written before the end of a failed flush therefore cannot be made stable by the next one: all such writes fail, those
//! that still wait, and those that were begun before the failure and have not said that they ended. The same holds where
//! the flush that failed was the guest's own ([`failed_outside`]).

use crate::host::errno::Errno;
use core::sync::atomic::{AtomicBool, Ordering};
use libc::c_int;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Flushes that failed outside of engines: of which descriptor, how many, and how the last one did. Hardly ever there is one.
static OUTSIDE: Mutex<Vec<(c_int, u64, Errno)>> = Mutex::new(Vec::new());
static ANY_OUTSIDE: AtomicBool = AtomicBool::new(false);

fn outside() -> MutexGuard<'static, Vec<(c_int, u64, Errno)>> {
    OUTSIDE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The guest has had `fd` flushed itself, and was told of a failure of which no engine will be told any more. (One whose own
/// flush begins and ends in the moment before this is called takes its writes for stable.)
pub fn failed_outside(fd: c_int, errno: Errno) {
    let mut failed = outside();
    match failed.iter_mut().find(|of| of.0 == fd) {
        Some(of) => (of.1, of.2) = (of.1 + 1, errno),
        None => failed.push((fd, 1, errno)),
    }
    // Relaxed: what it stands for is under the lock. Who does not see it yet is as one who looked a moment before.
    ANY_OUTSIDE.store(true, Ordering::Relaxed);
}

/// The writes that wait, by file; `M` is whom to tell of one.
#[derive(Debug)]
pub(super) struct Commits<M> {
    /// Every descriptor that ever had a stable write: as many as the guest has disks. One that is used again for
    /// another file goes on with the same entry.
    files: Vec<File<M>>,
}

#[derive(Debug)]
struct File<M> {
    fd: c_int,
    /// Flushes that failed so far.
    failures: u64,
    last_failure: Errno,
    flushing: bool,
    waiting: Vec<M>,
    /// Failures outside that are known; and whether one came while this flush was under way.
    outside: u64,
    failed_meanwhile: bool,
}

/// A write that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    fd: c_int,
    failures: u64,
}

/// Writes that one flush makes stable.
#[derive(Debug)]
pub(super) struct Batch<M> {
    pub(super) fd: c_int,
    members: Vec<M>,
}

/// What comes of a flush.
#[derive(Debug)]
pub(super) struct Flushed<M> {
    /// Who is to be told `outcome`.
    pub(super) members: Vec<M>,
    pub(super) outcome: Result<(), Errno>,
    /// To be flushed next.
    pub(super) next: Option<Batch<M>>,
}

/// What becomes of a write that has ended.
#[derive(Debug)]
pub(super) enum Joined<M> {
    /// The caller flushes the file now, and then calls [`Commits::flushed`].
    Flush(Batch<M>),
    /// It is part of the next flush.
    Waits,
    /// A flush failed since it began.
    Failed(M, Errno),
}

impl<M> Commits<M> {
    pub(super) const fn new() -> Self {
        Commits { files: Vec::new() }
    }

    /// A write to `fd` is about to begin.
    pub(super) fn begin(&mut self, fd: c_int) -> Begun {
        Begun { fd, failures: self.file(fd).failures }
    }

    /// The write has ended; `member` is to be told when it is stable.
    pub(super) fn join(&mut self, begun: Begun, member: M) -> Joined<M> {
        let file = self.file(begun.fd);
        if file.failures != begun.failures {
            return Joined::Failed(member, file.last_failure);
        }
        if file.flushing {
            file.waiting.push(member);
            return Joined::Waits;
        }
        file.flushing = true;
        Joined::Flush(Batch { fd: begun.fd, members: vec![member] })
    }

    /// The flush of `batch` has ended with `outcome`.
    pub(super) fn flushed(&mut self, batch: Batch<M>, outcome: Result<(), Errno>) -> Flushed<M> {
        let Batch { fd, mut members } = batch;
        let file = self.file(fd);
        let failed_meanwhile = core::mem::take(&mut file.failed_meanwhile);
        if let Err(errno) = outcome {
            file.failures += 1;
            file.last_failure = errno;
        }
        let outcome = if failed_meanwhile { Err(file.last_failure) } else { outcome };
        if outcome.is_err() {
            members.append(&mut file.waiting);
        }
        file.flushing = !file.waiting.is_empty();
        let next = file.flushing.then(|| Batch { fd, members: core::mem::take(&mut file.waiting) });
        Flushed { members, outcome, next }
    }

    fn file(&mut self, fd: c_int) -> &mut File<M> {
        let place = self.files.iter().position(|file| file.fd == fd).unwrap_or_else(|| {
            self.files.push(File {
                fd,
                failures: 0,
                last_failure: Errno(libc::EIO),
                flushing: false,
                waiting: Vec::new(),
                outside: 0,
                failed_meanwhile: false,
            });
            self.files.len() - 1
        });
        let file = &mut self.files[place];
        file.look_outside();
        file
    }
}

impl<M> File<M> {
    fn look_outside(&mut self) {
        // Relaxed: see `failed_outside`.
        if !ANY_OUTSIDE.load(Ordering::Relaxed) {
            return;
        }
        let failed = outside().iter().find(|of| of.0 == self.fd).map(|of| (of.1, of.2));
        if let Some((failures, errno)) = failed.filter(|(failures, _)| *failures != self.outside) {
            self.outside = failures;
            self.failures += 1;
            self.last_failure = errno;
            self.failed_meanwhile = self.flushing;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joins(commits: &mut Commits<u32>, member: u32) -> Joined<u32> {
        let begun = commits.begin(3);
        commits.join(begun, member)
    }

    fn first(commits: &mut Commits<u32>) -> Batch<u32> {
        let Joined::Flush(batch) = joins(commits, 0) else { panic!("nobody flushes") };
        batch
    }

    #[test]
    fn writes_that_end_during_a_flush_share_the_next_one() {
        let mut commits = Commits::new();
        let batch = first(&mut commits);
        for member in 1..100 {
            assert!(matches!(joins(&mut commits, member), Joined::Waits));
        }
        let Flushed { members, next, .. } = commits.flushed(batch, Ok(()));
        assert_eq!(members, [0]);
        // One that comes during the second waits for the third.
        assert!(matches!(joins(&mut commits, 100), Joined::Waits));
        let Flushed { members, next, .. } = commits.flushed(next.expect("a second flush"), Ok(()));
        assert_eq!(members, (1..100).collect::<Vec<_>>());
        let Flushed { members, next, .. } = commits.flushed(next.expect("a third flush"), Ok(()));
        assert_eq!(members, [100]);
        assert!(next.is_none());
        assert_eq!(first(&mut commits).fd, 3, "nobody is left to flush for it");
    }

    #[test]
    fn files_are_flushed_apart() {
        let mut commits = Commits::new();
        let _first = first(&mut commits);
        let begun = commits.begin(4);
        let Joined::Flush(batch) = commits.join(begun, 7) else { panic!("waits for another file's flush") };
        assert_eq!(commits.flushed(batch, Ok(())).members, [7]);
    }

    #[test]
    fn a_failed_flush_fails_all_that_was_written_before_its_end() {
        let mut commits = Commits::new();
        let batch = first(&mut commits);
        let slow = commits.begin(3);
        assert!(matches!(joins(&mut commits, 1), Joined::Waits));
        let Flushed { members, outcome, next } = commits.flushed(batch, Err(Errno(libc::EIO)));
        assert_eq!((members, outcome), (vec![0, 1], Err(Errno(libc::EIO))));
        assert!(next.is_none());
        assert!(matches!(commits.join(slow, 2), Joined::Failed(2, Errno(libc::EIO))));
        // What begins now has nothing to do with it.
        let batch = first(&mut commits);
        assert_eq!(commits.flushed(batch, Ok(())).members, [0]);
    }

    /// On descriptors that no other test has: what failed outside is known to all.
    #[test]
    fn so_does_one_that_the_guest_asked_for_itself() {
        let mut commits = Commits::new();
        let begun = commits.begin(1003);
        let Joined::Flush(batch) = commits.join(begun, 0) else { panic!("nobody flushes") };
        let slow = commits.begin(1003);
        let begun = commits.begin(1003);
        assert!(matches!(commits.join(begun, 1), Joined::Waits));
        failed_outside(1003, Errno(libc::ENOSPC));
        failed_outside(1004, Errno(libc::EIO));
        // The engine's own flush finds nothing that is left to write.
        let Flushed { members, outcome, next } = commits.flushed(batch, Ok(()));
        assert_eq!((members, outcome), (vec![0, 1], Err(Errno(libc::ENOSPC))));
        assert!(next.is_none());
        assert!(matches!(commits.join(slow, 2), Joined::Failed(2, Errno(libc::ENOSPC))));
        // What begins now has nothing to do with it.
        let begun = commits.begin(1003);
        let Joined::Flush(batch) = commits.join(begun, 3) else { panic!("nobody flushes") };
        assert_eq!(commits.flushed(batch, Ok(())).outcome, Ok(()));
    }
}
