//! The network: two TCP/IP stacks (smoltcp) in one kernel, with a wire between their interfaces.
//!
//! A packet that one stack sends is put into the other's queue, and a soft interrupt has the other stack look there.
//! What a stack does later by itself (acknowledgements, retransmissions) is done by a callout.

use super::callout::CalloutId;
use super::clock;
use super::kcondvar::KCondvar;
use super::kernel::kernel;
use super::kmutex::{KMutex, KMutexGuard};
use super::softint::Softint;
use super::wire::{Input, Port};
use core::time::Duration;
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use std::sync::{Arc, Weak};

/// Bytes that a socket buffers in each direction.
const BUFFER: usize = 64 << 10;
/// After this long without an answer a connection is broken. Far longer than anything takes on a busy host.
const TIMEOUT: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(60);

/// Two stacks and the wire between them.
pub struct Network {
    stacks: [Stack; 2],
}

impl core::fmt::Debug for Network {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Network").finish_non_exhaustive()
    }
}

/// A stack.
pub struct Stack {
    network: Weak<Network>,
    index: usize,
    state: KMutex<State>,
    /// Something happened to a socket.
    changed: KCondvar,
}

struct State {
    interface: Interface,
    port: Port,
    sockets: SocketSet<'static>,
    /// The callout for what is to be done later, and its tick.
    later: Option<(u64, CalloutId)>,
}

/// The connection is closed or broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The other side has sent all that it wanted.
    Closed,
    /// It was reset, or nothing was heard for too long.
    Reset,
}

fn address(index: usize) -> IpAddress {
    IpAddress::v4(10, 0, 0, 1 + index as u8)
}

fn time() -> Instant {
    Instant::from_micros(i64::try_from(clock::now().as_micros()).unwrap_or(i64::MAX))
}

impl Network {
    /// Two stacks that can reach each other. The same `seed` gives the same sequence numbers.
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new_cyclic(|network: &Weak<Network>| {
            let inputs = [0, 1].map(|index| {
                let network = Weak::clone(network);
                Arc::new(Input::new(Softint::establish(true, move || {
                    if let Some(network) = network.upgrade() {
                        network.stacks[index].work();
                    }
                })))
            });
            let stacks = [0, 1].map(|index| {
                let mut port = Port::new(Arc::clone(&inputs[index]), Arc::clone(&inputs[1 - index]));
                let mut config = Config::new(HardwareAddress::Ip);
                config.random_seed = seed ^ index as u64;
                let mut interface = Interface::new(config, &mut port, time());
                interface.update_ip_addrs(|addresses| {
                    // There is room for one address at least.
                    let _ = addresses.push(IpCidr::new(address(index), 24));
                });
                let state = State { interface, port, sockets: SocketSet::new(Vec::new()), later: None };
                Stack { network: Weak::clone(network), index, state: KMutex::new(state), changed: KCondvar::new() }
            });
            Network { stacks }
        })
    }

    /// One of the two stacks.
    pub fn stack(&self, index: usize) -> &Stack {
        &self.stacks[index % 2]
    }
}

impl State {
    fn socket(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }
}

impl Stack {
    fn new_socket(state: &mut State) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_timeout(Some(TIMEOUT));
        state.sockets.add(socket)
    }

    /// A socket that takes one connection at `port`.
    pub fn listen(&self, port: u16) -> SocketHandle {
        let mut state = self.state.enter();
        let handle = Self::new_socket(&mut state);
        // It fails for port 0 and for a socket that is open: this one is new.
        let _ = state.socket(handle).listen(port);
        handle
    }

    /// A connection to `port` of the other stack; returns at once, and what is sent waits for the connection.
    pub fn connect(&self, port: u16) -> SocketHandle {
        let mut state = self.state.enter();
        let handle = Self::new_socket(&mut state);
        let State { interface, sockets, .. } = &mut *state;
        let remote = (address(1 - self.index), port);
        // It fails as `listen` does.
        let _ = sockets.get_mut::<tcp::Socket<'_>>(handle).connect(interface.context(), remote, port);
        self.work_with(&mut state);
        handle
    }

    /// Sends all of `data`.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn send(&self, handle: SocketHandle, data: &[u8]) -> Result<(), Broken> {
        let mut state = self.state.enter();
        let mut rest = data;
        while !rest.is_empty() {
            let socket = state.socket(handle);
            let sent = if socket.may_send() {
                socket.send_slice(rest).map_err(|_| Broken::Reset)?
            } else if socket.state() == tcp::State::Closed {
                return Err(Broken::Reset);
            } else {
                0
            };
            rest = &rest[sent..];
            if sent > 0 {
                self.work_with(&mut state);
            } else {
                self.changed.wait(&mut state);
            }
        }
        Ok(())
    }

    /// Receives until `data` is full.
    ///
    /// # Errors
    /// When the connection is closed or broken before that.
    pub fn receive(&self, handle: SocketHandle, data: &mut [u8]) -> Result<(), Broken> {
        let mut state = self.state.enter();
        let mut filled = 0;
        while filled < data.len() {
            let socket = state.socket(handle);
            let received = match socket.recv_slice(&mut data[filled..]) {
                Ok(received) => received,
                Err(tcp::RecvError::Finished) => return Err(Broken::Closed),
                Err(tcp::RecvError::InvalidState) if socket.state() == tcp::State::Closed => return Err(Broken::Reset),
                // Not connected yet.
                Err(tcp::RecvError::InvalidState) => 0,
            };
            filled += received;
            if received > 0 {
                // The other side may be waiting for the window to open.
                self.work_with(&mut state);
            } else {
                self.changed.wait(&mut state);
            }
        }
        Ok(())
    }

    /// Sends no more; the other side receives to the end. A connection that is still being made is waited for: closed
    /// before that, it would vanish, and the other side wait for it for ever.
    pub fn close(&self, handle: SocketHandle) {
        let mut state = self.state.enter();
        while matches!(state.socket(handle).state(), tcp::State::SynSent | tcp::State::SynReceived) {
            self.changed.wait(&mut state);
        }
        state.socket(handle).close();
        self.work_with(&mut state);
    }

    /// Does what there is to do: called by soft interrupts.
    fn work(&self) {
        self.work_with(&mut self.state.enter());
    }

    fn work_with(&self, guard: &mut KMutexGuard<'_, State>) {
        let now = time();
        let state = &mut **guard;
        if state.interface.poll(now, &mut state.port, &mut state.sockets) == PollResult::SocketStateChanged {
            self.changed.broadcast();
        }
        if let Some(delay) = state.interface.poll_delay(now, &state.sockets) {
            self.work_later(state, Duration::from(delay));
        }
    }

    /// Has a callout do the rest, unless one comes earlier anyway.
    fn work_later(&self, state: &mut State, delay: Duration) {
        let now = kernel().clock.ticks();
        let ticks = (delay.as_nanos().div_ceil(clock::TICK.as_nanos()) as u64).max(1);
        if let Some((due, id)) = state.later {
            if due > now && due <= now + ticks {
                return;
            }
            kernel().callouts.cancel(id);
        }
        let (network, index) = (Weak::clone(&self.network), self.index);
        let id = kernel().callouts.after(ticks, move || {
            if let Some(network) = network.upgrade() {
                network.stacks[index].work();
            }
        });
        state.later = Some((now + ticks, id));
    }
}
