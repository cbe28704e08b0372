//! What a recording says of itself: what ran, where, and how it ended.

use super::bytes::{Flaw, Sink, Source};
use crate::host::Host;
use crate::run::{Ended, Ran};

/// What is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// What runs.
    pub ran: Ran,
    /// Where.
    pub host: Host,
}

impl About {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut sink = Sink::default();
        sink.put_bytes(env!("CARGO_PKG_VERSION").as_bytes());
        sink.put_bytes(self.host.system.as_bytes());
        sink.put_bytes(self.host.processor.as_bytes());
        sink.put(self.host.cores as u64);
        match &self.ran {
            Ran::Embedded { workload, seed } => {
                sink.put(0);
                sink.put_bytes(workload.as_bytes());
                sink.put(*seed);
            }
            Ran::Program { command } => {
                sink.put(1);
                sink.put(command.len() as u64);
                command.iter().for_each(|word| sink.put_bytes(word.as_bytes()));
            }
        }
        sink.0
    }

    pub(super) fn new(bytes: &[u8]) -> Result<Self, Flaw> {
        let mut source = Source(bytes);
        source.take_text()?;
        let (system, processor) = (source.take_text()?, source.take_text()?);
        let host = Host { system, processor, cores: source.take_count()? };
        let ran = match source.take()? {
            0 => Ran::Embedded { workload: source.take_text()?, seed: source.take()? },
            1 => {
                let words = source.take_count()?;
                // Each word has a byte at least, so no more are made than there are bytes.
                let words = (0..words).map(|_| source.take_text());
                Ran::Program { command: words.collect::<Result<_, _>>()? }
            }
            _ => return Err(Flaw("what ran is of no known kind")),
        };
        Ok(About { ran, host })
    }
}

impl Ended {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut sink = Sink::default();
        match self {
            Ended::Running => sink.put(0),
            Ended::Exited { status } => {
                sink.put(1);
                sink.put(u64::from(*status as u32));
            }
            Ended::Killed { signal, name } => {
                sink.put(2);
                sink.put(u64::from(*signal as u32));
                sink.put_bytes(name.as_bytes());
            }
            Ended::Stopped { killed } => sink.put(3 + u64::from(*killed)),
            Ended::Gone => sink.put(5),
        }
        sink.0
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Flaw> {
        let mut source = Source(bytes);
        let word =
            |number: u64| u32::try_from(number).map(|word| word as i32).map_err(|_| Flaw("a status is too large"));
        Ok(match source.take()? {
            0 => Ended::Running,
            1 => Ended::Exited { status: word(source.take()?)? },
            2 => Ended::Killed { signal: word(source.take()?)?, name: source.take_text()? },
            number @ (3 | 4) => Ended::Stopped { killed: number == 4 },
            5 => Ended::Gone,
            _ => return Err(Flaw("how it ended is of no known kind")),
        })
    }
}
