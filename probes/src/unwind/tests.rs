//! Chains through code of ours and of the C compiler's, held against those that the host's own unwinder takes.

use super::rule::{Rule, Saved};
use super::walk::{Walker, walk};
use super::*;
use core::ffi::{CStr, c_int, c_long, c_void};
use proptest::prelude::*;
use std::ffi::CString;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

unsafe extern "C" {
    fn _Unwind_Backtrace(each: extern "C" fn(*mut c_void, *mut c_void) -> c_int, argument: *mut c_void) -> c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
}

/// What [`take`] leaves.
#[derive(Debug, Default)]
struct Taken {
    /// Our chain, from the caller of `take` on.
    ours: Vec<u64>,
    /// The same of the host's unwinder.
    hosts: Vec<u64>,
    depth: usize,
}

/// Takes both chains. `argument` is a `Taken`.
#[inline(never)]
unsafe extern "C" fn take(argument: *mut c_void) {
    extern "C" fn each(context: *mut c_void, frames: *mut c_void) -> c_int {
        // SAFETY: as it is given below.
        unsafe { (*frames.cast::<Vec<u64>>()).push(_Unwind_GetIP(context) as u64) };
        0
    }
    // SAFETY: the callers say so.
    let taken = unsafe { &mut *argument.cast::<Taken>() };
    let mut frames = [0; DEPTH];
    let count = call_chain(&mut frames, taken.depth);
    taken.ours = frames[..count].iter().skip(1).copied().collect();
    let mut hosts = Vec::<u64>::new();
    // SAFETY: `each` takes the vector.
    unsafe { _Unwind_Backtrace(each, (&raw mut hosts).cast()) };
    // It begins in this function, too, but at another call.
    taken.hosts = hosts.into_iter().skip(1).collect();
}

impl Taken {
    fn up_to(depth: usize) -> Self {
        Taken { depth, ..Taken::default() }
    }

    fn pointer(&mut self) -> *mut c_void {
        core::ptr::from_mut(self).cast()
    }

    /// Our chain, which must be the host's.
    fn agreed(&self) -> &[u64] {
        assert!(self.ours.len() >= 2);
        // The host's may go on beyond the depth, and ends with a zero.
        assert_eq!(self.ours, self.hosts[..self.ours.len()]);
        let left = self.hosts[self.ours.len()..].iter().filter(|address| **address != 0).count();
        assert!(left == 0 || self.ours.len() + 1 == self.depth, "{left} are missing");
        &self.ours
    }
}

/// The name of the function that a return address lies in, where its object exports it.
fn name(address: u64) -> String {
    let mut info = core::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: `info` is valid, and its strings are the loader's.
    unsafe {
        libc::dladdr((address - 1) as *const _, info.as_mut_ptr());
        let name = info.assume_init().dli_sname;
        if name.is_null() { String::new() } else { CStr::from_ptr(name).to_string_lossy().into_owned() }
    }
}

fn names(chain: &[u64]) -> Vec<String> {
    chain.iter().map(|address| name(*address)).collect()
}

/// The C code, in an object that is unloaded at the end.
struct Library {
    handle: *mut c_void,
    file: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

/// One library at a time, so that its end is noticed before another one takes its place.
static LIBRARIES: Mutex<()> = Mutex::new(());

type Call = unsafe extern "C" fn(*mut c_void);

impl Library {
    fn load(name: &str, options: &[&str]) -> Self {
        let alone = LIBRARIES.lock().unwrap_or_else(PoisonError::into_inner);
        let file = std::env::temp_dir().join(format!("rumpscope-unwind-{}-{name}.so", std::process::id()));
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let mut command = Command::new(compiler);
        command.args(["-shared", "-fPIC", "-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls", "-o"]);
        command.arg(&file).args(options).arg(concat!(env!("CARGO_MANIFEST_DIR"), "/src/unwind/tests.c"));
        assert!(command.status().expect("a C compiler").success());
        let path = CString::new(file.to_str().unwrap()).unwrap();
        // SAFETY: an object of ours, without constructors.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null());
        Library { handle, file, _alone: alone }
    }

    fn function(&self, name: &CStr) -> *mut c_void {
        // SAFETY: a lookup in a loaded object.
        let address = unsafe { libc::dlsym(self.handle, name.as_ptr()) };
        assert!(!address.is_null());
        address
    }

    fn outermost(&self) -> Taken {
        let mut taken = Taken::up_to(DEPTH);
        // SAFETY: a function of that type.
        unsafe {
            let outermost: extern "C" fn(Call, *mut c_void) -> c_long =
                core::mem::transmute(self.function(c"outermost"));
            outermost(take, taken.pointer());
        }
        taken
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: opened by `load`; nothing of it is used any more.
        unsafe { libc::dlclose(self.handle) };
        // Nothing is there: a miss.
        assert_eq!(objects::rule(0), None);
        let _ = std::fs::remove_file(&self.file);
    }
}

const C_FRAMES: [&str; 6] = ["innermost", "registers", "large", "larger", "aligned", "outermost"];

#[test]
fn frames_of_rust_up_to_a_threads_start() {
    let mut taken = Taken::up_to(DEPTH);
    // SAFETY: `take` gets its argument.
    let threads_main = move || unsafe {
        take(taken.pointer());
        taken
    };
    let taken = std::thread::spawn(threads_main).join().unwrap();
    taken.agreed();
}

#[test]
fn frames_of_c_without_frame_pointers() {
    let library = Library::load("plain", &[]);
    // The second time from the cache.
    for _ in 0..2 {
        let taken = library.outermost();
        assert_eq!(names(&taken.agreed()[..6]), C_FRAMES);
    }
    drop(library);
    let library = Library::load("unoptimised", &["-O0"]);
    assert_eq!(names(&library.outermost().agreed()[..6]), C_FRAMES);
}

#[test]
fn code_without_tables_ends_a_chain() {
    let library = Library::load("tables", &["-fno-asynchronous-unwind-tables", "-fno-exceptions"]);
    assert_eq!(names(&library.outermost().ours), ["innermost"]);
}

#[test]
fn depth_is_a_limit() {
    let library = Library::load("deep", &[]);
    // SAFETY: a function of that type.
    let recurse: extern "C" fn(c_long, Call, *mut c_void) -> c_long =
        unsafe { core::mem::transmute(library.function(c"recurse")) };
    for (depth, count) in [(0, 0), (1, 1), (2, 2), (5, 5), (DEPTH, DEPTH), (usize::MAX, DEPTH)] {
        let mut taken = Taken::up_to(depth);
        recurse(5000, take, taken.pointer());
        assert_eq!(taken.ours.len(), count.saturating_sub(1));
        assert!(names(&taken.ours).iter().skip(1).all(|name| name == "recurse"));
    }
}

#[test]
fn an_overwritten_return_address_ends_a_chain() {
    let library = Library::load("overwritten", &[]);
    // SAFETY: a function of that type.
    let overwritten: extern "C" fn(Call, *mut c_void, *mut c_void) -> c_long =
        unsafe { core::mem::transmute(library.function(c"overwritten")) };
    /// Our chain alone: the host's unwinder may well fall over this.
    unsafe extern "C" fn take_ours(argument: *mut c_void) {
        // SAFETY: as it is given below.
        let taken = unsafe { &mut *argument.cast::<Taken>() };
        let mut frames = [0; DEPTH];
        let count = call_chain(&mut frames, DEPTH);
        taken.ours = frames[1..count].to_vec();
    }
    let heap = Box::new(0u64);
    let on_heap = core::ptr::from_ref(&*heap).addr();
    for garbage in [0, 1, 4096, on_heap, usize::MAX, usize::MAX - 7, 1 << 47, 1 << 63] {
        let mut taken = Taken::default();
        overwritten(take_ours, taken.pointer(), core::ptr::without_provenance_mut(garbage));
        assert_eq!(names(&taken.ours), ["overwritten"], "{garbage:x}");
    }
}

#[test]
fn objects_come_and_go() {
    let mut frames_of_the_gone = Vec::new();
    // Most of them are loaded where the one before was, with other frames.
    for round in 0..8 {
        let option = ["-O2", "-O0", "-O1", "-fno-omit-frame-pointer"][round % 4];
        let library = Library::load(&format!("round{round}"), &[option]);
        let taken = library.outermost();
        assert_eq!(names(&taken.agreed()[..6]), C_FRAMES, "{option}");
        frames_of_the_gone.extend(taken.ours[..6].to_vec());
    }
    // The last one's tables are gone, too. Nobody reads them.
    for address in frames_of_the_gone {
        let mut stack = [address, 0, 0, 0];
        // SAFETY: a part of this thread's stack, above its stack pointer.
        unsafe { walk([0; DEPTH].as_mut_ptr(), DEPTH, stack.as_mut_ptr().addr(), 0) };
    }
}

#[test]
fn a_rule_leads_nowhere_but_up_the_stack() {
    let words = [0u64; 4];
    let sp = words.as_ptr() as u64;
    let top = sp + size_of_val(&words) as u64;
    let saved = Saved::InRegister;
    for bp in [0, 1, 8, sp - 8, top - 8, top, u64::MAX, u64::MAX - 7] {
        let start = || Walker { sp, bp, top };
        for cfa in [i32::MIN, -8, 0, 4, 16, 40, 48, i32::MAX] {
            for rule in [Rule::FromFramePointer { cfa, saved }, Rule::Kept { cfa }] {
                let mut walker = start();
                if walker.leave(rule).is_some() {
                    assert!(walker.sp > sp && walker.sp <= top, "{rule:?} {bp:x}");
                }
            }
        }
        assert_eq!(start().leave(Rule::FromStackPointer { cfa: 40, saved }), None);
        assert_eq!(start().leave(Rule::FromStackPointer { cfa: 32, saved }), Some(0));
    }
}

/// Two pages, the second of which cannot be read.
struct Pages(*mut u8);

const PAGE: usize = 4096;

impl Pages {
    fn new() -> Self {
        let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping.
        let pages = unsafe { libc::mmap(core::ptr::null_mut(), 2 * PAGE, libc::PROT_NONE, private, -1, 0) };
        assert_ne!(pages, libc::MAP_FAILED);
        // SAFETY: the first page of it.
        assert_eq!(unsafe { libc::mprotect(pages, PAGE, libc::PROT_READ | libc::PROT_WRITE) }, 0);
        Pages(pages.cast())
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and used no more.
        unsafe { libc::munmap(self.0.cast(), 2 * PAGE) };
    }
}

/// What may stand in a word of a stack that was written over.
#[derive(Clone, Debug)]
enum Word {
    Any(u64),
    Small(u64),
    /// A return address of this process.
    Code(usize),
    /// An address in the stack, or near it.
    Stack(i32),
}

fn word() -> impl Strategy<Value = Word> {
    prop_oneof![
        any::<u64>().prop_map(Word::Any),
        (0..0x1000u64).prop_map(Word::Small),
        any::<usize>().prop_map(Word::Code),
        any::<usize>().prop_map(Word::Code),
        (-100..PAGE as i32 + 100).prop_map(Word::Stack),
    ]
}

proptest! {
    #[test]
    fn a_stack_of_rubbish_is_walked_without_a_fault(
        words in prop::collection::vec(word(), PAGE / 8),
        sp in 0..PAGE / 8,
        bp in word(),
    ) {
        let mut code = Taken::up_to(DEPTH);
        // SAFETY: as above.
        unsafe { take(code.pointer()) };
        let pages = Pages::new();
        let start = pages.0.addr();
        let value = |word: &Word| match word {
            Word::Any(value) | Word::Small(value) => *value,
            Word::Code(number) => code.hosts[number % code.hosts.len()],
            Word::Stack(offset) => start.wrapping_add_signed(*offset as isize) as u64,
        };
        for (index, word) in words.iter().enumerate() {
            // SAFETY: in the first page.
            unsafe { pages.0.cast::<u64>().add(index).write(value(word)) };
        }
        let mut frames = [0; DEPTH];
        // SAFETY: what is at `sp` is no stack, but can be read up to the end of its page, like a stack that we do not
        // know.
        let count = unsafe { walk(frames.as_mut_ptr(), DEPTH, start + sp * 8, value(&bp) as usize) };
        // Every frame takes a word.
        prop_assert!(count <= PAGE / 8 - sp);
        prop_assert!(frames[count..].iter().all(|address| *address == 0));
    }
}

type Wanderer = fn(&[bool], &mut dyn FnMut());

/// Calls itself by one of two ways, which `ways` says, and calls `end` after the last one.
#[inline(never)]
fn wander<const WAY: usize>(ways: &[bool], end: &mut dyn FnMut()) {
    const NEXT: [Wanderer; 2] = [wander::<0>, wander::<1>];
    match ways.split_first() {
        None => end(),
        Some((way, rest)) => core::hint::black_box(&NEXT)[usize::from(*way)](rest, end),
    }
    // The call above is not the last instruction.
    core::hint::black_box(WAY);
}

proptest! {
    #[test]
    fn a_remembered_chain_is_the_one_that_is_there(
        paths in prop::collection::vec(prop::collection::vec(any::<bool>(), 0..6), 1..12),
        turns in prop::collection::vec(any::<prop::sample::Index>(), 1..200),
    ) {
        // Paths of one length end with the same stack pointer.
        let mut remembered = Remembered::<24>::default();
        let mut chains: Vec<Vec<u64>> = Vec::new();
        let mut numbers = std::collections::BTreeMap::new();
        for turn in turns {
            let path = turn.get(&paths);
            let mut number = 0;
            wander::<0>(path, &mut || {
                number = remembered.chain(|frames| {
                    let known = chains.iter().position(|chain| chain == frames);
                    known.unwrap_or_else(|| { chains.push(frames.to_vec()); chains.len() - 1 }) as u32 + 1
                });
            });
            prop_assert_eq!(number, *numbers.entry(path.clone()).or_insert(number));
            prop_assert!(number != 0);
        }
        let different = numbers.keys().collect::<std::collections::BTreeSet<_>>().len();
        prop_assert_eq!(chains.len(), different);
    }
}

#[test]
fn a_chain_is_walked_once() {
    let mut remembered = Remembered::<24>::default();
    let mut walked = 0;
    for _ in 0..100 {
        wander::<0>(&[true, false, true], &mut || {
            let mut plain = [0; DEPTH];
            let count = call_chain(&mut plain, DEPTH);
            let number = remembered.chain(|frames| {
                walked += 1;
                // But for where this very call returns to.
                assert!(plain[1..count].starts_with(&frames[1..]));
                7
            });
            assert_eq!(number, 7);
        });
    }
    assert_eq!(walked, 1);
}

#[test]
fn what_was_remembered_of_objects_that_have_gone_is_not_used() {
    unsafe extern "C" fn take_remembered(argument: *mut c_void) {
        // SAFETY: as it is given below.
        let (remembered, walked) = unsafe { &mut *argument.cast::<(Remembered<24>, u32)>() };
        remembered.chain(|frames| {
            assert_eq!(names(&frames[1..7]), C_FRAMES);
            *walked += 1;
            *walked
        });
    }
    let mut walks = (Remembered::<24>::default(), 0u32);
    // Most of them are loaded where the one before was, with other frames.
    for round in 0..4 {
        let library = Library::load(&format!("remembered{round}"), &[["-O2", "-O0"][round % 2]]);
        // SAFETY: a function of that type.
        unsafe {
            let outermost: extern "C" fn(Call, *mut c_void) -> c_long =
                core::mem::transmute(library.function(c"outermost"));
            outermost(take_remembered, (&raw mut walks).cast());
        }
        assert_eq!(walks.1 as usize, round + 1);
    }
}
