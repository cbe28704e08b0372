//! The tracks of a trace.

use super::message::{ProcessDescriptor, ThreadDescriptor, TrackDescriptor};
use super::packets::Packets;
use crate::timeline::{Doing, Picture, Thread};
use rumpscope_probes::events::Timeline;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

/// The numbers of the tracks.
pub(super) struct Tracks {
    /// Of the virtual CPUs.
    pub vcpus: BTreeMap<u16, u64>,
    /// Of the threads' hypercalls, in the order of the threads.
    pub calls: Vec<u64>,
    /// Of where the threads were.
    pub states: Vec<u64>,
}

impl Tracks {
    /// Numbers all tracks and introduces them.
    pub(super) fn describe(
        packets: &mut Packets<impl Write>,
        timeline: &Timeline,
        picture: &Picture,
    ) -> io::Result<Tracks> {
        let mut numbers = Numbers { pid: i32::try_from(timeline.pid).ok(), last: u64::from(timeline.pid) << 32 };
        let process = numbers.next();
        packets.track(TrackDescriptor {
            uuid: Some(process),
            process: Some(ProcessDescriptor { pid: numbers.pid, process_name: Some(timeline.program.clone()) }),
            ..TrackDescriptor::default()
        })?;
        let states = picture.threads.iter().flat_map(|thread| &thread.states);
        let vcpus: BTreeSet<u16> = states
            .filter_map(|state| match state.doing {
                Doing::Running { vcpu } => Some(vcpu),
                _ => None,
            })
            .collect();
        let mut tracks = Tracks { vcpus: BTreeMap::new(), calls: Vec::new(), states: Vec::new() };
        for vcpu in vcpus {
            tracks.vcpus.insert(vcpu, numbers.child(packets, process, format!("vCPU {vcpu}"))?);
        }
        let mut known = BTreeSet::new();
        for thread in &picture.threads {
            // Coroutines share the number of a thread, and Perfetto would make one track of theirs: the first is the thread.
            let calls = if known.insert(thread.tid) {
                numbers.thread(packets, thread)?
            } else {
                numbers.child(packets, process, thread.name.clone())?
            };
            tracks.calls.push(calls);
            tracks.states.push(numbers.child(packets, calls, format!("{}: state", thread.name))?);
        }
        Ok(tracks)
    }
}

/// Gives out the numbers of tracks. Beside the trace of another process, too, a number is one track's.
struct Numbers {
    pid: Option<i32>,
    last: u64,
}

impl Numbers {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn thread(&mut self, packets: &mut Packets<impl Write>, thread: &Thread) -> io::Result<u64> {
        let uuid = self.next();
        let (tid, thread_name) = (i32::try_from(thread.tid).ok(), Some(thread.name.clone()));
        packets.track(TrackDescriptor {
            uuid: Some(uuid),
            thread: Some(ThreadDescriptor { pid: self.pid, tid, thread_name }),
            ..TrackDescriptor::default()
        })?;
        Ok(uuid)
    }

    fn child(&mut self, packets: &mut Packets<impl Write>, parent: u64, name: String) -> io::Result<u64> {
        let uuid = self.next();
        let descriptor =
            TrackDescriptor { uuid: Some(uuid), parent_uuid: Some(parent), name: Some(name), ..Default::default() };
        packets.track(descriptor)?;
        Ok(uuid)
    }
}
