//! Load `fan`: one thread writes to the pipes of three others.

use super::super::kernel::Kernel;
use super::super::load::{Kind, Run};
use super::super::worker::Worker;
use super::check;
use super::pair::{End, receive, send};
use std::sync::Arc;

pub const KIND: Kind = Kind {
    name: "fan",
    description: "one thread writes a byte to the pipe of each of three others",
    threads: GROUP,
    multiple: GROUP,
    components: &[],
    setup: |kernel, threads| {
        let pipe = |_| kernel.pipe().map(|[read, write]| End { read, write });
        Ok(Arc::new(Fan((0..threads).map(pipe).collect::<Result<_, _>>()?)))
    },
};

/// One that writes, and those that read.
const GROUP: usize = 4;
/// Asks a reader to end; nothing else is this.
const END: u8 = 0xff;

/// Each thread's pipe; the first ones of the groups have none to read.
struct Fan(Vec<End>);

impl Run for Fan {
    fn run(&self, kernel: &Kernel, worker: &mut Worker) -> Result<(), String> {
        let mut byte = 0;
        if worker.index.is_multiple_of(GROUP) {
            let readers = &self.0[worker.index + 1..worker.index + GROUP];
            let to_all = |byte| readers.iter().try_for_each(|end| send(kernel, *end, byte));
            while worker.more() {
                to_all(byte)?;
                byte = (byte + 1) % END;
                worker.done();
            }
            return to_all(END);
        }
        loop {
            let read = receive(kernel, self.0[worker.index])?;
            if read == END {
                return Ok(());
            }
            check(read == byte, || format!("{read} was read instead of {byte}"))?;
            byte = (byte + 1) % END;
        }
    }
}
