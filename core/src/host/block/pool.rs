//! A few threads that carry out requests from one queue.

use super::commit::{Batch, Commits, Flushed, Joined};
use super::{Completion, Engine, Operation, Request, worker};
use crate::host::errno::Errno;
use crate::host::file::flush;
use crate::host::file::transfer::Progress;
use libc::c_int;
use rumpscope_probes::Hypercall;
use rumpscope_probes::contention::alone;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

/// Threads at most, and so requests under way. They wait for devices, so it has little to do with the number of CPUs;
/// it is the queue depth that a cheap disk can still use.
const THREADS: usize = 8;

/// The engine. Threads are made when requests wait and all threads are busy, and stay.
///
/// The thread that is woken is the one that went to sleep last: its stack and its CPU are the warmest. No request is
/// left to a thread that is awake and will come back soon, although that would save the waking: it comes back when the
/// completion returns, which may itself wait for a lock of the guest, whose holder may wait for that request.
#[derive(Debug)]
pub struct Pool<C> {
    state: Mutex<State<C>>,
    commits: Mutex<Commits<Member<C>>>,
    /// Makes a file stable.
    flush: fn(c_int) -> Result<(), Errno>,
    /// Threads at most.
    most: usize,
}

/// A write that is to be stable, and how it went so far.
type Member<C> = (C, Progress);

#[derive(Debug)]
struct State<C> {
    queue: VecDeque<Job<C>>,
    threads: usize,
    /// Threads that sleep; the last to do so at the end. One that is taken out is woken, and looks into the queue.
    asleep: Vec<Thread>,
}

#[derive(Debug)]
enum Job<C> {
    Transfer(Request<C>),
    Flush(Batch<Member<C>>),
}

impl<C: Completion> Pool<C> {
    /// A pool without threads.
    pub const fn new() -> Self {
        Self::with(THREADS, flush::whole)
    }

    /// A pool of `most` threads that makes files stable by `flush`.
    pub(super) const fn with(most: usize, flush: fn(c_int) -> Result<(), Errno>) -> Self {
        let state = State { queue: VecDeque::new(), threads: 0, asleep: Vec::new() };
        Pool { state: Mutex::new(state), commits: Mutex::new(Commits::new()), flush, most }
    }

    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commits(&self) -> MutexGuard<'_, Commits<Member<C>>> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&'static self) {
        C::thread_starts();
        let own = thread::current();
        let mut state = self.state();
        loop {
            if let Some(job) = state.queue.pop_front() {
                drop(state);
                match job {
                    Job::Transfer(request) if request.operation == Operation::WriteStable => self.write_stable(request),
                    Job::Transfer(request) => {
                        let (completion, progress) = alone(Hypercall::Bio, || request.carry_out());
                        completion.complete(progress);
                    }
                    Job::Flush(batch) => self.flush(batch),
                }
                state = self.state();
            } else {
                state.asleep.push(own.clone());
                drop(state);
                thread::park();
                state = self.state();
                // A thread can wake up untold, and is on the list still.
                state.asleep.retain(|thread| thread.id() != own.id());
            }
        }
    }

    fn write_stable(&'static self, request: Request<C>) {
        let begun = self.commits().begin(request.fd);
        let progress = alone(Hypercall::Bio, || request.write());
        let (completion, progress) = request.ends(progress);
        if progress.stopped.is_err() {
            return completion.complete(progress);
        }
        let joined = self.commits().join(begun, (completion, progress));
        match joined {
            Joined::Flush(batch) => self.flush(batch),
            Joined::Waits => {}
            Joined::Failed((completion, _), errno) => completion.complete(Progress::failed(errno)),
        }
    }

    fn flush(&'static self, batch: Batch<Member<C>>) {
        let mut batch = Some(batch);
        while let Some(now) = batch.take() {
            let outcome = alone(Hypercall::Bio, || (self.flush)(now.fd));
            let Flushed { members: mut done, outcome, next } = self.commits().flushed(now, outcome);
            if let Err(errno) = outcome {
                done.iter_mut().for_each(|(_, progress)| *progress = Progress::failed(errno));
            }
            // The device goes on while these are told.
            if let Some(next) = next
                && let Err(Job::Flush(refused)) = self.take_on(Job::Flush(next))
            {
                batch = Some(refused);
            }
            C::complete_all(done);
        }
    }

    /// Leaves `job` to a thread, which is woken or made.
    fn take_on(&'static self, job: Job<C>) -> Result<(), Job<C>> {
        let mut state = self.state();
        if state.queue.try_reserve(1).is_err() {
            return Err(job);
        }
        state.queue.push_back(job);
        if let Some(thread) = state.asleep.pop() {
            drop(state);
            thread.unpark();
            return Ok(());
        }
        if state.threads == self.most {
            return Ok(());
        }
        let number = state.threads;
        match worker::start(format!("bio-{number}"), || self.run()) {
            Ok(()) => state.threads += 1,
            Err(_) if state.threads > 0 => {}
            // Nobody else will do it.
            Err(_) => return state.queue.pop_back().map_or(Ok(()), Err),
        }
        Ok(())
    }
}

impl<C: Completion> Default for Pool<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Completion> Engine<C> for Pool<C> {
    fn submit(&'static self, request: Request<C>) -> Result<(), Request<C>> {
        match self.take_on(Job::Transfer(request)) {
            Err(Job::Transfer(request)) => Err(request),
            // A flush is not what was handed in.
            Ok(()) | Err(Job::Flush(_)) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Then, request};
    use super::*;
    use crate::host::scratch::Scratch;
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    /// A request that takes long does not hold up others. (No file has positional reads that wait, so it is the
    /// completion that does.)
    #[test]
    fn requests_overtake_one_that_waits() {
        let (mut reader, mut writer) = std::io::pipe().expect("pipe");
        let scratch = Scratch::new("overtake");
        std::fs::write(scratch.file("disk"), [3; 512]).expect("written");
        let disk = std::fs::File::open(scratch.file("disk")).expect("opened");
        let (send, receive) = channel();
        let send_too = send.clone();
        let pool: &'static Pool<Then> = Box::leak(Box::default());
        let (mut first, mut second) = ([0u8; 512], [0u8; 512]);
        let slow = Then::new(move |progress| {
            std::io::Read::read_exact(&mut reader, &mut [0]).expect("released");
            send_too.send((1, progress)).expect("a receiver");
        });
        let quick = Then::new(move |progress| send.send((2, progress)).expect("a receiver"));
        for (block, tell) in [(&mut first, slow), (&mut second, quick)] {
            assert!(pool.submit(request(disk.as_raw_fd(), Operation::Read, block, 0, tell)).is_ok());
        }
        assert_eq!(receive.recv().expect("completed").0, 2);
        writer.write_all(&[0]).expect("released");
        assert_eq!(receive.recv().expect("completed").0, 1);
    }

    /// A flush that takes until 100 more writes have ended is followed by one for all of them.
    #[test]
    fn stable_writes_share_a_flush() {
        static FLUSHES: AtomicUsize = AtomicUsize::new(0);
        static GATE: Mutex<()> = Mutex::new(());
        const WRITES: usize = 101;
        let scratch = Scratch::new("commit");
        let disk = std::fs::File::create(scratch.file("disk")).expect("made");
        // Two threads: one flushes, and the other one takes the rest of the queue in order.
        let pool: &'static Pool<Then> = Box::leak(Box::new(Pool::with(2, |fd| {
            FLUSHES.fetch_add(1, Ordering::Relaxed);
            drop(GATE.lock());
            flush::whole(fd)
        })));
        let closed = GATE.lock().expect("no panic while locked");
        let (send, receive) = channel();
        let mut blocks = [[5u8; 512]; WRITES + 1];
        for (number, block) in blocks.iter_mut().enumerate() {
            let send = send.clone();
            let tell = Then::new(move |progress| send.send((number, progress)).expect("a receiver"));
            let operation = if number < WRITES { Operation::WriteStable } else { Operation::Write };
            assert!(pool.submit(request(disk.as_raw_fd(), operation, block, number * 512, tell)).is_ok());
        }
        let done = Progress { bytes: 512, stopped: Ok(()) };
        assert_eq!(receive.recv(), Ok((WRITES, done)), "no stable write is told before its flush");
        drop(closed);
        let mut told: Vec<_> = (0..WRITES).map(|_| receive.recv().expect("completed")).collect();
        told.sort_by_key(|(number, _)| *number);
        assert_eq!(told, (0..WRITES).map(|number| (number, done)).collect::<Vec<_>>());
        // Relaxed: the completions came after the flushes, through the channel.
        assert_eq!(FLUSHES.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_failed_flush_reaches_the_completion() {
        let scratch = Scratch::new("flush-error");
        let disk = std::fs::File::create(scratch.file("disk")).expect("made");
        let pool: &'static Pool<Then> = Box::leak(Box::new(Pool::with(2, |_| Err(Errno(libc::EIO)))));
        let (send, receive) = channel();
        let tell = Then::new(move |progress| send.send(progress).expect("a receiver"));
        let mut block = [5; 512];
        assert!(pool.submit(request(disk.as_raw_fd(), Operation::WriteStable, &mut block, 0, tell)).is_ok());
        assert_eq!(receive.recv(), Ok(Progress::failed(Errno(libc::EIO))));
    }
}
