//! Loads `pipe` and `socketpair`: two threads wake each other, a byte there and another back.

use super::super::kernel::Kernel;
use super::super::load::{Kind, Run, Setup};
use super::super::worker::Worker;
use super::check;
use core::ffi::c_int;
use std::sync::Arc;

pub const PIPE: Kind = Kind {
    name: "pipe",
    description: "two threads wake each other through two pipes",
    threads: 2,
    multiple: 2,
    components: &[],
    setup: |kernel, threads| {
        pairs(threads, || {
            let [there, back] = [kernel.pipe()?, kernel.pipe()?];
            Ok([End { read: back[0], write: there[1] }, End { read: there[0], write: back[1] }])
        })
    },
};

pub const SOCKET_PAIR: Kind = Kind {
    name: "socketpair",
    description: "two threads wake each other through a pair of local sockets",
    threads: 2,
    multiple: 2,
    components: &["librumpvfs", "librumpnet", "librumpnet_local"],
    setup: |kernel, threads| pairs(threads, || Ok(kernel.socket_pair()?.map(|end| End { read: end, write: end }))),
};

/// What a thread reads from and writes to.
#[derive(Clone, Copy)]
pub struct End {
    pub read: c_int,
    pub write: c_int,
}

/// The end of every thread; the first of two calls, the second answers.
struct Pairs(Vec<End>);

/// Asks the other to end; no call is this.
const END: u8 = 0xff;

fn pairs(threads: usize, pair: impl Fn() -> Result<[End; 2], String>) -> Setup {
    let pairs = (0..threads / 2).map(|_| pair()).collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(Pairs(pairs.concat())))
}

pub fn send(kernel: &Kernel, end: End, byte: u8) -> Result<(), String> {
    let written = kernel.write(end.write, &[byte])?;
    check(written == 1, || format!("write took {written} bytes of 1"))
}

pub fn receive(kernel: &Kernel, end: End) -> Result<u8, String> {
    let mut byte = [0];
    let read = kernel.read(end.read, &mut byte)?;
    check(read == 1, || format!("read gave {read} bytes instead of 1"))?;
    Ok(byte[0])
}

/// What is answered to a call.
fn answer_to(call: u8) -> u8 {
    call ^ 0x55
}

impl Run for Pairs {
    fn run(&self, kernel: &Kernel, worker: &mut Worker) -> Result<(), String> {
        let end = self.0[worker.index];
        if worker.index.is_multiple_of(2) {
            let mut call = 0;
            while worker.more() {
                send(kernel, end, call)?;
                let answer = receive(kernel, end)?;
                check(answer == answer_to(call), || format!("{answer} instead of {} came back", answer_to(call)))?;
                call = (call + 1) % END;
                worker.done();
            }
            return send(kernel, end, END);
        }
        loop {
            match receive(kernel, end)? {
                END => return Ok(()),
                call => send(kernel, end, answer_to(call))?,
            }
        }
    }
}
