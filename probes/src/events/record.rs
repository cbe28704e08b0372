//! Recording: the way of one event.

use super::block::{Block, Owner};
use super::packed::{NAME_BYTES, Packed};
use crate::catalogue::Hypercall;
use crate::clock;
use crate::layout::header;
use crate::local::{self, Local};
use crate::primitive::Ordering;
use crate::recorder::Recorder;
use crate::snapshot::Place;

/// The calling thread made the one of `lane` go on at `at` (ticks of [`clock::now`]), by `call`. To be told only by who
/// knows it: a reader draws an arrow from here to where that thread runs next.
pub fn wake(call: Hypercall, lane: u32, at: u64) {
    local::with(|local| {
        if let Some(recorder) = local.recorder().filter(|_| local.records) {
            local.record_event(recorder, at, Packed::wake(call as u8, lane));
        }
    });
}

impl Local {
    /// A timed call has ended, one of those that are all timed.
    #[inline(never)]
    pub(crate) fn record_call(&mut self, recorder: &Recorder, call: Hypercall, start: u64, end: u64) {
        self.record_event(recorder, end, Packed::call(call as u8, clock::between(start, end)));
    }

    /// The thread has given up its virtual CPU, on account of the hypercall with number `cause`, from `transition_began` to
    /// `end`; that is the same where only the first of them was read of the clock.
    #[inline]
    pub(crate) fn record_unschedule(&mut self, recorder: &Recorder, cause: u8, end: u64) {
        if self.records {
            // SAFETY: null, or a row of the thread's lane.
            let place = unsafe { self.left.as_ref() }.map_or(Place::Unknown, |row| row.place);
            let took = clock::between(self.transition_began, end);
            self.record_event(recorder, end, Packed::unschedule(cause, place, took));
        }
    }

    /// The thread asked for a virtual CPU at `transition_began` and has it; the same for the second of them.
    #[inline]
    pub(crate) fn record_schedule(&mut self, recorder: &Recorder, cause: u8, place: Place, end: u64) {
        if self.records {
            let took = clock::between(self.transition_began, end);
            self.record_event(recorder, end, Packed::schedule(cause, place, took));
        }
    }

    /// The thread is done with the guest, and waits for nothing.
    pub(crate) fn record_away(&mut self, recorder: &Recorder) {
        if self.records {
            self.record_event(recorder, clock::now(), Packed::away());
        }
    }

    #[inline]
    fn record_event(&mut self, recorder: &Recorder, ticks: u64, packed: Packed) {
        if self.events.is_none_or(|block| !block.push(ticks, packed)) {
            self.record_in_next_block(recorder, ticks, packed);
        }
    }

    /// The same where the thread has no block, or a full one.
    #[cold]
    #[inline(never)]
    fn record_in_next_block(&mut self, recorder: &Recorder, ticks: u64, packed: Packed) {
        let is_first = self.events.is_none();
        self.events = self.continue_block(recorder, is_first, ticks).or_else(|| self.take_block(recorder));
        if self.events.is_none_or(|block| !block.push(ticks, packed)) {
            // A locked addition: any thread may come here. Relaxed: a counter.
            recorder.arena.word(header::LOST_EVENTS).fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The block of the thread that had the lane before, if there is room to say who has it now.
    fn continue_block(&mut self, recorder: &Recorder, is_first: bool, ticks: u64) -> Option<Block> {
        if !is_first {
            return None;
        }
        self.ensure_lane(recorder);
        // SAFETY: null, or the thread's own lane, to which nobody else has a reference.
        let lane = unsafe { self.lane.as_ref() }?;
        let block = lane.events?;
        let (tid, name) = lane.who(&recorder.arena);
        let name: Vec<u8> = name.into_iter().flat_map(u64::to_ne_bytes).take_while(|byte| *byte != 0).collect();
        let mut told = block.push(ticks, Packed::thread(tid as u32));
        for part in name.chunks(NAME_BYTES) {
            let mut bytes = [0; NAME_BYTES];
            bytes[..part.len()].copy_from_slice(part);
            told = told && block.push(ticks, Packed::name(bytes));
        }
        told.then_some(block)
    }

    /// The next block for the lane.
    fn take_block(&mut self, recorder: &Recorder) -> Option<Block> {
        let store = recorder.events.as_ref()?;
        self.ensure_lane(recorder);
        // SAFETY: as above.
        let lane = unsafe { self.lane.as_mut() }?;
        let (tid, name) = lane.who(&recorder.arena);
        let owner = Owner { lane: lane.number, first: lane.events.map_or(0, Block::end), tid, name };
        let block = store.next(lane.events, &owner, recorder.arena.word(header::EVENT_BLOCKS))?;
        lane.events = Some(block);
        Some(block)
    }
}
