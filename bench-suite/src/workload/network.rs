//! Workload `network`: clients send requests to servers over TCP and get answers; both check every byte.

use super::rng::{has_pattern, pattern};
use super::{Client, Kind, Load, Setup};
use crate::guest::GuestError;
use crate::guest::network::{Broken, Network, Stack};
use smoltcp::iface::SocketHandle;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    name: "network",
    description: "requests and answers over TCP between two interfaces of the guest, every byte checked",
    threads: 4,
    multiple: 2,
    disk: 0,
    burst: None,
    host_locks: false,
    setup,
};

/// The port of the first server.
const FIRST_PORT: u16 = 1024;
/// Bytes of the longest message: more than fit into a segment, and at times into a window.
const LONGEST: usize = 100_000;
/// Answers are made from the request's seed and this.
const ANSWER: u64 = 0xa5a5_a5a5_a5a5_a5a5;

struct Talk {
    network: Arc<Network>,
    /// The servers' ends, listening.
    servers: Box<[SocketHandle]>,
}

fn setup(setup: &Setup) -> Result<Arc<dyn Load>, GuestError> {
    let network = Network::new(setup.seed);
    let servers = (0..setup.threads / 2).map(|pair| network.stack(1).listen(port(pair))).collect();
    Ok(Arc::new(Talk { network, servers }))
}

fn port(pair: usize) -> u16 {
    FIRST_PORT + u16::try_from(pair).unwrap_or(u16::MAX - FIRST_PORT)
}

/// One end of a connection.
struct End<'a> {
    stack: &'a Stack,
    socket: SocketHandle,
}

impl End<'_> {
    /// Sends a message: its length, the seed of its contents, the contents.
    fn send(&self, client: &Client<'_>, seed: u64, length: usize) -> Result<(), Broken> {
        let mut message = vec![0; 16 + length];
        message[..8].copy_from_slice(&(length as u64).to_le_bytes());
        message[8..16].copy_from_slice(&seed.to_le_bytes());
        pattern(seed, &mut message[16..]);
        client.system_call(|| self.stack.send(self.socket, &message))
    }

    /// Receives a message: its seed and its length, after it was checked.
    fn receive(&self, client: &mut Client<'_>) -> Result<(u64, usize), Broken> {
        let mut head = [0; 16];
        client.system_call(|| self.stack.receive(self.socket, &mut head))?;
        let word = |at: usize| u64::from_le_bytes(core::array::from_fn(|index| head[at + index]));
        let (length, seed) = (word(0) as usize, word(8));
        client.check(length <= LONGEST, || format!("a message of {length} bytes came"));
        let mut contents = vec![0; length.min(LONGEST)];
        client.system_call(|| self.stack.receive(self.socket, &mut contents))?;
        client.check(has_pattern(seed, &contents), || format!("{length} bytes came, and not those that were sent"));
        Ok((seed, length))
    }

    /// Sends requests until there are no more to do.
    fn ask(&self, client: &mut Client<'_>) -> Result<(), Broken> {
        while client.more() {
            let seed = client.rng.next();
            // Most messages are short.
            let length = if client.rng.one_in(16) { client.rng.below(LONGEST as u64) } else { client.rng.below(1000) };
            self.send(client, seed, length as usize)?;
            let (answer, _) = self.receive(client)?;
            client.check_eq(answer, seed ^ ANSWER, "the answer to another request");
            client.done();
        }
        Ok(())
    }

    /// Answers requests until there are no more.
    fn answer(&self, client: &mut Client<'_>) -> Result<(), Broken> {
        loop {
            match self.receive(client) {
                Ok((seed, length)) => self.send(client, seed ^ ANSWER, length)?,
                Err(Broken::Closed) => return Ok(()),
                Err(broken) => return Err(broken),
            }
            client.done();
        }
    }
}

impl Load for Talk {
    fn run(&self, client: &mut Client<'_>) {
        let (pair, asks) = (client.index() / 2, client.index().is_multiple_of(2));
        let end = if asks {
            let stack = self.network.stack(0);
            End { stack, socket: client.system_call(|| stack.connect(port(pair))) }
        } else {
            End { stack: self.network.stack(1), socket: self.servers[pair] }
        };
        let outcome = if asks { end.ask(client) } else { end.answer(client) };
        client.check(outcome.is_ok(), || format!("connection {pair} is broken: {outcome:?}"));
        client.system_call(|| end.stack.close(end.socket));
    }

    fn verify(&self, _: u64) -> Result<u64, String> {
        Ok(0)
    }
}
