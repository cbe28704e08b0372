//! What the host's loader has loaded, looked at while it keeps its list as it is.
//!
//! An object may be unloaded while a thread still has addresses of it: in a cache, or as rubbish on its stack. So no
//! table is kept or read without the loader: what is to be known of an address is found out inside `dl_iterate_phdr`,
//! during which nothing is unloaded, and kept as a [`Rule`], which refers to nothing. A rule of an object that has gone
//! may be used for another one, if that has a return address at the very same place, until the change is noticed at a
//! miss, of which new code has many; then a chain is wrong, and no more.

use super::rule::Rule;
use super::tables::Row;
use super::{cache, record, tables};
use crate::recorder::Recorder;
use core::ffi::{CStr, c_int, c_void};
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Mutex;

/// One object, for as long as the loader lets us look.
pub(super) struct Object<'a> {
    /// What is to be added to an address in its file to have the address in the process.
    pub(super) bias: u64,
    headers: &'a [libc::Elf64_Phdr],
    /// As the loader calls it; empty: the program itself.
    pub(super) name: &'a CStr,
}

impl<'a> Object<'a> {
    /// # Safety
    /// `info` is what `dl_iterate_phdr` gives to its callback, and used in that call only.
    unsafe fn new(info: &'a libc::dl_phdr_info) -> Self {
        let headers = if info.dlpi_phdr.is_null() {
            &[]
        } else {
            // SAFETY: so many headers are there, by the caller's word.
            unsafe { core::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) }
        };
        let name = if info.dlpi_name.is_null() {
            c""
        } else {
            // SAFETY: a string of the loader's.
            unsafe { CStr::from_ptr(info.dlpi_name) }
        };
        Object { bias: info.dlpi_addr, headers, name }
    }

    fn range(&self, header: &libc::Elf64_Phdr) -> Range<u64> {
        let start = self.bias.wrapping_add(header.p_vaddr);
        start..start.saturating_add(header.p_memsz)
    }

    fn loaded(&self) -> impl Iterator<Item = &'a libc::Elf64_Phdr> {
        self.headers.iter().filter(|header| header.p_type == libc::PT_LOAD)
    }

    /// From its first address to the one after its last; `None` where nothing of it is in memory.
    pub(super) fn extent(&self) -> Option<Range<u64>> {
        let start = self.loaded().map(|header| self.range(header).start).min()?;
        let end = self.loaded().map(|header| self.range(header).end).max()?;
        Some(start..end)
    }

    /// The part of its code in which `address` lies.
    fn code_at(&self, address: u64) -> Option<Range<u64>> {
        let code = self.loaded().filter(|header| header.p_flags & libc::PF_X != 0);
        code.map(|header| self.range(header)).find(|code| code.contains(&address))
    }

    /// Where its `.eh_frame_hdr` is.
    pub(super) fn unwind_header(&self) -> Option<Range<u64>> {
        let header = self.headers.iter().find(|header| header.p_type == libc::PT_GNU_EH_FRAME)?;
        Some(self.range(header))
    }

    /// The bytes of `range`, cut where readable memory of the object ends.
    pub(super) fn bytes(&self, range: Range<u64>) -> Option<&'a [u8]> {
        let readable = self.loaded().filter(|header| header.p_flags & libc::PF_R != 0);
        let part = readable.map(|header| self.range(header)).find(|part| part.contains(&range.start))?;
        let length = range.end.min(part.end).checked_sub(range.start)?;
        // SAFETY: a part of a segment that the loader has mapped to be read, and does not unmap now. Nobody writes to
        // these tables.
        Some(unsafe { core::slice::from_raw_parts(range.start as *const u8, length as usize) })
    }

    /// Whether it is the page of code that the kernel of the host gives to every process, which is no file.
    fn is_vdso(&self, vdso: u64) -> bool {
        vdso != 0 && self.extent().is_some_and(|extent| extent.contains(&vdso))
    }
}

/// How many parts of code are remembered: a guest's kernel and its components call from few objects at a time.
const RECENT: usize = 8;

/// How many rules are remembered with where they hold.
const ROWS: usize = 8;

/// Where code was found last: most searches end at the first object that the loader shows, which need not be the one.
///
/// Mostly one thread at a time comes here, by the loader. But [`is_code`] does not ask it, a signal may interrupt that thread and
/// search itself, and a process may be forked meanwhile: who finds it locked does without.
static LAST: Mutex<Recent> =
    Mutex::new(Recent { seen: 0, code: [const { None }; RECENT], rows: [const { None }; ROWS], next: 0 });

struct Recent {
    /// What was loaded then.
    seen: u64,
    /// The newest first.
    code: [Option<Known>; RECENT],
    /// Rules that were found last, in no order; a function that makes one object often makes more.
    rows: [Option<Row>; ROWS],
    /// Which of them gives way to the next.
    next: usize,
}

/// A part of an object's code, for as long as nothing is unloaded.
#[derive(Clone, Copy)]
struct Known {
    start: u64,
    end: u64,
    info: libc::dl_phdr_info,
}

// SAFETY: what its pointers lead to is the loader's, and is only read.
unsafe impl Send for Known {}

/// What is remembered of the code at `address`, moved to the front.
fn recall(address: u64) -> Option<Known> {
    let mut last = LAST.try_lock().ok()?;
    let is_there = |known: &Option<Known>| known.is_some_and(|known| (known.start..known.end).contains(&address));
    let at = last.code.iter().position(is_there).filter(|_| last.seen == seen())?;
    last.code[..=at].rotate_right(1);
    last.code[0]
}

fn remember(known: Known) {
    let Ok(mut last) = LAST.try_lock() else { return };
    last.forget_others();
    last.code.rotate_right(1);
    last.code[0] = Some(known);
}

/// The rule that holds at `address`, if it is remembered.
pub(super) fn recall_rule(address: u64) -> Option<Rule> {
    let last = LAST.try_lock().ok()?;
    let mut rows = last.rows.iter().flatten().filter(|(row, _)| row.contains(&address));
    rows.next().filter(|_| last.seen == seen()).map(|(_, rule)| *rule)
}

pub(super) fn remember_row(row: Row) {
    let Ok(mut last) = LAST.try_lock() else { return };
    last.forget_others();
    let next = last.next;
    last.rows[next] = Some(row);
    last.next = (next + 1) % ROWS;
}

impl Recent {
    /// If something else was loaded then, all is forgotten.
    fn forget_others(&mut self) {
        if self.seen != seen() {
            *self = Recent { seen: seen(), code: [None; RECENT], rows: [const { None }; ROWS], next: 0 };
        }
    }
}

/// The rule of the return address `address`, from the tables; kept in the cache. `None`: there is no code.
#[cold]
#[inline(never)]
pub(super) fn rule(address: u64) -> Option<Rule> {
    search(address, true)
}

/// Whether there is code at the return address `address`. Quicker than to find its rule.
#[cold]
#[inline(never)]
pub(super) fn is_code(address: u64) -> bool {
    // What is remembered is not looked into, so the loader need not be asked whether it is still there. (An object that has gone is
    // noticed by the next search; until then a chain may end with an address of it.)
    recall(address.wrapping_sub(1)).is_some() || search(address, false).is_some()
}

fn search(address: u64, tables: bool) -> Option<Rule> {
    let mut search = Search { address, tables, rule: None, changed: None };
    let turn = Turn::take();
    // SAFETY: `visit` takes what it is given here.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut search).cast()) };
    drop(turn);
    search.rule
}

/// A thread is in the loader's list. Where that is locked the C library sleeps, and who comes to wait for a microsecond or two, with a
/// virtual CPU perhaps, loses fifty. So it looks here first, for a while; nothing depends on it.
struct Turn {
    is_ours: bool,
}

static TURN: AtomicBool = AtomicBool::new(false);

/// How often it looks: for some microseconds.
const LOOKS: u32 = 200;

impl Turn {
    fn take() -> Self {
        // Acquire and release are the loader's.
        let is_ours = (0..LOOKS).any(|_| {
            let is_free = !TURN.load(Ordering::Relaxed) && !TURN.swap(true, Ordering::Relaxed);
            if !is_free {
                core::hint::spin_loop();
            }
            is_free
        });
        Turn { is_ours }
    }
}

/// Whoever had the turn is not in the copy.
pub(crate) fn in_forked_child() {
    TURN.store(false, Ordering::Relaxed);
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.is_ours {
            TURN.store(false, Ordering::Relaxed);
        }
    }
}

/// Calls `work` with each object that is loaded.
#[cfg(all(test, not(loom)))]
pub(super) fn each(mut work: impl FnMut(&Object<'_>)) {
    unsafe extern "C" fn visit(info: *mut libc::dl_phdr_info, _: usize, work: *mut c_void) -> c_int {
        // SAFETY: as it is given below, and as the loader gives it.
        let (info, work) = unsafe { (&*info, &mut *work.cast::<&mut dyn FnMut(&Object<'_>)>()) };
        // SAFETY: from `dl_iterate_phdr`, in whose callback we are.
        work(&unsafe { Object::new(info) });
        0
    }
    let mut work: &mut dyn FnMut(&Object<'_>) = &mut work;
    // SAFETY: `visit` takes what it is given here. (A test that fails in it ends the process.)
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut work).cast()) };
}

struct Search {
    address: u64,
    /// Whether the rule is to be found; otherwise any will do.
    tables: bool,
    rule: Option<Rule>,
    /// Whether objects have come or gone since the last search; `None`: not looked at yet.
    changed: Option<bool>,
}

/// How many objects had come and gone, and whether measuring had begun, at the last search:
/// `loads << 33 | unloads << 1 | measuring`.
static SEEN: AtomicU64 = AtomicU64::new(0);

/// A number that changes when it is noticed that objects have come or gone.
#[inline]
pub(super) fn seen() -> u64 {
    // Relaxed: a thread that has noticed it itself sees it; for others it is a hint.
    SEEN.load(Ordering::Relaxed)
}

unsafe extern "C" fn visit(info: *mut libc::dl_phdr_info, _: usize, search: *mut c_void) -> c_int {
    // SAFETY: as `rule` gave it, and as the loader gives it.
    let (info, search) = unsafe { (&*info, &mut *search.cast::<Search>()) };
    // No panic may cross the loader's frames. None is known.
    let visited = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| search.visit(info)));
    c_int::from(visited.unwrap_or(true))
}

impl Search {
    /// Looks at an object; whether that was the last one of interest.
    fn visit(&mut self, info: &libc::dl_phdr_info) -> bool {
        let recorder = Recorder::get();
        let changed = *self.changed.get_or_insert_with(|| {
            let seen = info.dlpi_adds << 33 | (info.dlpi_subs & 0xffff_ffff) << 1 | u64::from(recorder.is_some());
            // Relaxed: the loader lets one thread at a time come here.
            let before = SEEN.swap(seen, Ordering::Relaxed);
            // Before the first search, the cache is as the host gave it: pages that nobody has touched.
            if before != seen && before != 0 {
                cache::clear();
            }
            before != seen
        });
        // The address is the one after the call, which may be the last instruction of its function.
        let inside = self.address.wrapping_sub(1);
        if !changed && let Some(Known { info, .. }) = recall(inside) {
            // SAFETY: it was given to us by `dl_iterate_phdr`, in whose callback we are again; as nothing was unloaded since
            // then, that object is as it was.
            let object = unsafe { Object::new(&info) };
            self.take_rule(&object);
            return true;
        }
        // SAFETY: from `dl_iterate_phdr`, in whose callback we are.
        let object = unsafe { Object::new(info) };
        if changed && let Some(recorder) = recorder {
            // SAFETY: no preconditions.
            let vdso = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) };
            if !object.is_vdso(vdso) {
                record::record(&recorder.arena, &object);
            }
        }
        if self.rule.is_none()
            && let Some(Range { start, end }) = object.code_at(inside)
        {
            remember(Known { start, end, info: *info });
            self.take_rule(&object);
        }
        self.rule.is_some() && !changed
    }

    /// Reads the rule in the tables of the object that the address lies in.
    fn take_rule(&mut self, object: &Object<'_>) {
        if !self.tables {
            self.rule = Some(Rule::End);
            return;
        }
        let inside = self.address.wrapping_sub(1);
        let rule = recall_rule(inside).unwrap_or_else(|| match tables::row(object, inside) {
            Some((row, rule)) => {
                remember_row((row, rule));
                rule
            }
            None => Rule::End,
        });
        // Here, not later: a change would have emptied the cache before.
        cache::put(self.address, rule);
        self.rule = Some(rule);
    }
}
