//! The measuring side of a process: its segment, its lanes, and what every thread must be able to find.

use crate::arena::{Arena, Kind};
use crate::catalogue::{CATALOGUE, Hypercall, Metric, Quantity};
use crate::cell::Cell;
use crate::clock::{self, Calibration};
use crate::contention::{self, Records, Stacks};
use crate::events::Store;
use crate::lane::{Lane, Row};
use crate::layout::{self, flag, header};
use crate::local::{self, Local, Plan};
use crate::mode::Mode;
use crate::snapshot::{ClockSource, Place};
use crate::tally::{Tallies, Tally};
use crate::thread::{self, AtEnd};
use crate::unwind;
use crate::vcpu::Vcpus;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, Ordering};
use std::sync::Mutex;

/// The timing mode's number; [`UNDECIDED`] until it is known whether anything is measured.
static MODE: AtomicU8 = AtomicU8::new(UNDECIDED);
const UNDECIDED: u8 = u8::MAX;
/// Whether the guest tells its own transitions.
pub(crate) static GUEST_TELLS: AtomicBool = AtomicBool::new(false);
/// Whether the segment, if there is one, is this process's to write; a copy made by fork has it mapped as well.
static IS_WRITER: AtomicBool = AtomicBool::new(true);
static RECORDER: AtomicPtr<Recorder> = AtomicPtr::new(ptr::null_mut());

/// Asks the guest which virtual CPU the calling thread is on, and for a witness, if there is one.
pub type WhichVcpu = fn() -> (Place, Option<Witness>);

/// Words of the guest that tell where a thread is, as long as it has not called [`forget_place`]: until then they are not
/// freed. While `word` holds `value`, the thread is at `place`. While it does not, and `home` holds `homed`, the thread is on
/// no virtual CPU.
#[derive(Clone, Copy, Debug)]
pub struct Witness {
    /// Where the thread is, or would be.
    pub place: Place,
    /// Where the word is.
    pub word: *const usize,
    /// What it must hold.
    pub value: usize,
    /// Where the other one is; null: there is none.
    pub home: *const usize,
    /// What that must hold.
    pub homed: usize,
}

/// No witness of the calling thread is good any more: it has become another one to the guest.
#[inline]
pub fn forget_place() {
    local::with(Local::forget_witness);
}

#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) arena: Arena,
    pub(crate) vcpus: Vcpus,
    /// Room for events; `None`: none are recorded.
    pub(crate) events: Option<Store>,
    which_vcpu: Option<WhichVcpu>,
    lanes: Mutex<Lanes>,
    pub(crate) stacks: Stacks,
    pub(crate) records: Mutex<Records>,
}

#[derive(Debug, Default)]
struct Lanes {
    made: u32,
    /// Boxed for the threads, which keep a lane's address.
    #[allow(clippy::vec_box, reason = "a lane never moves: it goes to its thread as the box it is")]
    free: Vec<Box<Lane>>,
}

/// What is told about the process when measuring begins.
#[derive(Debug)]
pub(crate) struct Beginning<'a> {
    pub(crate) mode: Mode,
    pub(crate) backend: &'a str,
    pub(crate) program: &'a str,
    pub(crate) start_time: u64,
    pub(crate) boot: u64,
    pub(crate) calibration: Calibration,
    pub(crate) which_vcpu: Option<WhichVcpu>,
    /// Whether it is recorded who waits for whom.
    pub(crate) contention: bool,
}

impl Recorder {
    /// The process's recorder, once measuring has begun.
    #[inline(always)]
    pub(crate) fn get() -> Option<&'static Recorder> {
        // Acquire: pairs with the store in `begin`. The recorder is never freed.
        // SAFETY: null, or a leaked box.
        unsafe { RECORDER.load(Ordering::Acquire).as_ref() }
    }

    /// Fills the header of the fresh segment in `arena`, with room for `events`, and starts measuring; done once in a
    /// process.
    pub(crate) fn begin(arena: Arena, events: Option<Store>, beginning: &Beginning<'_>) {
        write_header(&arena, events.as_ref(), beginning);
        let recorder = Recorder {
            arena,
            vcpus: Vcpus::new(),
            events,
            which_vcpu: beginning.which_vcpu,
            lanes: Mutex::new(Lanes::default()),
            stacks: Stacks::default(),
            records: Mutex::default(),
        };
        // Release: whoever sees the recorder or the magic sees everything above. Leaked: threads use it until the
        // process ends.
        let recorder = Box::leak(Box::new(recorder));
        recorder.arena.word(header::MAGIC).store(layout::MAGIC, crate::primitive::Ordering::Release);
        RECORDER.store(recorder, Ordering::Release);
        MODE.store(beginning.mode as u8, Ordering::Release);
        if beginning.contention {
            recorder.raise(flag::CONTENTION);
            contention::start_recording();
        }
    }

    fn lanes(&self) -> std::sync::MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Gives the calling thread a lane: a free one, or a new one; null when there is no room for it.
    fn attach(&self) -> *mut Lane {
        // A thread that is past giving its lane back gets none. One for which there is no room comes here at every call.
        if self.arena.is_full() || !thread::at_end(&GIVE_BACK) {
            return ptr::null_mut();
        }
        let (tid, name) = this_thread();
        self.take_lane(tid, &name)
    }

    /// A lane for the execution context of that number and name; null when there is no room for it.
    pub(crate) fn take_lane(&self, tid: u32, name: &str) -> *mut Lane {
        let mut lanes = self.lanes();
        let lane = match lanes.free.pop() {
            Some(lane) => Some(lane),
            None => Lane::create(&self.arena, lanes.made).map(Box::new),
        };
        let Some(mut lane) = lane else { return ptr::null_mut() };
        lanes.made = lanes.made.max(lane.number + 1);
        drop(lanes);
        lane.assign(&self.arena, tid, name);
        Box::into_raw(lane)
    }

    /// Takes back what [`take_lane`](Self::take_lane) gave: another context may have it, counts and all.
    ///
    /// # Safety
    /// `lane` is null or was given by `take_lane`, and nobody uses it any more.
    pub(crate) unsafe fn give_back(&self, lane: *mut Lane) {
        if !lane.is_null() && is_writer() {
            // SAFETY: made by `Box::into_raw` in `take_lane`, and the caller's word.
            let mut lane = unsafe { Box::from_raw(lane) };
            lane.assign(&self.arena, 0, "");
            self.lanes().free.push(lane);
        }
    }

    /// Counts an event that has no cell.
    #[cold]
    fn count_without_place(&self, metric: usize) {
        // Locked additions, because any thread may come here. Relaxed: counters.
        let arena = &self.arena;
        if let Some(overflow) = self.overflow().filter(|_| metric < layout::overflow::SIZE) {
            arena.word(overflow + metric).fetch_add(1, crate::primitive::Ordering::Relaxed);
        }
        arena.word(header::LOST_PLACES).fetch_add(1, crate::primitive::Ordering::Relaxed);
    }

    fn overflow(&self) -> Option<usize> {
        let position = self.arena.word(header::OVERFLOW).load(crate::primitive::Ordering::Relaxed) as usize;
        (position != 0).then_some(position)
    }

    pub(crate) fn raise(&self, bit: u64) {
        // A locked instruction is no matter here. Relaxed: a fact by itself.
        self.arena.word(header::FLAGS).fetch_or(bit, crate::primitive::Ordering::Relaxed);
    }
}

/// Gives a thread's lane back when the thread ends.
static GIVE_BACK: AtEnd = AtEnd(|| {
    let lane = local::with(|local| {
        let lane = local.lane;
        local.reset();
        lane
    });
    if let Some(recorder) = Recorder::get() {
        // SAFETY: the thread has just forgotten its only copy.
        unsafe { recorder.give_back(lane) };
    }
});

impl Local {
    /// The row for `place` in the thread's lane, which lives as long; null when it can have no lane.
    #[inline]
    pub(crate) fn row_at(&mut self, recorder: &Recorder, place: Place) -> *const Row {
        let used = if place == Place::OffCpu { self.off_row } else { self.last_row };
        // SAFETY: null, or a row of the thread's lane, which lives as long.
        if unsafe { used.as_ref() }.is_some_and(|row| row.place == place) {
            return used;
        }
        self.look_up_row(recorder, place)
    }

    /// Sees that the thread has a lane, if it can have one.
    pub(crate) fn ensure_lane(&mut self, recorder: &Recorder) {
        if self.lane.is_null() {
            self.lane = recorder.attach();
            self.random = clock::now() | 1;
        }
    }

    #[cold]
    fn look_up_row(&mut self, recorder: &Recorder, place: Place) -> *const Row {
        self.ensure_lane(recorder);
        // SAFETY: null, or the thread's own lane, to which nobody else has a reference.
        let Some(lane) = (unsafe { self.lane.as_mut() }) else { return ptr::null() };
        let row = lane.row(place);
        *if place == Place::OffCpu { &mut self.off_row } else { &mut self.last_row } = row;
        row
    }

    /// Where the thread's next event is counted, when `row` does not say.
    #[cold]
    #[inline(never)]
    pub(crate) fn find_row(&mut self, recorder: &Recorder) -> *const Row {
        // Relaxed: set while the guest boots, on its only thread.
        if GUEST_TELLS.load(Ordering::Relaxed) {
            // A thread that has not been told to be on a virtual CPU is on none.
            let row = self.row_at(recorder, Place::OffCpu);
            // SAFETY: from `row_at`.
            unsafe { self.be_at(row) };
            return row;
        }
        match recorder.which_vcpu {
            // A thread may have changed its virtual CPU since, without our notice: ask, unless a witness says it has not.
            Some(which) => {
                let (place, witness) = which();
                let row = self.row_at(recorder, place);
                match witness {
                    // Where the thread is off its virtual CPU, it will say when it is back.
                    Some(witness) => {
                        let there = self.row_at(recorder, witness.place);
                        // SAFETY: from `row_at`.
                        unsafe { self.believe(&witness, there) };
                    }
                    None => self.forget_witness(),
                }
                row
            }
            None => {
                let row = self.row_at(recorder, Place::Unknown);
                // SAFETY: from `row_at`.
                unsafe { self.be_at(row) };
                row
            }
        }
    }

    /// Where to count now; null where that can be nowhere.
    #[inline(always)]
    pub(crate) fn row_now(&mut self, recorder: &Recorder) -> *const Row {
        let row = self.known_row();
        if row.is_null() { self.find_row(recorder) } else { row }
    }

    /// The tally of `call`, a quick one, in `row`; counts without a place and returns `None` where there can be none.
    #[inline(always)]
    pub(crate) fn tally(&mut self, recorder: &Recorder, row: *const Row, call: Hypercall) -> Option<Tally> {
        // SAFETY: null, or a row of the thread's lane, which only this thread uses.
        match unsafe { row.as_ref().and_then(|row| row.tallies()) } {
            Some(tallies) => tallies.of(call),
            None => self.make_tallies(recorder, row, call)?.of(call),
        }
    }

    #[cold]
    #[inline(never)]
    fn make_tallies(&mut self, recorder: &Recorder, row: *const Row, call: Hypercall) -> Option<Tallies> {
        // SAFETY: null, or the thread's own lane, which nobody else touches, and a row of it.
        let (lane, row) = unsafe { (self.lane.as_ref(), row.as_ref()) };
        // SAFETY: it is this thread's lane.
        let tallies = lane.zip(row).and_then(|(lane, row)| unsafe { row.make_tallies(&recorder.arena, lane) });
        if tallies.is_none() {
            recorder.count_without_place(Metric::call(call).number());
        }
        self.on.look_for_tallies();
        self.off.look_for_tallies();
        tallies
    }

    /// The cell for `metric` in `row`; counts without a place and returns `None` where there can be none.
    #[inline(always)]
    pub(crate) fn cell(&mut self, recorder: &Recorder, row: *const Row, metric: usize) -> Option<Cell> {
        // SAFETY: null, or a row of the thread's lane.
        if let Some(row) = unsafe { row.as_ref() } {
            // SAFETY: it is this thread's lane.
            if let Some(cell) = unsafe { row.cell(metric) } {
                return Some(cell);
            }
        }
        self.make_cell(recorder, row, metric)
    }

    /// Likewise for `quantity`, other than the first, of `call`.
    #[inline(always)]
    pub(crate) fn part(&mut self, recorder: &Recorder, row: *const Row, quantity: Quantity, call: u8) -> Option<Cell> {
        // SAFETY: null, or a row of the thread's lane, which only this thread uses.
        if let Some(cell) = unsafe { row.as_ref().and_then(|row| row.part(quantity, call)) } {
            return Some(cell);
        }
        self.make_cell(recorder, row, Metric::number_of(quantity, call))
    }

    #[cold]
    #[inline(never)]
    fn make_cell(&mut self, recorder: &Recorder, row: *const Row, metric: usize) -> Option<Cell> {
        let row = if row.is_null() { self.find_row(recorder) } else { row };
        // SAFETY: null, or the thread's own lane, which nobody else touches.
        let lane = unsafe { self.lane.as_ref() };
        // SAFETY: null, or a row of that lane.
        let row = unsafe { row.as_ref() };
        if let (Some(row), Some(lane)) = (row, lane) {
            // SAFETY: it is this thread's lane.
            if let Some(cell) = unsafe { row.make_cell(&recorder.arena, lane, metric) } {
                return Some(cell);
            }
        }
        recorder.count_without_place(metric);
        None
    }
}

/// The guest tells its own transitions from now on.
pub fn guest_tells_transitions() {
    if GUEST_TELLS.load(Ordering::Relaxed) {
        return;
    }
    if let Some(recorder) = Recorder::get() {
        // Relaxed: see `find_row`.
        GUEST_TELLS.store(true, Ordering::Relaxed);
        recorder.raise(flag::GUEST_TRANSITIONS);
    }
}

/// It is known which virtual CPU an lwp holds.
pub fn vcpus_are_known() {
    if let Some(recorder) = Recorder::get() {
        recorder.raise(flag::VCPUS_KNOWN);
    }
}

/// Whether the segment is this process's to write.
pub(crate) fn is_writer() -> bool {
    // Relaxed: changed in a process with one thread.
    IS_WRITER.load(Ordering::Relaxed)
}

/// The guest has ended in an orderly way.
pub fn guest_ended() {
    if let Some(recorder) = Recorder::get().filter(|_| is_writer()) {
        recorder.arena.word(header::ENDED_TICKS).store(clock::now(), crate::primitive::Ordering::Relaxed);
    }
}

/// The calling process is a copy of the measured one, made by fork. It shares the segment, which has room for one
/// writer: so it measures nothing.
pub(crate) fn stop_in_forked_child() {
    decline();
    // The child has one thread, this one. What it has in its storage ends with it, as with any thread, if it calls exit().
    IS_WRITER.store(false, Ordering::Relaxed);
    unwind::in_forked_child();
    local::with(|local| local.plan = Plan::Off);
}

/// The calling process, a copy made by fork, goes on as the guest; the original one makes no hypercalls any more.
pub fn continue_in_forked_child(mode: Mode) {
    let Some(recorder) = Recorder::get() else { return };
    let relaxed = crate::primitive::Ordering::Relaxed;
    recorder.arena.word(header::START_TIME).store(crate::process::start_time(), relaxed);
    recorder.arena.word(header::PID).store(u64::from(std::process::id()), relaxed);
    let lane = local::with(|local| local.lane);
    // SAFETY: null, or this thread's lane.
    if let Some(lane) = unsafe { lane.as_mut() } {
        let (tid, name) = this_thread();
        lane.assign(&recorder.arena, tid, &name);
    }
    IS_WRITER.store(true, Ordering::Relaxed);
    MODE.store(mode as u8, Ordering::Relaxed);
    if recorder.arena.word(header::FLAGS).load(relaxed) & flag::CONTENTION != 0 {
        contention::start_recording();
    }
    local::with(|local| {
        local.plan = Plan::Unknown;
        // Its next event says who it is now.
        local.events = None;
    });
}

/// Nothing is measured in this process.
pub(crate) fn decline() {
    MODE.store(Mode::Off as u8, Ordering::Relaxed);
    contention::stop_recording();
}

/// The timing mode in force; `Off` as long as nothing is decided.
pub fn mode() -> Mode {
    decided_mode().unwrap_or(Mode::Off)
}

/// The timing mode, once it is decided.
pub(crate) fn decided_mode() -> Option<Mode> {
    // Acquire: a mode other than `Off` comes with a recorder.
    Mode::from_number(u64::from(MODE.load(Ordering::Acquire)))
}

fn write_header(arena: &Arena, events: Option<&Store>, beginning: &Beginning<'_>) {
    let relaxed = crate::primitive::Ordering::Relaxed;
    let set = |word: usize, value: u64| arena.word(word).store(value, relaxed);
    let (ticks, monotonic) = clock::read_both();
    set(header::VERSION, layout::VERSION);
    set(header::PID, u64::from(std::process::id()));
    set(header::START_TIME, beginning.start_time);
    set(header::BOOT, beginning.boot);
    set(header::CLOCK_SOURCE, u64::from(beginning.calibration.source == ClockSource::Tsc));
    set(header::TICKS_PER_SECOND, beginning.calibration.ticks_per_second.to_bits());
    set(header::TWO_READS_NS, beginning.calibration.two_reads_ns.to_bits());
    set(header::STEP_NS, beginning.calibration.step_ns.to_bits());
    set(header::BEGAN_TICKS, ticks);
    set(header::BEGAN_MONOTONIC, monotonic);
    set(header::BEGAN_UNIX, clock::unix_ns());
    set(header::MODE, beginning.mode as u64);
    set(header::CALLS, Hypercall::COUNT as u64);
    set(header::QUANTITIES, Quantity::ALL.len() as u64);
    set(header::EVENTS, events.map_or(0, |events| events.position() as u64));
    arena.write_text(header::BACKEND, 4, beginning.backend);
    arena.write_text(header::PROGRAM, 25, beginning.program);
    if let Some(catalogue) = arena.allocate(Kind::Other, layout::catalogue::SIZE) {
        for (number, entry) in CATALOGUE.iter().enumerate() {
            arena.write_text(catalogue + number * layout::catalogue::NAME, layout::catalogue::NAME, entry.name);
        }
        set(header::CATALOGUE, catalogue as u64);
    }
    if let Some(overflow) = arena.allocate(Kind::Other, layout::overflow::SIZE) {
        set(header::OVERFLOW, overflow as u64);
    }
}

/// The calling thread's number and name on the host.
pub(crate) fn this_thread() -> (u32, String) {
    let mut name = [0u8; 16];
    // SAFETY: PR_GET_NAME writes at most 16 bytes.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    let length = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    // SAFETY: no preconditions.
    let tid = unsafe { libc::gettid() };
    (tid.unsigned_abs(), String::from_utf8_lossy(&name[..length]).into_owned())
}
