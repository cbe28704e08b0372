//! Reading the event blocks of a segment, in step with their writers.
//!
//! As for the counters, nothing is mapped and nothing is trusted. A block is read in three steps, its head, its events and
//! its sequence again; if it was used anew meanwhile, what was read is dropped: it was the oldest there is, and is gone.

use super::model::{Event, LaneEvents, Tenure, Timeline};
use super::packed::{Packed, Unpacked};
use super::setting::LARGEST;
use crate::catalogue::Hypercall;
use crate::clock;
use crate::layout::event_block::{COUNT, EVENT, EVENTS, FIRST, LANE, MOST, NAME, SEQUENCE, SIZE, TID};
use crate::layout::{flag, header};
use crate::reader::{ReadError, Segment, clock_info, text};
use std::collections::BTreeMap;

/// The longest name of a lane, in bytes, as the head of a block has it.
const NAME_LENGTH: usize = 16;
/// Words of a block's head.
const HEAD: usize = EVENTS;

/// Reads the events of a segment, and later those that came since.
#[derive(Debug)]
pub struct Follower {
    /// Our hypercalls by the writer's number.
    calls: Vec<Option<Hypercall>>,
    /// For each block, the sequence that was read last, and how many events were there.
    seen: Vec<(u64, usize)>,
    /// For each lane, where reading has come to.
    known: BTreeMap<u32, Known>,
}

/// Where reading a lane has come to.
#[derive(Debug, Default)]
struct Known {
    /// Its thread, without events.
    tenure: Tenure,
    /// The number of the event that comes next.
    next: u64,
    /// What was read already, but is younger than what was asked for: some of what comes before may not have been there
    /// yet when its block was looked at.
    held: Vec<Piece>,
}

/// What was read of one block.
#[derive(Debug)]
struct Piece {
    /// Number of the first event in its lane.
    first: u64,
    /// These are the first events of the block, so that its head says whose they are.
    at_start: bool,
    tid: u32,
    name: String,
    /// Stamp and packed word.
    events: Vec<(u64, Packed)>,
}

impl Segment {
    /// All events that it has now.
    ///
    /// # Errors
    /// When it cannot be read or contradicts itself. That it records no events is no error, but an empty timeline.
    pub fn timeline(&self) -> Result<Timeline, ReadError> {
        self.follow()?.read(self)
    }

    /// The same, for whoever will ask again.
    ///
    /// # Errors
    /// As for [`Segment::timeline`].
    pub fn follow(&self) -> Result<Follower, ReadError> {
        Ok(Follower { calls: self.calls()?, seen: Vec::new(), known: BTreeMap::new() })
    }

    /// Whether events are recorded.
    ///
    /// # Errors
    /// As for [`Segment::open`].
    pub fn records_events(&self) -> Result<bool, ReadError> {
        Ok(self.header()?[header::EVENTS] != 0)
    }
}

impl Follower {
    /// What was recorded in `segment`, the one that it follows, since the last time; at first, all that there is.
    ///
    /// # Errors
    /// When it cannot be read or contradicts itself.
    pub fn read(&mut self, segment: &Segment) -> Result<Timeline, ReadError> {
        let head = segment.header()?;
        let clock = clock_info(&head);
        clock::adopt(clock.source);
        // Before the events: up to here, none of any lane is missing.
        let now = clock::now();
        let alive = segment.is_alive()?;
        let begin = head[header::EVENTS];
        let blocks = if begin == 0 { 0 } else { blocks(segment, begin, head[header::EVENT_BLOCKS])? };
        self.seen.resize(blocks, (0, 0));
        for index in 0..blocks {
            if let Some((lane, piece)) = self.block(segment, begin, index)? {
                self.known.entry(lane).or_default().held.push(piece);
            }
        }
        let until = if alive { now } else { u64::MAX };
        let calls = &self.calls;
        let lanes = self.known.iter_mut().filter(|(_, known)| !known.held.is_empty());
        let lanes: Vec<LaneEvents> = lanes.map(|(lane, known)| known.tell(*lane, calls, until)).collect();
        let events = lanes.iter().flat_map(|lane| &lane.tenures).flat_map(|tenure| &tenure.events);
        let youngest = events.map(|event| event.end).max().unwrap_or(0);
        let taken = if alive { now } else { head[header::ENDED_TICKS].max(youngest) };
        Ok(Timeline {
            pid: head[header::PID] as u32,
            program: text(&head[header::PROGRAM..header::PROGRAM + 25]),
            clock,
            began: head[header::BEGAN_TICKS],
            began_monotonic: head[header::BEGAN_MONOTONIC],
            taken: taken.max(head[header::BEGAN_TICKS]),
            guest_transitions_seen: head[header::FLAGS] & flag::GUEST_TRANSITIONS != 0,
            lanes,
            lost: head[header::LOST_EVENTS],
        })
    }

    /// What is new in a block, and its lane; `None`: nothing, or it is being used anew.
    fn block(&mut self, segment: &Segment, begin: u64, index: usize) -> Result<Option<(u32, Piece)>, ReadError> {
        let position = begin as usize + index * SIZE;
        let head = segment.read_at(position, HEAD)?;
        let sequence = head[SEQUENCE];
        let (seen_sequence, seen_count) = self.seen[index];
        let seen = if seen_sequence == sequence { seen_count } else { 0 };
        let count = usize::try_from(head[COUNT]).ok().filter(|count| *count <= MOST);
        let count = count.ok_or_else(|| segment.damaged("a block has more events than there is room for"))?;
        if !sequence.is_multiple_of(2) || count <= seen {
            return Ok(None);
        }
        let words = segment.read_at(position + EVENTS + EVENT * seen, EVENT * (count - seen))?;
        if segment.read_at(position + SEQUENCE, 1)?[0] != sequence {
            return Ok(None);
        }
        self.seen[index] = (sequence, count);
        let events = words.chunks_exact(EVENT).map(|words| (words[0], Packed(words[1]))).collect();
        let first = head[FIRST].wrapping_add(seen as u64);
        let piece =
            Piece { first, at_start: seen == 0, tid: head[TID] as u32, name: text(&head[NAME..NAME + 2]), events };
        Ok(Some((head[LANE] as u32, piece)))
    }
}

/// How many blocks there are, if the file has room for them.
fn blocks(segment: &Segment, begin: u64, count: u64) -> Result<usize, ReadError> {
    let end = count.checked_mul(SIZE as u64).and_then(|words| words.checked_add(begin)).unwrap_or(u64::MAX);
    if end > segment.length()? / 8 {
        return Err(segment.damaged("its events lie outside"));
    }
    if count > (LARGEST / 8 / SIZE) as u64 {
        return Err(segment.damaged("it has more events than there can be"));
    }
    Ok(count as usize)
}

impl Known {
    /// The events of its lane up to `until` (ticks), in their order; keeps the others.
    fn tell(&mut self, lane: u32, calls: &[Option<Hypercall>], until: u64) -> LaneEvents {
        let mut told = LaneEvents { lane, overwritten: 0, tenures: Vec::new() };
        // What has come of a name.
        let mut name = None;
        self.held.sort_unstable_by_key(|piece| piece.first);
        let mut pieces = core::mem::take(&mut self.held).into_iter();
        for mut piece in pieces.by_ref() {
            let later = piece.events.iter().position(|(ticks, _)| *ticks > until);
            let rest = later.map(|later| piece.events.split_off(later));
            self.arrive(&mut told, &piece);
            for &(ticks, packed) in &piece.events {
                match packed.unpack(calls) {
                    Some(Unpacked::Thread(tid)) => {
                        told.end(&mut self.tenure);
                        self.tenure.tid = tid;
                        name = Some(Vec::new());
                    }
                    Some(Unpacked::Name(bytes)) => {
                        if let Some(name) = &mut name {
                            name.extend(bytes.iter().take_while(|byte| **byte != 0));
                            name.truncate(NAME_LENGTH);
                            self.tenure.name = String::from_utf8_lossy(name).into_owned();
                        }
                    }
                    Some(Unpacked::Event(what, lasted)) => {
                        name = None;
                        self.tenure.events.push(Event { begin: ticks.saturating_sub(lasted), end: ticks, what });
                    }
                    None => {}
                }
            }
            if let Some(events) = rest {
                let first = piece.first.saturating_add(piece.events.len() as u64);
                self.held.push(Piece { first, at_start: false, events, ..piece });
                break;
            }
        }
        self.held.extend(pieces);
        let (tid, name) = (self.tenure.tid, self.tenure.name.clone());
        told.end(&mut self.tenure);
        (self.tenure.tid, self.tenure.name) = (tid, name);
        told
    }

    /// Reading comes to `piece`, some of whose events are told.
    fn arrive(&mut self, told: &mut LaneEvents, piece: &Piece) {
        if piece.events.is_empty() {
            return;
        }
        let missing = piece.first.saturating_sub(self.next);
        // Whose the events before were is not known; or the block before had no room left to say that another thread has the
        // lane. From here on this one says it.
        let is_told = missing != 0 || piece.at_start;
        if is_told && (piece.tid, &piece.name) != (self.tenure.tid, &self.tenure.name) {
            told.end(&mut self.tenure);
            (self.tenure.tid, self.tenure.name) = (piece.tid, piece.name.clone());
        }
        if missing != 0 {
            told.overwritten += missing;
            self.tenure.gaps.push(self.tenure.events.len());
        }
        self.next = piece.first.saturating_add(piece.events.len() as u64);
    }
}

impl LaneEvents {
    /// Closes the tenure, if anything is known of it.
    fn end(&mut self, tenure: &mut Tenure) {
        let ended = core::mem::take(tenure);
        if !ended.events.is_empty() {
            self.tenures.push(ended);
        }
    }
}
