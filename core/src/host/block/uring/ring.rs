//! What the ring's thread does.

use super::super::commit::{Batch, Begun, Commits, Flushed, Joined};
use super::super::{Completion, Operation, Request};
use super::{DEPTH, Uring};
use crate::host::diagnostic;
use crate::host::errno::Errno;
use crate::host::file::flush;
use crate::host::file::transfer::Progress;
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use rumpscope_probes::Hypercall;
use rumpscope_probes::contention::alone;
use std::os::fd::RawFd;

/// Told apart from the jobs, which are numbered from 0.
const BELL: u64 = u64::MAX;

/// The most that one transfer is asked for, in bytes: the host moves less than 2 GiB at a time.
const LONGEST: usize = 1 << 30;

/// The ring, and what it is busy with.
pub(super) struct Ring<C: Completion> {
    ring: IoUring,
    engine: &'static Uring<C>,
    bell: RawFd,
    /// What the bell's read fills. Boxed: it stays where it is while the ring moves.
    rings: Box<u64>,
    /// By number, which is what the host knows a job by.
    jobs: Vec<Option<Job<C>>>,
    /// Numbers without a job.
    free: Vec<usize>,
    transfers: usize,
    commits: Commits<Member<C>>,
    /// Requests that have ended, and whose completions are yet to be told.
    done: Vec<Member<C>>,
}

type Member<C> = (C, Progress);

enum Job<C> {
    Transfer(Transfer<C>),
    Flush(Batch<Member<C>>),
}

struct Transfer<C> {
    request: Request<C>,
    /// Bytes so far.
    moved: usize,
    /// Of a write that is to be stable.
    begun: Option<Begun>,
}

impl<C: Completion> Ring<C> {
    pub(super) fn new(ring: IoUring, bell: RawFd, engine: &'static Uring<C>) -> Self {
        Ring {
            ring,
            engine,
            bell,
            rings: Box::new(0),
            jobs: Vec::new(),
            free: Vec::new(),
            transfers: 0,
            commits: Commits::new(),
            done: Vec::new(),
        }
    }

    pub(super) fn run(mut self) -> ! {
        C::thread_starts();
        self.listen();
        loop {
            self.take_on();
            // The device goes on while completions are told.
            if self.transfers != 0 && self.done.is_empty() {
                alone(Hypercall::Bio, || self.enter(true));
            } else {
                self.enter(self.done.is_empty());
            }
            if !self.done.is_empty() {
                C::complete_all(core::mem::take(&mut self.done));
            }
            self.reap();
        }
    }

    /// Has the ring wait for the bell.
    fn listen(&mut self) {
        let read = opcode::Read::new(types::Fd(self.bell), (&raw mut *self.rings).cast(), size_of::<u64>() as u32);
        self.push(&read.build().user_data(BELL));
    }

    /// Takes requests out of the inbox, as many as there is room for.
    fn take_on(&mut self) {
        let taken: Vec<Request<C>> = {
            let mut inbox = self.engine.inbox();
            let room = (DEPTH - self.transfers).min(inbox.queue.len());
            let taken = inbox.queue.drain(..room).collect();
            // Where requests are left, the ring is full: its next completion wakes this thread. Where completions are
            // to be told, it comes back before it sleeps.
            inbox.awake = !inbox.queue.is_empty() || !self.done.is_empty();
            taken
        };
        for request in taken {
            match seekable(&request) {
                Ok(()) => self.begin(request),
                Err(errno) => self.done.push((request.completion, Progress::failed(errno))),
            }
        }
    }

    fn begin(&mut self, request: Request<C>) {
        let begun = (request.operation == Operation::WriteStable).then(|| self.commits.begin(request.fd));
        self.transfers += 1;
        self.transfer(Transfer { request, moved: 0, begun });
    }

    /// Asks the host for what is left of a transfer.
    fn transfer(&mut self, transfer: Transfer<C>) {
        let Request { fd, operation, buffer, length, offset, .. } = transfer.request;
        let fd = types::Fd(fd);
        let start = buffer.wrapping_byte_add(transfer.moved).cast::<u8>();
        // At most `LONGEST`, so it fits.
        let length = (length - transfer.moved).min(LONGEST) as u32;
        // The offset is 0 or more, and where the sum has no meaning the host will say so. -1, the file position, is out
        // of reach: the host has just moved bytes at smaller offsets.
        let offset = (offset as u64).wrapping_add(transfer.moved as u64);
        let entry = match operation {
            Operation::Read => opcode::Read::new(fd, start, length).offset(offset).build(),
            Operation::Write | Operation::WriteStable => opcode::Write::new(fd, start, length).offset(offset).build(),
        };
        self.ask(entry, Job::Transfer(transfer));
    }

    fn flush(&mut self, batch: Batch<Member<C>>) {
        let entry = opcode::Fsync::new(types::Fd(batch.fd)).flags(types::FsyncFlags::DATASYNC).build();
        self.ask(entry, Job::Flush(batch));
    }

    fn ask(&mut self, entry: squeue::Entry, job: Job<C>) {
        let number = self.free.pop().unwrap_or_else(|| {
            self.jobs.push(None);
            self.jobs.len() - 1
        });
        self.jobs[number] = Some(job);
        self.push(&entry.user_data(number as u64));
    }

    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: a transfer's buffer is lent until its completion is told, which is after the host is done with it; the
        // bell's lives as long as the ring.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.enter(false);
        }
    }

    /// Hands over to the host what is new, and waits for something to end if told to.
    fn enter(&mut self, wait: bool) {
        if let Err(error) = self.ring.submit_and_wait(usize::from(wait)) {
            match error.raw_os_error() {
                // Interrupted, or short of room or memory: what has ended is looked at first.
                Some(libc::EINTR | libc::EBUSY | libc::EAGAIN) => {}
                // The host has buffers of the guest and does not say any more what it does with them.
                _ => diagnostic::fatal("bio", format_args!("io_uring_enter failed: {error}")),
            }
        }
    }

    /// Looks at what has ended.
    fn reap(&mut self) {
        let ended: Vec<cqueue::Entry> = self.ring.completion().collect();
        for entry in ended {
            if entry.user_data() == BELL {
                self.listen();
                continue;
            }
            let number = entry.user_data() as usize;
            let Some(job) = self.jobs.get_mut(number).and_then(Option::take) else { continue };
            self.free.push(number);
            let outcome = usize::try_from(entry.result()).map_err(|_| Errno(-entry.result()));
            match job {
                Job::Transfer(transfer) => self.transferred(transfer, outcome),
                Job::Flush(batch) if outcome == Err(Errno(libc::EINTR)) => self.flush(batch),
                Job::Flush(batch) => self.flushed(batch, outcome.map(drop).or_else(flush::judge)),
            }
        }
    }

    fn transferred(&mut self, mut transfer: Transfer<C>, outcome: Result<usize, Errno>) {
        transfer.moved += outcome.unwrap_or(0);
        let ended = match outcome {
            Err(Errno(libc::EINTR)) => false,
            Err(_) | Ok(0) => true,
            Ok(_) => transfer.moved == transfer.request.length,
        };
        if !ended {
            return self.transfer(transfer);
        }
        self.transfers -= 1;
        let Transfer { request, moved, begun } = transfer;
        let member = request.ends(Progress { bytes: moved, stopped: outcome.map(drop) });
        let Some(begun) = begun.filter(|_| member.1.stopped.is_ok()) else { return self.done.push(member) };
        match self.commits.join(begun, member) {
            Joined::Flush(batch) => self.flush(batch),
            Joined::Waits => {}
            Joined::Failed((completion, _), errno) => self.done.push((completion, Progress::failed(errno))),
        }
    }

    fn flushed(&mut self, batch: Batch<Member<C>>, outcome: Result<(), Errno>) {
        let Flushed { members: mut done, outcome, next } = self.commits.flushed(batch, outcome);
        if let Err(errno) = outcome {
            done.iter_mut().for_each(|(_, progress)| *progress = Progress::failed(errno));
        }
        self.done.append(&mut done);
        if let Some(next) = next {
            self.flush(next);
        }
    }
}

/// What positional system calls check and the ring does not: it takes offset -1 for the file position, and leaves
/// offsets in pipes out of account.
fn seekable<C>(request: &Request<C>) -> Result<(), Errno> {
    // SAFETY: moves no file position, touches no memory.
    if unsafe { libc::lseek(request.fd, 0, libc::SEEK_CUR) } == -1 {
        return Err(Errno::last());
    }
    if request.offset < 0 { Err(Errno(libc::EINVAL)) } else { Ok(()) }
}
