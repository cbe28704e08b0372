//! The wire between two network interfaces: a queue of packets in each direction.

use super::kmutex::KMutex;
use super::softint::Softint;
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes of the largest packet, as on Ethernet.
const MTU: usize = 1500;
/// Packets under way in one direction; what comes on top is lost, as on any network.
const LENGTH: usize = 256;

/// Packets that have come to an interface.
pub struct Input {
    packets: KMutex<VecDeque<Vec<u8>>>,
    /// Has the interface's stack look for them.
    arrived: Arc<Softint>,
}

impl Input {
    /// An empty queue; `arrived` is asked for when a packet comes.
    pub fn new(arrived: Arc<Softint>) -> Self {
        // A spin mutex, as for a device: a stack does not give up its virtual CPU for it.
        Input { packets: KMutex::new_spin(VecDeque::new()), arrived }
    }

    fn put(&self, packet: Vec<u8>) {
        let mut packets = self.packets.enter();
        if packets.len() < LENGTH {
            packets.push_back(packet);
        }
        drop(packets);
        self.arrived.schedule();
    }

    fn take(&self) -> Option<Vec<u8>> {
        self.packets.enter().pop_front()
    }
}

/// One end of the wire.
pub struct Port {
    here: Arc<Input>,
    there: Arc<Input>,
}

impl Port {
    /// The end with this input; what is sent comes to that one.
    pub fn new(here: Arc<Input>, there: Arc<Input>) -> Self {
        Port { here, there }
    }
}

impl Device for Port {
    type RxToken<'a> = Received;
    type TxToken<'a> = ToSend<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, ToSend<'_>)> {
        Some((Received(self.here.take()?), ToSend(&self.there)))
    }

    fn transmit(&mut self, _: Instant) -> Option<ToSend<'_>> {
        Some(ToSend(&self.there))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

/// A packet that has come.
pub struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

/// Room for a packet to be sent.
pub struct ToSend<'a>(&'a Input);

impl TxToken for ToSend<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut packet = vec![0; length];
        let result = write(&mut packet);
        self.0.put(packet);
        result
    }
}
