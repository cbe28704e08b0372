//! Load `ring`: bytes go round all threads through pipes, one for every two of them.

use super::super::kernel::Kernel;
use super::super::load::{Kind, Run};
use super::super::worker::Worker;
use super::check;
use super::pair::{End, receive, send};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub const KIND: Kind = Kind {
    name: "ring",
    description: "bytes go round all threads through pipes, one for every two",
    threads: 4,
    multiple: 2,
    components: &[],
    setup: |kernel, threads| {
        let pipes = (0..threads).map(|_| kernel.pipe()).collect::<Result<Vec<_>, _>>()?;
        let end = |thread: usize| End { read: pipes[thread][0], write: pipes[(thread + 1) % threads][1] };
        Ok(Arc::new(Ring { ends: (0..threads).map(end).collect(), kept: AtomicUsize::new(0) }))
    },
};

struct Ring {
    ends: Vec<End>,
    /// How many of the bytes do not go round any more.
    kept: AtomicUsize,
}

/// What goes round.
const TOKEN: u8 = 0x55;
/// What goes round once, when nothing else does.
const LAST: u8 = 0xff;

impl Run for Ring {
    /// Every second thread sends a byte, and in the end keeps one that comes: so the pipes are empty then.
    fn run(&self, kernel: &Kernel, worker: &mut Worker) -> Result<(), String> {
        let end = self.ends[worker.index];
        // Whether the thread has still one to keep, and whether it is the one that has kept the last.
        let (mut keeps, mut ends) = (worker.index.is_multiple_of(2), false);
        if keeps {
            send(kernel, end, TOKEN)?;
        }
        loop {
            let byte = receive(kernel, end)?;
            if byte == LAST {
                // It ends where it began.
                return if ends { Ok(()) } else { send(kernel, end, LAST) };
            }
            check(byte == TOKEN, || format!("{byte} went round instead of {TOKEN}"))?;
            if keeps && !worker.more() {
                keeps = false;
                // Relaxed, here and below: the bytes order what the threads do.
                ends = self.kept.fetch_add(1, Ordering::Relaxed) + 1 == self.ends.len() / 2;
                if ends {
                    // The next time begins anew.
                    self.kept.store(0, Ordering::Relaxed);
                    send(kernel, end, LAST)?;
                }
                continue;
            }
            if keeps {
                worker.done();
            }
            send(kernel, end, TOKEN)?;
        }
    }
}
