//! Packets, one after the other.

use super::message::{
    Clock, ClockSnapshot, Data, DebugAnnotation, InternedData, Named, TracePacket, TrackDescriptor, TrackEvent, clock,
    sequence_flag, track_event::Type,
};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use rumpscope_probes::clock::{monotonic_ns, unix_ns};
use rumpscope_probes::events::Timeline;
use std::collections::HashMap;
use std::io::{self, Write};

/// All packets are of one sequence: names that one of them introduces are good for the others.
const SEQUENCE: u32 = 1;
/// The field of a packet in a trace.
const PACKET: u32 = 1;

/// Writes packets.
pub(super) struct Packets<W: Write> {
    output: W,
    /// A moment, in ticks ...
    ticks: u64,
    /// ... and in nanoseconds of the host's clock.
    ns: u64,
    ns_per_tick: f64,
    names: Names,
    annotations: Names,
    buffer: Vec<u8>,
}

/// The numbers of names.
#[derive(Default)]
struct Names(HashMap<String, u64>);

/// What an event has besides its name.
#[derive(Default)]
pub(super) struct Event {
    pub annotations: Vec<Annotation>,
    /// The arrow that begins here.
    pub flow: Option<u64>,
    /// Those that end here.
    pub ending: Vec<u64>,
}

/// Something that is said of an event.
pub(super) struct Annotation {
    name: &'static str,
    number: Option<u64>,
    text: Option<String>,
}

impl Annotation {
    pub(super) fn number(name: &'static str, number: u64) -> Self {
        Annotation { name, number: Some(number), text: None }
    }

    pub(super) fn text(name: &'static str, text: &str) -> Self {
        Annotation { name, number: None, text: Some(text.to_owned()) }
    }
}

impl<W: Write> Packets<W> {
    /// Begins a trace with how its clock stands to others.
    pub(super) fn begin(output: W, timeline: &Timeline) -> io::Result<Self> {
        let mut packets = Packets {
            output,
            ticks: timeline.began,
            ns: timeline.began_monotonic,
            ns_per_tick: 1e9 / timeline.clock.ticks_per_second,
            names: Names::default(),
            annotations: Names::default(),
            buffer: Vec::new(),
        };
        let of = |number, ns| Clock { clock_id: Some(number), timestamp: Some(ns) };
        let clocks =
            [of(clock::MONOTONIC, monotonic_ns()), of(clock::BOOTTIME, boottime_ns()), of(clock::REALTIME, unix_ns())];
        packets.write(TracePacket {
            sequence_flags: Some(sequence_flag::INCREMENTAL_STATE_CLEARED),
            data: Some(Data::ClockSnapshot(ClockSnapshot { clocks: clocks.into() })),
            ..TracePacket::default()
        })?;
        Ok(packets)
    }

    /// Introduces a track.
    pub(super) fn track(&mut self, track: TrackDescriptor) -> io::Result<()> {
        self.write(TracePacket { data: Some(Data::TrackDescriptor(track)), ..TracePacket::default() })
    }

    /// Something happened on a track at `at` (ticks).
    pub(super) fn event(
        &mut self,
        track: u64,
        at: u64,
        kind: Type,
        name: Option<&str>,
        event: Event,
    ) -> io::Result<()> {
        let mut new = InternedData::default();
        let name_iid = name.map(|name| self.names.number(name, &mut new.event_names));
        let annotations = event.annotations.into_iter().map(|annotation| DebugAnnotation {
            name_iid: Some(self.annotations.number(annotation.name, &mut new.debug_annotation_names)),
            uint_value: annotation.number,
            string_value: annotation.text,
        });
        let told = TrackEvent {
            kind: Some(kind.into()),
            track_uuid: Some(track),
            name_iid,
            debug_annotations: annotations.collect(),
            flow_ids: event.flow.into_iter().collect(),
            terminating_flow_ids: event.ending,
        };
        self.write(TracePacket {
            timestamp: Some(self.time(at)),
            timestamp_clock_id: Some(clock::MONOTONIC),
            sequence_flags: Some(sequence_flag::NEEDS_INCREMENTAL_STATE),
            interned_data: (new != InternedData::default()).then_some(new),
            data: Some(Data::TrackEvent(told)),
            ..TracePacket::default()
        })
    }

    /// So many ticks in nanoseconds.
    pub(super) fn span_ns(&self, ticks: u64) -> u64 {
        (ticks as f64 * self.ns_per_tick) as u64
    }

    /// All has been told.
    pub(super) fn end(mut self) -> io::Result<()> {
        self.output.flush()
    }

    /// The moment `at` (ticks) in nanoseconds of `CLOCK_MONOTONIC`.
    fn time(&self, at: u64) -> u64 {
        let after = self.span_ns(at.saturating_sub(self.ticks));
        let before = self.span_ns(self.ticks.saturating_sub(at));
        self.ns.saturating_add(after).saturating_sub(before)
    }

    fn write(&mut self, mut packet: TracePacket) -> io::Result<()> {
        packet.trusted_packet_sequence_id = Some(SEQUENCE);
        self.buffer.clear();
        encode_key(PACKET, WireType::LengthDelimited, &mut self.buffer);
        encode_varint(packet.encoded_len() as u64, &mut self.buffer);
        // Into memory that grows: it cannot fail.
        packet.encode_raw(&mut self.buffer);
        self.output.write_all(&self.buffer)
    }
}

impl Names {
    /// The number of `name`; told in `new` where it is.
    fn number(&mut self, name: &str, new: &mut Vec<Named>) -> u64 {
        if let Some(number) = self.0.get(name) {
            return *number;
        }
        // 0 means none.
        let number = self.0.len() as u64 + 1;
        self.0.insert(name.to_owned(), number);
        new.push(Named { iid: Some(number), name: Some(name.to_owned()) });
        number
    }
}

/// The clock that goes on while the host sleeps, which is the one that Perfetto shows by default.
fn boottime_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid; every Linux has the clock.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
