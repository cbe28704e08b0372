//! From a guest's events to a picture, to a trace that a reader of the published schema understands, and to conditions.

use perfetto_protos::clock_snapshot::ClockSnapshot;
use perfetto_protos::trace::Trace;
use perfetto_protos::trace_packet::{TracePacket, trace_packet::Data};
use perfetto_protos::track_descriptor::TrackDescriptor;
use perfetto_protos::track_event::{TrackEvent, track_event::Type};
use protobuf::Message;
use rumpscope_probes::events::{Event, LaneEvents, Tenure, Timeline, What};
use rumpscope_probes::{ClockInfo, ClockSource, Hypercall, Place};
use rumpscope_reports::perfetto;
use rumpscope_reports::timeline::{Doing, Picture, Watch};
use std::collections::BTreeMap;
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;

fn event(begin: u64, end: u64, what: What) -> Event {
    Event { begin, end, what }
}

fn schedule(begin: u64, end: u64, cause: Hypercall, vcpu: u16) -> Event {
    event(begin, end, What::Schedule { cause, place: Place::Vcpu(vcpu) })
}

fn unschedule(begin: u64, end: u64, cause: Hypercall, vcpu: u16) -> Event {
    event(begin, end, What::Unschedule { cause, place: Place::Vcpu(vcpu) })
}

fn call(begin: u64, end: u64, call: Hypercall) -> Event {
    event(begin, end, What::Call(call))
}

fn tenure(tid: u32, name: &str, events: Vec<Event>) -> Tenure {
    Tenure { tid, name: name.to_owned(), events, gaps: Vec::new() }
}

/// A guest whose ticks are nanoseconds: measuring began at one second, which was two seconds on the host's clock.
fn timeline(taken: u64, lanes: Vec<(u32, Vec<Tenure>)>) -> Timeline {
    let clock = ClockInfo { source: ClockSource::Monotonic, ticks_per_second: 1e9, two_reads_ns: 0.0, step_ns: 1.0 };
    let lanes = lanes.into_iter().map(|(lane, tenures)| LaneEvents { lane, overwritten: 0, tenures }).collect();
    Timeline {
        pid: 4711,
        program: "guest".to_owned(),
        clock,
        began: SECOND,
        began_monotonic: 2 * SECOND,
        taken,
        guest_transitions_seen: true,
        lanes,
        lost: 0,
    }
}

/// One thread waits for a lock and is woken by another one, which goes on running; both on virtual CPU 0 and 1.
fn scene() -> Timeline {
    use Hypercall::{GuestEntry, MutexEnter, MutexExit};
    let waiter = tenure(
        10,
        "waiter",
        vec![
            schedule(SECOND + 100, SECOND + 110, GuestEntry, 0),
            unschedule(SECOND + 205, SECOND + 215, MutexEnter, 0),
            schedule(SECOND + 500, SECOND + 520, MutexEnter, 1),
            call(SECOND + 200, SECOND + 525, MutexEnter),
        ],
    );
    let holder = tenure(
        11,
        "holder",
        vec![
            schedule(SECOND + 50, SECOND + 60, GuestEntry, 1),
            event(SECOND + 450, SECOND + 450, What::Wake { call: MutexExit, lane: 0 }),
            call(SECOND + 440, SECOND + 460, MutexExit),
            unschedule(SECOND + 480, SECOND + 490, GuestEntry, 1),
        ],
    );
    timeline(SECOND + 1000, vec![(0, vec![waiter]), (1, vec![holder])])
}

#[test]
fn states_follow_one_another() {
    use Hypercall::{GuestEntry, MutexEnter};
    let picture = Picture::new(&scene(), Duration::from_secs(5));
    let told: Vec<_> = picture.threads[0]
        .states
        .iter()
        .map(|state| (state.begin - SECOND, state.end.map(|end| end - SECOND), state.doing))
        .collect();
    assert_eq!(
        told,
        [
            (100, Some(110), Doing::Waiting { cause: GuestEntry }),
            (110, Some(205), Doing::Running { vcpu: 0 }),
            (205, Some(215), Doing::Leaving { cause: MutexEnter }),
            (215, Some(500), Doing::Off { cause: MutexEnter }),
            (500, Some(520), Doing::Waiting { cause: MutexEnter }),
            (520, None, Doing::Running { vcpu: 1 }),
        ]
    );
    assert_eq!((picture.from, picture.to, picture.complete_from), (SECOND, SECOND + 1000, SECOND));
    assert_eq!(picture.wakes.len(), 1);
    assert_eq!(picture.wakes[0].woken, Some((0, 5)));
}

#[test]
fn a_window_cuts_what_is_over_its_edge() {
    let picture = Picture::new(&scene(), Duration::from_nanos(700));
    let first = picture.threads[0].states[0];
    assert_eq!(
        (first.begin, first.before, first.doing),
        (SECOND + 300, 85, Doing::Off { cause: Hypercall::MutexEnter })
    );
    let whole = picture.threads[0].calls[0];
    assert_eq!((whole.begin, whole.end, whole.before, whole.part), (SECOND + 300, SECOND + 525, 100, None));
    // Of the holder, that was all within.
    assert_eq!(picture.threads[1].calls.len(), 1);
}

#[test]
fn nothing_is_drawn_across_what_was_lost() {
    let mut timeline = scene();
    (timeline.lost, timeline.lanes[0].overwritten) = (3, 7);
    timeline.lanes[0].tenures[0].gaps = vec![2];
    let picture = Picture::new(&timeline, Duration::from_secs(5));
    assert!(!picture.threads[0].states.iter().any(|state| matches!(state.doing, Doing::Off { .. })));
    assert_eq!((picture.complete_from, picture.lost), (SECOND + 520, 3));
    // Who may leave and come back unseen was not necessarily running in between.
    timeline.guest_transitions_seen = false;
    let picture = Picture::new(&timeline, Duration::from_secs(5));
    assert!(
        !picture
            .threads
            .iter()
            .flat_map(|thread| &thread.states)
            .any(|state| matches!(state.doing, Doing::Running { .. }))
    );
}

/// A trace, as the published schema has it.
struct Decoded {
    clock: ClockSnapshot,
    /// By number.
    tracks: BTreeMap<u64, TrackDescriptor>,
    /// The events of each track: time, name, event.
    events: BTreeMap<u64, Vec<(u64, String, TrackEvent)>>,
}

fn decode(bytes: &[u8]) -> Decoded {
    let trace = Trace::parse_from_bytes(bytes).expect("a trace by the published schema");
    let mut decoded = Decoded { clock: ClockSnapshot::new(), tracks: BTreeMap::new(), events: BTreeMap::new() };
    let mut names = BTreeMap::new();
    for packet in trace.packet {
        // Nothing that the schema does not know.
        assert_eq!(packet.special_fields.unknown_fields().iter().count(), 0);
        assert_eq!(packet.trusted_packet_sequence_id(), 1);
        names.extend(packet.interned_data.event_names.iter().map(|name| (name.iid(), name.name().to_owned())));
        let TracePacket { timestamp, timestamp_clock_id, data, .. } = packet;
        match data {
            Some(Data::ClockSnapshot(clock)) => decoded.clock = clock,
            Some(Data::TrackDescriptor(track)) => drop(decoded.tracks.insert(track.uuid(), track)),
            Some(Data::TrackEvent(event)) => {
                assert_eq!(event.special_fields.unknown_fields().iter().count(), 0);
                assert_eq!(timestamp_clock_id, Some(3), "CLOCK_MONOTONIC");
                let name = if event.has_name_iid() { names[&event.name_iid()].clone() } else { String::new() };
                decoded.events.entry(event.track_uuid()).or_default().push((timestamp.unwrap(), name, event));
            }
            other => panic!("unexpected: {other:?}"),
        }
    }
    decoded
}

fn trace(timeline: &Timeline, last: Duration) -> Decoded {
    let mut bytes = Vec::new();
    perfetto::write(timeline, &Picture::new(timeline, last), &mut bytes).unwrap();
    decode(&bytes)
}

/// Name, beginning and end of the slices of a track, in the order of their ends; those without one last. Times count from
/// when measuring began.
fn slices(decoded: &Decoded, track: u64) -> Vec<(String, u64, Option<u64>)> {
    let mut open = Vec::new();
    let mut slices = Vec::new();
    for (time, name, event) in &decoded.events[&track] {
        match event.type_() {
            Type::TYPE_SLICE_BEGIN => open.push((name.clone(), time - 2 * SECOND)),
            Type::TYPE_SLICE_END => {
                let (name, begin) = open.pop().expect("an end has its beginning");
                slices.push((name, begin, Some(time - 2 * SECOND)));
            }
            _ => {}
        }
    }
    slices.extend(open.into_iter().map(|(name, begin)| (name, begin, None)));
    slices
}

fn track_of(decoded: &Decoded, is: impl Fn(&TrackDescriptor) -> bool) -> u64 {
    *decoded.tracks.iter().find(|(_, track)| is(track)).expect("the track").0
}

#[test]
fn a_trace_is_what_the_published_schema_says() {
    let decoded = trace(&scene(), Duration::from_secs(5));
    let clocks: Vec<u32> = decoded.clock.clocks.iter().map(|clock| clock.clock_id()).collect();
    assert_eq!(clocks, [3, 6, 1], "monotonic, boot time, real time");
    let process = track_of(&decoded, |track| track.process.process_name() == "guest" && track.process.pid() == 4711);
    let waiter = track_of(&decoded, |track| track.thread.thread_name() == "waiter" && track.thread.tid() == 10);
    let holder = track_of(&decoded, |track| track.thread.thread_name() == "holder" && track.thread.pid() == 4711);
    let named = |name: &str, parent| track_of(&decoded, |track| track.name() == name && track.parent_uuid() == parent);
    let slice = |name: &str, begin, end| (name.to_owned(), begin, Some(end));
    let parts = [slice("unschedule", 205, 215), slice("off", 215, 500), slice("reschedule", 500, 520)];
    let whole = slice("mutex_enter", 200, 525);
    assert_eq!(slices(&decoded, waiter), [&parts[..], &[whole]].concat());
    assert_eq!(slices(&decoded, holder), [slice("mutex_exit", 440, 460)]);
    let states = slices(&decoded, named("waiter: state", waiter));
    assert_eq!(states[3], slice("off: mutex_enter", 215, 500));
    assert_eq!(states[5], ("running on vCPU 1".to_owned(), 520, None));
    assert_eq!(slices(&decoded, named("vCPU 0", process)), [slice("waiter", 110, 205)]);
    let second = slices(&decoded, named("vCPU 1", process));
    assert_eq!(second, [slice("holder", 60, 480), ("waiter".to_owned(), 520, None)]);
    // The arrow.
    let (at, name, wake) = decoded.events[&holder].iter().find(|(.., event)| !event.flow_ids.is_empty()).unwrap();
    assert_eq!((at - 2 * SECOND, name.as_str(), wake.type_()), (450, "wake", Type::TYPE_INSTANT));
    let state = named("waiter: state", waiter);
    let (at, name, run) =
        decoded.events[&state].iter().find(|(.., event)| !event.terminating_flow_ids.is_empty()).unwrap();
    assert_eq!((at - 2 * SECOND, name.as_str()), (520, "running on vCPU 1"));
    assert_eq!(run.terminating_flow_ids, wake.flow_ids);
}

#[test]
fn coroutines_have_tracks_of_their_own() {
    let events = || vec![call(SECOND + 10, SECOND + 20, Hypercall::Bio)];
    let lanes = vec![(0, vec![tenure(7, "one", events())]), (1, vec![tenure(7, "two", events())])];
    let decoded = trace(&timeline(SECOND + 100, lanes), Duration::from_secs(1));
    assert_eq!(decoded.tracks.values().filter(|track| track.thread.is_some()).count(), 1);
    let two = track_of(&decoded, |track| track.name() == "two");
    assert_eq!(slices(&decoded, two), [("bio".to_owned(), 10, Some(20))]);
}

#[test]
fn a_watch_tells_what_is_over_and_what_is_not() {
    use Hypercall::{CvWait, MutexEnter};
    let watch = |condition: &str, since| Watch::new(condition.parse().unwrap(), since);
    let told = |hits: Vec<rumpscope_reports::timeline::Hit>| -> Vec<_> {
        hits.into_iter().map(|hit| (hit.name, hit.call, hit.ticks, hit.goes_on)).collect()
    };
    let waiter = || "waiter".to_owned();
    assert_eq!(told(watch("wait>200ns", 0).look(&scene())), [(waiter(), MutexEnter, 285, false)]);
    assert_eq!(told(watch("wait>300ns", 0).look(&scene())), []);
    assert_eq!(told(watch("call:mutex_enter>300ns", 0).look(&scene())), [(waiter(), MutexEnter, 325, false)]);
    assert_eq!(told(watch("vcpu-wait:mutex_enter>15ns", 0).look(&scene())), [(waiter(), MutexEnter, 20, false)]);
    assert_eq!(told(watch("vcpu-wait>20ns", 0).look(&scene())), []);
    // The holder is outside; it waits for nothing.
    assert_eq!(told(watch("wait>290ns", 0).look(&scene())), []);
    assert_eq!(told(watch("off>500ns", 0).look(&scene()))[0].2, 510);
    assert_eq!(told(watch("run>460ns", 0).look(&scene())), [(waiter(), MutexEnter, 480, true)]);
    // What was so before the watch began is not told; what goes on is told once, and not again when it ends.
    assert_eq!(told(watch("wait>200ns", SECOND + 420).look(&scene())), []);
    let sleeping = |taken, events: Vec<Event>| timeline(taken, vec![(3, vec![tenure(9, "sleeper", events)])]);
    let mut watch = watch("wait:condvar>100ns", 0);
    assert_eq!(told(watch.look(&sleeping(SECOND + 90, vec![unschedule(SECOND, SECOND + 10, CvWait, 0)]))), []);
    assert_eq!(told(watch.look(&sleeping(SECOND + 150, vec![]))), [("sleeper".to_owned(), CvWait, 140, true)]);
    let over = vec![schedule(SECOND + 300, SECOND + 310, CvWait, 0)];
    assert_eq!(told(watch.look(&sleeping(SECOND + 400, over))), []);
}
