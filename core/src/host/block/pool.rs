//! A few threads that carry out requests from one queue.

use super::{Completion, Engine, Request};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

/// Threads at most, and so requests under way. They wait for devices, so it has little to do with the number of CPUs;
/// it is the queue depth that a cheap disk can still use.
const THREADS: usize = 8;

/// Stack of a thread, in bytes. Completions run code of the guest's kernel, which is content with 16 KiB on real
/// machines; the rest is for the host's libraries.
const STACK: usize = 256 << 10;

/// The engine. Threads are made when requests wait and all threads are busy, and stay.
///
/// The thread that is woken is the one that went to sleep last: its stack and its CPU are the warmest. No request is
/// left to a thread that is awake and will come back soon, although that would save the waking: it comes back when the
/// completion returns, which may itself wait for a lock of the guest, whose holder may wait for that request.
#[derive(Debug)]
pub struct Pool<C> {
    state: Mutex<State<C>>,
}

#[derive(Debug)]
struct State<C> {
    queue: VecDeque<Request<C>>,
    threads: usize,
    /// Threads that sleep; the last to do so at the end. One that is taken out is woken, and looks into the queue.
    asleep: Vec<Thread>,
}

impl<C: Completion> Pool<C> {
    /// A pool without threads.
    pub const fn new() -> Self {
        let state = State { queue: VecDeque::new(), threads: 0, asleep: Vec::new() };
        Pool { state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        C::thread_starts();
        let own = thread::current();
        let mut state = self.state();
        loop {
            if let Some(request) = state.queue.pop_front() {
                drop(state);
                let (completion, progress) = request.carry_out();
                completion.complete(progress);
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
}

impl<C: Completion> Default for Pool<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Completion> Engine<C> for Pool<C> {
    fn submit(&'static self, request: Request<C>) -> Result<(), Request<C>> {
        let mut state = self.state();
        if state.queue.try_reserve(1).is_err() {
            return Err(request);
        }
        state.queue.push_back(request);
        if let Some(thread) = state.asleep.pop() {
            drop(state);
            thread.unpark();
            return Ok(());
        }
        if state.threads == THREADS {
            return Ok(());
        }
        let number = state.threads;
        let made = without_signals(|| {
            thread::Builder::new().name(format!("bio-{number}")).stack_size(STACK).spawn(|| self.run())
        });
        match made {
            Ok(_) => state.threads += 1,
            Err(_) if state.threads > 0 => {}
            // Nobody else will do it.
            Err(_) => return state.queue.pop_back().map_or(Ok(()), Err),
        }
        Ok(())
    }
}

/// Runs `make` with all signals blocked, as a thread made by it will have them: the guest's signals are for the
/// program's threads.
fn without_signals<R>(make: impl FnOnce() -> R) -> R {
    // SAFETY: sets are filled before use; only this thread's mask changes, and is restored.
    unsafe {
        let mut all = core::mem::zeroed();
        let mut before = core::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let made = make();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, core::ptr::null_mut());
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::block::Operation;
    use crate::host::errno::Errno;
    use crate::host::file::transfer::Progress;
    use crate::host::scratch::Scratch;
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::sync::mpsc::{Sender, channel};

    struct Tell(usize, Sender<(usize, Progress)>);

    impl Completion for Tell {
        fn thread_starts() {
            let mut blocked = core::mem::MaybeUninit::uninit();
            // SAFETY: asks for this thread's mask.
            let term = unsafe {
                libc::pthread_sigmask(libc::SIG_BLOCK, core::ptr::null(), blocked.as_mut_ptr());
                libc::sigismember(blocked.as_ptr(), libc::SIGTERM)
            };
            assert_eq!(term, 1, "the program's signals reach a thread of the pool");
        }

        fn complete(self, progress: Progress) {
            self.1.send((self.0, progress)).expect("a receiver");
        }
    }

    struct Then(Box<dyn FnOnce(Progress) + Send>);

    impl Completion for Then {
        fn thread_starts() {}
        fn complete(self, progress: Progress) {
            (self.0)(progress);
        }
    }

    fn pool() -> &'static Pool<Tell> {
        Box::leak(Box::default())
    }

    fn request(fd: i32, operation: Operation, block: &mut [u8], offset: usize, tell: Tell) -> Request<Tell> {
        // SAFETY: the tests keep their blocks until all requests are completed.
        unsafe { Request::new(fd, operation, block.as_mut_ptr().cast(), block.len(), offset as i64, tell) }
    }

    #[test]
    fn every_one_of_many_requests_is_completed_once() {
        const BLOCK: usize = 4096;
        const MANY: usize = 2000;
        let scratch = Scratch::new("pool");
        let disk = std::fs::File::options().read(true).write(true).create_new(true).open(scratch.file("disk"));
        let disk = disk.expect("made");
        let (send, receive) = channel();
        let mut memory: Vec<u8> = (0..MANY * BLOCK).map(|i| (i / BLOCK % 251) as u8).collect();
        let pool = pool();
        let fd = disk.as_raw_fd();
        for (number, block) in memory.chunks_mut(BLOCK).enumerate() {
            let operation = if number % 100 == 0 { Operation::WriteStable } else { Operation::Write };
            let tell = Tell(number, send.clone());
            assert!(pool.submit(request(fd, operation, block, number * BLOCK, tell)).is_ok());
        }
        let all = |operation| {
            let mut seen = vec![false; MANY];
            for _ in 0..MANY {
                let (number, progress) = receive.recv().expect("completed");
                assert_eq!(progress, Progress { bytes: BLOCK, stopped: Ok(()) }, "{operation} {number}");
                assert!(!core::mem::replace(&mut seen[number], true), "{operation} {number} twice");
            }
        };
        all("write");
        memory.fill(0);
        for (number, block) in memory.chunks_mut(BLOCK).enumerate() {
            let tell = Tell(number, send.clone());
            assert!(pool.submit(request(fd, Operation::Read, block, number * BLOCK, tell)).is_ok());
        }
        all("read");
        assert!(
            memory.chunks(BLOCK).enumerate().all(|(number, block)| block.iter().all(|&b| b == (number % 251) as u8))
        );
        assert!(receive.try_recv().is_err(), "completed more than once");
    }

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
        let mut blocks = [[0u8; 512]; 2];
        let [first, second] = &mut blocks;
        let fd = disk.as_raw_fd();
        let slow = Then(Box::new(move |progress| {
            std::io::Read::read_exact(&mut reader, &mut [0]).expect("released");
            send_too.send((1, progress)).expect("a receiver");
        }));
        let quick = Then(Box::new(move |progress| {
            send.send((2, progress)).expect("a receiver");
        }));
        for (block, tell) in [(first, slow), (second, quick)] {
            // SAFETY: the blocks live until both are completed.
            let request = unsafe { Request::new(fd, Operation::Read, block.as_mut_ptr().cast(), 512, 0, tell) };
            assert!(pool.submit(request).is_ok());
        }
        assert_eq!(receive.recv().expect("completed").0, 2);
        writer.write_all(&[0]).expect("released");
        assert_eq!(receive.recv().expect("completed").0, 1);
    }

    #[test]
    fn errors_reach_the_completion() {
        let (send, receive) = channel();
        let mut block = [0; 512];
        assert!(pool().submit(request(-1, Operation::Read, &mut block, 0, Tell(0, send))).is_ok());
        let (_, progress) = receive.recv().expect("completed");
        assert_eq!(progress, Progress { bytes: 0, stopped: Err(Errno(libc::EBADF)) });
    }
}
