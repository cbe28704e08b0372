//! Traces for [Perfetto](https://ui.perfetto.dev), in its protobuf format.
//!
//! A track for each virtual CPU: who had it. Two tracks for each thread: its hypercalls with their parts, and where it was.
//! Arrows go from who woke a thread to where it ran on. Times are those of `CLOCK_MONOTONIC` on the host, so that a trace
//! of the host's kernel fits beside it.

mod message;
mod packets;
mod tracks;

use crate::timeline::{Doing, Picture, Slice, State, Thread};
use message::track_event::Type;
use packets::{Annotation, Event, Packets};
use rumpscope_probes::events::Timeline;
use std::collections::BTreeMap;
use std::io::{self, Write};
use tracks::Tracks;

/// Writes `picture`, which was made of `timeline`.
///
/// # Errors
/// When `output` cannot be written to.
pub fn write(timeline: &Timeline, picture: &Picture, output: impl Write) -> io::Result<()> {
    let mut packets = Packets::begin(output, timeline)?;
    let tracks = Tracks::describe(&mut packets, timeline, picture)?;
    // By thread and state: the arrows that end there.
    let mut ending: BTreeMap<(usize, usize), Vec<u64>> = BTreeMap::new();
    for (wake, number) in picture.wakes.iter().zip(1..) {
        let flow = wake.woken.map(|woken| {
            ending.entry(woken).or_default().push(number);
            number
        });
        let event = Event { flow, annotations: vec![Annotation::text("by", wake.call.name())], ..Event::default() };
        packets.event(tracks.calls[wake.waker], wake.at, Type::Instant, Some("wake"), event)?;
    }
    for (index, thread) in picture.threads.iter().enumerate() {
        calls(&mut packets, tracks.calls[index], thread)?;
        for at in &thread.gaps {
            packets.event(tracks.calls[index], *at, Type::Instant, Some("events lost before"), Event::default())?;
        }
        for (number, state) in thread.states.iter().enumerate() {
            let flows = ending.remove(&(index, number)).unwrap_or_default();
            let event = Event { ending: flows, annotations: before(&packets, state.before), ..Event::default() };
            span(&mut packets, tracks.states[index], state, &name(state.doing), event)?;
        }
    }
    vcpus(&mut packets, &tracks, picture)?;
    packets.end()
}

/// What says that something began before the picture.
fn before(packets: &Packets<impl Write>, ticks: u64) -> Vec<Annotation> {
    if ticks == 0 { Vec::new() } else { vec![Annotation::number("ns before the trace", packets.span_ns(ticks))] }
}

fn name(doing: Doing) -> String {
    match doing {
        Doing::Running { vcpu } => format!("running on vCPU {vcpu}"),
        Doing::Leaving { cause } => format!("giving up the vCPU: {}", cause.name()),
        Doing::Off { cause } => format!("off: {}", cause.name()),
        Doing::Waiting { cause } => format!("waiting for a vCPU: {}", cause.name()),
    }
}

/// A thread's hypercalls: each begins, then what is in it, then it ends.
fn calls(packets: &mut Packets<impl Write>, track: u64, thread: &Thread) -> io::Result<()> {
    let mut open: Vec<&Slice> = Vec::new();
    for slice in &thread.calls {
        while open.len() > slice.depth {
            let ended = open.pop().map_or(0, |slice| slice.end);
            packets.event(track, ended, Type::SliceEnd, None, Event::default())?;
        }
        let name = slice.part.map_or(slice.call.name(), |part| part.name());
        let event = Event { annotations: before(packets, slice.before), ..Event::default() };
        packets.event(track, slice.begin, Type::SliceBegin, Some(name), event)?;
        open.push(slice);
    }
    for slice in open.into_iter().rev() {
        packets.event(track, slice.end, Type::SliceEnd, None, Event::default())?;
    }
    Ok(())
}

/// A state. One that goes on has no end in the trace either.
fn span(packets: &mut Packets<impl Write>, track: u64, state: &State, name: &str, event: Event) -> io::Result<()> {
    packets.event(track, state.begin, Type::SliceBegin, Some(name), event)?;
    match state.end {
        Some(end) => packets.event(track, end, Type::SliceEnd, None, Event::default()),
        None => Ok(()),
    }
}

/// Who had the virtual CPUs.
fn vcpus(packets: &mut Packets<impl Write>, tracks: &Tracks, picture: &Picture) -> io::Result<()> {
    let mut runs: BTreeMap<u16, Vec<(State, &Thread)>> = BTreeMap::new();
    for thread in &picture.threads {
        for state in &thread.states {
            if let Doing::Running { vcpu } = state.doing {
                runs.entry(vcpu).or_default().push((*state, thread));
            }
        }
    }
    for (vcpu, mut runs) in runs {
        let Some(&track) = tracks.vcpus.get(&vcpu) else { continue };
        runs.sort_unstable_by_key(|(state, _)| (state.begin, state.end));
        for index in 0..runs.len() {
            let next = runs.get(index + 1).map(|(state, _)| state.begin);
            let (mut state, thread) = runs[index];
            // One at a time; the counters of two processors may differ by some ticks.
            state.end = match (state.end, next) {
                (Some(end), Some(next)) => Some(end.min(next)),
                (end, next) => end.or(next),
            };
            let annotations = vec![Annotation::number("tid", u64::from(thread.tid))];
            span(packets, track, &state, &thread.name, Event { annotations, ..Event::default() })?;
        }
    }
    Ok(())
}
