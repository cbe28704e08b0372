//! What every engine keeps to.

use super::{Completion, Engine, Kind, Operation, Request, engine, uring};
use crate::host::errno::Errno;
use crate::host::file::transfer::Progress;
use crate::host::scratch::Scratch;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::sync::mpsc::{Receiver, Sender, channel};

/// A completion that does something.
pub(super) struct Then(Box<dyn FnOnce(Progress) + Send>);

impl Then {
    pub(super) fn new(then: impl FnOnce(Progress) + Send + 'static) -> Self {
        Then(Box::new(then))
    }
}

impl Completion for Then {
    fn thread_starts() {
        let mut blocked = core::mem::MaybeUninit::uninit();
        // SAFETY: asks for this thread's mask.
        let term = unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, core::ptr::null(), blocked.as_mut_ptr());
            libc::sigismember(blocked.as_ptr(), libc::SIGTERM)
        };
        assert_eq!(term, 1, "the program's signals reach a thread of an engine");
    }

    fn complete(self, progress: Progress) {
        (self.0)(progress);
    }
}

pub(super) fn request<C: Completion>(
    fd: i32,
    operation: Operation,
    block: &mut [u8],
    offset: usize,
    tell: C,
) -> Request<C> {
    // SAFETY: the tests keep their blocks until all requests are completed.
    unsafe { Request::new(fd, operation, block.as_mut_ptr().cast(), block.len(), offset as i64, tell) }
}

type Told = (usize, Progress);

fn tell(number: usize, to: &Sender<Told>) -> Then {
    let to = to.clone();
    Then::new(move |progress| to.send((number, progress)).expect("a receiver"))
}

/// The engines of this host that take requests on.
fn engines() -> Vec<(Kind, &'static dyn Engine<Then>)> {
    let mut kinds = vec![Kind::Thread, Kind::Pool];
    match uring::available() {
        Ok(()) => kinds.push(Kind::Uring),
        Err(reason) => eprintln!("uring is not tested, the host refuses it: {reason}"),
    }
    kinds.into_iter().map(|kind| (kind, engine(kind))).collect()
}

fn disk(scratch: &Scratch) -> File {
    let options = File::options().read(true).write(true).create(true).truncate(true).open(scratch.file("disk"));
    options.expect("made")
}

#[test]
fn every_one_of_many_requests_is_completed_once() {
    const BLOCK: usize = 4096;
    const MANY: usize = 2000;
    let scratch = Scratch::new("engines");
    for (kind, engine) in engines() {
        let disk = disk(&scratch);
        let fd = disk.as_raw_fd();
        let (send, receive) = channel();
        let mut memory: Vec<u8> = (0..MANY * BLOCK).map(|i| (i / BLOCK % 251) as u8).collect();
        for (number, block) in memory.chunks_mut(BLOCK).enumerate() {
            let operation = if number % 100 == 0 { Operation::WriteStable } else { Operation::Write };
            assert!(engine.submit(request(fd, operation, block, number * BLOCK, tell(number, &send))).is_ok());
        }
        all(kind, "write", &receive, MANY, BLOCK);
        memory.fill(0);
        for (number, block) in memory.chunks_mut(BLOCK).enumerate() {
            let request = request(fd, Operation::Read, block, number * BLOCK, tell(number, &send));
            assert!(engine.submit(request).is_ok());
        }
        all(kind, "read", &receive, MANY, BLOCK);
        for (number, block) in memory.chunks(BLOCK).enumerate() {
            assert!(block.iter().all(|&byte| byte == (number % 251) as u8), "{kind:?} block {number}");
        }
        assert!(receive.try_recv().is_err(), "{kind:?}: completed more than once");
    }
}

fn all(kind: Kind, operation: &str, receive: &Receiver<Told>, many: usize, bytes: usize) {
    let mut seen = vec![false; many];
    for _ in 0..many {
        let (number, progress) = receive.recv().expect("completed");
        assert_eq!(progress, Progress { bytes, stopped: Ok(()) }, "{kind:?} {operation} {number}");
        assert!(!core::mem::replace(&mut seen[number], true), "{kind:?} {operation} {number} twice");
    }
}

#[test]
fn errors_reach_the_completion() {
    let scratch = Scratch::new("engine-errors");
    let disk = disk(&scratch);
    disk.set_len(512).expect("longer");
    let (pipe, _writer) = std::io::pipe().expect("pipe");
    let full = File::options().write(true).open("/dev/full").expect("opened");
    let cases = [
        (-1, Operation::Read, 0, libc::EBADF),
        (-1, Operation::WriteStable, 0, libc::EBADF),
        (pipe.as_raw_fd(), Operation::Read, 0, libc::ESPIPE),
        (full.as_raw_fd(), Operation::Write, 0, libc::ENOSPC),
        (full.as_raw_fd(), Operation::WriteStable, 0, libc::ENOSPC),
        (disk.as_raw_fd(), Operation::Read, -512, libc::EINVAL),
        // The ring would take it for the file position.
        (disk.as_raw_fd(), Operation::Write, -1, libc::EINVAL),
    ];
    for (kind, engine) in engines() {
        let (send, receive) = channel();
        for (fd, operation, offset, errno) in cases {
            let mut block = [0; 512];
            assert!(engine.submit(request(fd, operation, &mut block, offset as usize, tell(0, &send))).is_ok());
            let told = receive.recv().expect("completed").1;
            assert_eq!(told, Progress::failed(Errno(errno)), "{kind:?} {operation:?} of {fd} at {offset}");
        }
    }
}

#[test]
fn reads_stop_at_the_end_of_the_file() {
    let scratch = Scratch::new("engine-end");
    let disk = disk(&scratch);
    disk.set_len(1000).expect("longer");
    for (kind, engine) in engines() {
        let (send, receive) = channel();
        for (offset, bytes) in [(0, 1000), (900, 100), (1000, 0), (1 << 40, 0)] {
            let mut block = vec![1; 4096];
            let request = request(disk.as_raw_fd(), Operation::Read, &mut block, offset, tell(0, &send));
            assert!(engine.submit(request).is_ok());
            let told = receive.recv().expect("completed").1;
            assert_eq!(told, Progress { bytes, stopped: Ok(()) }, "{kind:?} at {offset}");
            assert!(block[bytes..].iter().all(|&byte| byte == 1), "{kind:?}: the rest is left alone");
        }
    }
}

/// By hand: `cargo test --release -p rumpscope-core depth -- --ignored --nocapture`. Random reads of 4 KiB of a file that
/// the host has dropped from its page cache, so many under way at a time, by each engine in turn.
#[test]
#[ignore = "a benchmark"]
fn depth() {
    const LENGTH: usize = 512 << 20;
    const BLOCK: usize = 4096;
    const READS: usize = 20_000;
    let scratch = Scratch::new("depth");
    let file = disk(&scratch);
    // Random bytes: nothing below can leave them out.
    let mut source = File::open("/dev/urandom").expect("opened");
    std::io::copy(&mut (&mut source).take(LENGTH as u64), &mut &file).expect("written");
    file.sync_all().expect("written");
    let fd = file.as_raw_fd();
    // SAFETY: a hint; touches no memory.
    assert_eq!(unsafe { libc::posix_fadvise(fd, 0, 0, libc::POSIX_FADV_RANDOM) }, 0);
    for round in 0..5 {
        for depth in [1, 32] {
            for (kind, engine) in engines() {
                // SAFETY: likewise.
                assert_eq!(unsafe { libc::posix_fadvise(fd, 0, 0, libc::POSIX_FADV_DONTNEED) }, 0);
                let (send, receive) = channel();
                let mut blocks = vec![[0u8; BLOCK]; depth];
                let mut place = 12_345_usize + round;
                let mut ask = |number: usize| {
                    // Knuth's multiplier for linear congruence.
                    place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let offset = (place >> 20) % (LENGTH / BLOCK) * BLOCK;
                    let request = request(fd, Operation::Read, &mut blocks[number], offset, tell(number, &send));
                    assert!(engine.submit(request).is_ok());
                };
                let (start, busy) = (std::time::Instant::now(), processor_time());
                (0..depth).for_each(&mut ask);
                for turn in 0..READS {
                    let (number, progress) = receive.recv().expect("completed");
                    assert_eq!(progress.bytes, BLOCK);
                    if turn + depth < READS {
                        ask(number);
                    }
                }
                let each = |time: std::time::Duration| time.as_nanos() / READS as u128;
                let (each, busy) = (each(start.elapsed()), each(processor_time() - busy));
                println!("round {round} depth {depth:2} {:6} {each:7} ns a read, {busy:6} of a processor", kind.name());
            }
        }
    }
}

/// What the process has had of the host's processors so far.
fn processor_time() -> std::time::Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills `time`.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) }, 0);
    std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
