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
//! that still wait, and those that were begun before the failure and have not said that they ended.

use crate::host::errno::Errno;
use libc::c_int;

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

    /// The flush of `batch` has ended with `outcome`, which is to be told to the members returned. The batch returned
    /// is to be flushed next.
    pub(super) fn flushed(&mut self, batch: Batch<M>, outcome: Result<(), Errno>) -> (Vec<M>, Option<Batch<M>>) {
        let Batch { fd, mut members } = batch;
        let file = self.file(fd);
        if let Err(errno) = outcome {
            file.failures += 1;
            file.last_failure = errno;
            members.append(&mut file.waiting);
        }
        file.flushing = !file.waiting.is_empty();
        let next = file.flushing.then(|| Batch { fd, members: core::mem::take(&mut file.waiting) });
        (members, next)
    }

    fn file(&mut self, fd: c_int) -> &mut File<M> {
        let place = self.files.iter().position(|file| file.fd == fd).unwrap_or_else(|| {
            self.files.push(File {
                fd,
                failures: 0,
                last_failure: Errno(libc::EIO),
                flushing: false,
                waiting: Vec::new(),
            });
            self.files.len() - 1
        });
        &mut self.files[place]
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
        let (done, next) = commits.flushed(batch, Ok(()));
        assert_eq!(done, [0]);
        // One that comes during the second waits for the third.
        assert!(matches!(joins(&mut commits, 100), Joined::Waits));
        let (done, next) = commits.flushed(next.expect("a second flush"), Ok(()));
        assert_eq!(done, (1..100).collect::<Vec<_>>());
        let (done, next) = commits.flushed(next.expect("a third flush"), Ok(()));
        assert_eq!(done, [100]);
        assert!(next.is_none());
        assert_eq!(first(&mut commits).fd, 3, "nobody is left to flush for it");
    }

    #[test]
    fn files_are_flushed_apart() {
        let mut commits = Commits::new();
        let _first = first(&mut commits);
        let begun = commits.begin(4);
        let Joined::Flush(batch) = commits.join(begun, 7) else { panic!("waits for another file's flush") };
        assert_eq!(commits.flushed(batch, Ok(())).0, [7]);
    }

    #[test]
    fn a_failed_flush_fails_all_that_was_written_before_its_end() {
        let mut commits = Commits::new();
        let batch = first(&mut commits);
        let slow = commits.begin(3);
        assert!(matches!(joins(&mut commits, 1), Joined::Waits));
        let (done, next) = commits.flushed(batch, Err(Errno(libc::EIO)));
        assert_eq!(done, [0, 1]);
        assert!(next.is_none());
        assert!(matches!(commits.join(slow, 2), Joined::Failed(2, Errno(libc::EIO))));
        // What begins now has nothing to do with it.
        let batch = first(&mut commits);
        assert_eq!(commits.flushed(batch, Ok(())).0, [0]);
    }
}
