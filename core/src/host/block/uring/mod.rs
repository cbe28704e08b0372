//! The host's kernel carries requests out: io_uring.
//!
//! One thread owns the ring: it hands over all requests that have come since it looked last with one system call, and
//! tells all completions that have come in one visit to a virtual CPU. (A ring that callers put their requests into
//! themselves would save a waking, but the host cancels what a thread has submitted when that thread ends, and a
//! guest's threads come and go before their delayed writes do.)
//!
//! The thread sleeps in the ring. A caller wakes it by an eventfd that the ring reads, and only where it sleeps or is
//! about to: under load, there is no system call for a request by its caller.

mod ring;

use super::{Completion, Engine, Request, worker};
use crate::host::diagnostic;
use io_uring::{IoUring, opcode, register};
use ring::Ring;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::mpsc::channel;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Transfers that the ring holds at a time; more wait in the queue. Devices of today take 32 (SATA) to 1024 (NVMe)
/// commands in a queue.
const DEPTH: usize = 128;

/// Entries of the submission queue: the transfers, the eventfd and a flush for every disk at a time; it is emptied where
/// that is not enough.
const ENTRIES: u32 = 256;

/// The engine. Its ring and its thread are made with the first request, and stay.
#[derive(Debug)]
pub struct Uring<C> {
    inbox: Mutex<Inbox<C>>,
}

/// Requests that the ring's thread has not seen.
#[derive(Debug)]
struct Inbox<C> {
    queue: VecDeque<Request<C>>,
    bell: Bell,
    /// The thread will look into the queue without being told.
    awake: bool,
}

#[derive(Debug)]
enum Bell {
    NotYet,
    /// Writing to this eventfd wakes the thread.
    At(OwnedFd),
    /// The host granted no ring or thread when it was needed.
    Refused,
}

impl<C: Completion> Uring<C> {
    /// An engine without its ring.
    pub const fn new() -> Self {
        Uring { inbox: Mutex::new(Inbox { queue: VecDeque::new(), bell: Bell::NotYet, awake: false }) }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox<C>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the thread, which makes the ring: the host can do more for a ring that one thread makes and uses.
    fn start(&'static self) -> io::Result<OwnedFd> {
        // SAFETY: makes a descriptor.
        let bell = match unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) } {
            -1 => return Err(io::Error::last_os_error()),
            // SAFETY: just made; nobody else has it.
            fd => unsafe { OwnedFd::from_raw_fd(fd) },
        };
        let (made, outcome) = channel();
        let reads = bell.as_raw_fd();
        worker::start("bio-uring".to_owned(), move || match open() {
            Ok(ring) => {
                // The caller waits for it.
                let _ = made.send(Ok(()));
                Ring::new(ring, reads, self).run();
            }
            Err(error) => {
                let _ = made.send(Err(error));
            }
        })?;
        outcome.recv().map_err(io::Error::other)??;
        Ok(bell)
    }
}

impl<C: Completion> Default for Uring<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Completion> Engine<C> for Uring<C> {
    fn submit(&'static self, request: Request<C>) -> Result<(), Request<C>> {
        let mut inbox = self.inbox();
        if matches!(inbox.bell, Bell::NotYet) {
            inbox.bell = self.start().map_or_else(refused, Bell::At);
        }
        let Bell::At(bell) = &inbox.bell else { return Err(request) };
        let bell = bell.as_raw_fd();
        if inbox.queue.try_reserve(1).is_err() {
            return Err(request);
        }
        inbox.queue.push_back(request);
        let awake = core::mem::replace(&mut inbox.awake, true);
        drop(inbox);
        if !awake {
            ring_bell(bell);
        }
        Ok(())
    }
}

fn refused(error: io::Error) -> Bell {
    diagnostic::warn(
        "bio",
        format_args!("the host grants no io_uring any more, callers make their transfers: {error}"),
    );
    Bell::Refused
}

fn ring_bell(bell: RawFd) {
    let one = 1u64;
    // SAFETY: eight bytes, as an eventfd wants. It fails where 2^64 - 2 rings were not heard, so never.
    unsafe { libc::write(bell, (&raw const one).cast(), size_of::<u64>()) };
}

/// Whether the host lets this process use io_uring, with all operations that are needed. Nothing is kept of the try.
///
/// # Errors
/// The reason, for people.
pub fn available() -> Result<(), String> {
    let ring = open().map_err(|error| format!("io_uring_setup: {error}"))?;
    let mut probe = register::Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|error| format!("io_uring_register: {error}"))?;
    let needed = [("read", opcode::Read::CODE), ("write", opcode::Write::CODE), ("fsync", opcode::Fsync::CODE)];
    match needed.iter().find(|(_, code)| !probe.is_supported(*code)) {
        Some((name, _)) => Err(format!("its kernel is too old for the operation {name}")),
        None => Ok(()),
    }
}

fn open() -> io::Result<IoUring> {
    // What has come is looked at when the thread asks for it, not in between (Linux 6.1).
    let modern = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(ENTRIES);
    modern.or_else(|error| match error.raw_os_error() {
        Some(libc::EINVAL) => IoUring::builder().build(ENTRIES),
        _ => Err(error),
    })
}
