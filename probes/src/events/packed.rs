//! The two words of an event.
//!
//! ```text
//! word 0   63                                                            0
//!          | when it was over: ticks                                      |
//!
//! word 1   63  60 59     52 51       43 42                               0
//!          | kind |  call  |   place   |  how long it had lasted: ticks   |   call, unschedule, schedule
//!          | kind |  call  |     0     | 0 ... | lane that was woken      |   wake (lane: bits 31 to 0)
//!          | kind |              0             | thread number            |   thread (bits 31 to 0)
//!          | kind |   0    | seven bytes of a name, padded with zeros     |   name (bits 55 to 0)
//!          | kind |                    0                                  |   away
//! ```
//!
//! Place: 0 on no virtual CPU, 1 not known, otherwise the virtual CPU's index and 2. A duration of 2^43 - 1 ticks (29
//! minutes at 5 GHz) stands for all that are longer.

use super::model::What;
use crate::catalogue::Hypercall;
use crate::snapshot::Place;

/// The longest duration that can be told.
pub(crate) const LONGEST: u64 = (1 << 43) - 1;

const KIND: u32 = 60;
const CALL: u32 = 52;
const PLACE: u32 = 43;

const CALLED: u64 = 1;
const UNSCHEDULE: u64 = 2;
const SCHEDULE: u64 = 3;
const WAKE: u64 = 4;
const AWAY: u64 = 5;
const THREAD: u64 = 6;
const NAME: u64 = 7;

/// Bytes of a name in one event.
pub(crate) const NAME_BYTES: usize = 7;

const _: () = assert!(Hypercall::COUNT <= 1 << (KIND - CALL));
const _: () = assert!(crate::vcpu::MOST + 2 <= 1 << (CALL - PLACE));

/// Word 1 of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packed(pub(crate) u64);

impl Packed {
    #[inline]
    fn lasting(kind: u64, call: u8, place: Place, ticks: u64) -> Self {
        let place = match place {
            Place::OffCpu => 0,
            Place::Unknown => 1,
            // An index that no rump kernel has is one that we do not know.
            Place::Vcpu(index) if usize::from(index) >= crate::vcpu::MOST => 1,
            Place::Vcpu(index) => u64::from(index) + 2,
        };
        Packed(kind << KIND | u64::from(call) << CALL | place << PLACE | ticks.min(LONGEST))
    }

    /// A hypercall that lasted so long.
    #[inline]
    pub(crate) fn call(call: u8, ticks: u64) -> Self {
        Self::lasting(CALLED, call, Place::OffCpu, ticks)
    }

    /// Giving up the virtual CPU at `place`.
    #[inline]
    pub(crate) fn unschedule(cause: u8, place: Place, ticks: u64) -> Self {
        Self::lasting(UNSCHEDULE, cause, place, ticks)
    }

    /// Getting one.
    #[inline]
    pub(crate) fn schedule(cause: u8, place: Place, ticks: u64) -> Self {
        Self::lasting(SCHEDULE, cause, place, ticks)
    }

    /// Waking the thread of that lane.
    pub(crate) fn wake(call: u8, lane: u32) -> Self {
        Packed(WAKE << KIND | u64::from(call) << CALL | u64::from(lane))
    }

    /// The thread waits for nothing until it is next seen.
    pub(crate) fn away() -> Self {
        Packed(AWAY << KIND)
    }

    /// The lane has this thread from now on.
    pub(crate) fn thread(tid: u32) -> Self {
        Packed(THREAD << KIND | u64::from(tid))
    }

    /// The next bytes of its name.
    pub(crate) fn name(bytes: [u8; NAME_BYTES]) -> Self {
        let [a, b, c, d, e, f, g] = bytes;
        Packed(NAME << KIND | u64::from_le_bytes([a, b, c, d, e, f, g, 0]))
    }

    /// What it says; `calls` are our hypercalls by the writer's number. `None`: nothing that we know.
    pub(crate) fn unpack(self, calls: &[Option<Hypercall>]) -> Option<Unpacked> {
        let ticks = self.0 & LONGEST;
        let call = || *calls.get((self.0 >> CALL) as usize & 0xff)?;
        let place = match self.0 >> PLACE & 0x1ff {
            0 => Place::OffCpu,
            1 => Place::Unknown,
            index => Place::Vcpu(index as u16 - 2),
        };
        Some(match self.0 >> KIND {
            CALLED => Unpacked::Event(What::Call(call()?), ticks),
            UNSCHEDULE => Unpacked::Event(What::Unschedule { cause: call()?, place }, ticks),
            SCHEDULE => Unpacked::Event(What::Schedule { cause: call()?, place }, ticks),
            WAKE => Unpacked::Event(What::Wake { call: call()?, lane: self.0 as u32 }, 0),
            AWAY => Unpacked::Event(What::Away, 0),
            THREAD => Unpacked::Thread(self.0 as u32),
            NAME => {
                let mut bytes = [0; NAME_BYTES];
                bytes.copy_from_slice(&self.0.to_le_bytes()[..NAME_BYTES]);
                Unpacked::Name(bytes)
            }
            _ => return None,
        })
    }
}

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unpacked {
    /// This, and for how long.
    Event(What, u64),
    /// The lane has this thread from now on.
    Thread(u32),
    /// Bytes of its name.
    Name([u8; NAME_BYTES]),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::CATALOGUE;
    use proptest::prelude::*;

    fn unpack(packed: Packed) -> Option<Unpacked> {
        let calls: Vec<_> = CATALOGUE.iter().map(|entry| Some(entry.call)).collect();
        packed.unpack(&calls)
    }

    proptest! {
        #[test]
        fn an_event_survives_its_packing(number in 0..Hypercall::COUNT, ticks in any::<u64>(), index in 0u16..300, lane in any::<u32>()) {
            let call = CATALOGUE[number].call;
            let code = number as u8;
            let place = Place::Vcpu(index);
            let told = if usize::from(index) < crate::vcpu::MOST { place } else { Place::Unknown };
            let lasted = ticks.min(LONGEST);
            let event = |what| Some(Unpacked::Event(what, lasted));
            prop_assert_eq!(unpack(Packed::call(code, ticks)), event(What::Call(call)));
            prop_assert_eq!(unpack(Packed::unschedule(code, place, ticks)), event(What::Unschedule { cause: call, place: told }));
            prop_assert_eq!(
                unpack(Packed::schedule(code, Place::OffCpu, ticks)),
                event(What::Schedule { cause: call, place: Place::OffCpu })
            );
            prop_assert_eq!(unpack(Packed::wake(code, lane)), Some(Unpacked::Event(What::Wake { call, lane }, 0)));
            prop_assert_eq!(unpack(Packed::thread(lane)), Some(Unpacked::Thread(lane)));
        }

        #[test]
        fn what_makes_no_sense_is_no_event(word in any::<u64>()) {
            // Whatever is in a forged file: an answer, and no panic.
            let known = unpack(Packed(word)).is_some();
            prop_assert!(known || !(AWAY..=NAME).contains(&(word >> KIND)));
        }
    }

    #[test]
    fn names_and_absences_survive() {
        assert_eq!(unpack(Packed::name(*b"abcdefg")), Some(Unpacked::Name(*b"abcdefg")));
        assert_eq!(unpack(Packed::away()), Some(Unpacked::Event(What::Away, 0)));
        assert_eq!(unpack(Packed(0)), None);
    }
}
